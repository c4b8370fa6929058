//! What every queue must do, in process and over NATS.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use protocol::{ImageRef, JobPreview, JobStatus, Problem, ProblemCode, Progress};
use server::images::Keeping;
use server::jobs::embedded::FILE;
use server::jobs::{
    Claim, EmbeddedQueue, HandBack, JobEvent, JobKey, Outcome, Queue, Role, Submission,
    WorkerStatus,
};
use server::limits::ClientKey;

use tempfile::TempDir;

use crate::hub::{GLYPH, request};
use crate::nats::Nats;

const WAIT: Duration = Duration::from_secs(8);
pub const RETENTION: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(1);

/// A queue as two app replicas and a worker see it.
pub struct Kit {
    pub app: Arc<dyn Queue>,
    pub other: Arc<dyn Queue>,
    pub worker: Arc<dyn Queue>,
    _nats: Option<Nats>,
    _folder: Option<TempDir>,
}

impl Kit {
    pub async fn embedded(capacity: usize, retention: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let queue = EmbeddedQueue::open(&file, capacity, retention).await;
        let queue: Arc<dyn Queue> = Arc::new(queue.unwrap());
        Self {
            app: Arc::clone(&queue),
            other: Arc::clone(&queue),
            worker: queue,
            _nats: None,
            _folder: Some(folder),
        }
    }

    pub async fn nats(capacity: usize, retention: Duration) -> Self {
        let nats = Nats::start();
        let queue = async |role| Arc::new(nats.queue_of("test", capacity, retention, role).await);
        Self {
            app: queue(Role::App).await,
            other: queue(Role::App).await,
            worker: queue(Role::Worker).await,
            _nats: Some(nats),
            _folder: None,
        }
    }

    async fn submit(&self, prompt: &str) -> String {
        self.app.submit(submission(prompt, None)).await.unwrap().id
    }

    async fn pull(&self) -> Box<dyn Claim> {
        pull(&*self.worker).await.expect("a job")
    }

    async fn status(&self, id: &str) -> JobStatus {
        self.other.get(id).await.unwrap().status
    }
}

/// The queue in that folder.
pub async fn embedded(folder: &TempDir, capacity: usize) -> EmbeddedQueue {
    let file = folder.path().join(FILE);
    EmbeddedQueue::open(&file, capacity, RETENTION)
        .await
        .unwrap()
}

pub async fn pull(queue: &dyn Queue) -> Option<Box<dyn Claim>> {
    let models = [GLYPH.to_owned()];
    let deadline = tokio::time::Instant::now() + WAIT;
    while tokio::time::Instant::now() < deadline {
        let pulled = queue.pull(&models, Duration::from_secs(1)).await.unwrap();
        if pulled.is_some() {
            return pulled;
        }
    }
    None
}

pub async fn pull_at_once(queue: &dyn Queue) -> Option<Box<dyn Claim>> {
    let models = [GLYPH.to_owned()];
    queue
        .pull(&models, Duration::from_millis(200))
        .await
        .unwrap()
}

pub fn submission(prompt: &str, key: Option<&str>) -> Submission {
    let mut request = request(prompt, 1);
    request.num_inference_steps = Some(8);
    Submission {
        request,
        resume: None,
        fingerprint: [prompt.len() as u8; 32],
        idempotency_key: key.map(|key| JobKey::new(&ClientKey::Unknown, key, None)),
        keeping: Keeping::default(),
        client: ClientKey::Unknown,
        network: None,
        allowance: None,
    }
}

pub fn completed() -> Outcome {
    Outcome::Completed(ImageRef {
        url: "/images/x.png".into(),
        permalink: "/i/x".into(),
        expires_at: None,
    })
}

pub fn steps(step: u32) -> Progress {
    Progress {
        step,
        total_steps: 8,
    }
}

async fn jobs_leave_in_order_and_positions_follow(kit: Kit) {
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(kit.submit("a").await);
        // Ids are ordered by milliseconds.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let positions = async || {
        // A replica may look at the line only a few times a second.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut positions = Vec::new();
        for id in &ids {
            positions.push(kit.other.get(id).await.unwrap().queue_position);
        }
        positions
    };
    assert_eq!(positions().await, [Some(0), Some(1), Some(2)]);
    let first = kit.pull().await;
    assert_eq!(first.id(), ids[0]);
    assert_eq!(first.request().prompt, "a");
    assert_eq!(positions().await, [None, Some(0), Some(1)]);
    kit.app.cancel(&ids[1]).await.unwrap();
    assert_eq!(positions().await[2], Some(0));
    assert_eq!(kit.pull().await.id(), ids[2]);
}

async fn a_full_queue_refuses_with_a_time_and_loses_nothing(kit: Kit) {
    let mut ids = Vec::new();
    let problem = loop {
        match kit.app.submit(submission("a", None)).await {
            Ok(created) => ids.push(created.id),
            Err(problem) => break problem,
        }
    };
    assert_eq!(problem.code, ProblemCode::QueueFull);
    assert!(problem.retry_after.is_some_and(|s| s >= 1));
    assert_eq!(ids.len(), 4);
    // A refused key is free again.
    let refused = kit.app.submit(submission("b", Some("k"))).await;
    assert_eq!(refused.unwrap_err().code, ProblemCode::QueueFull);
    let mut done = Vec::new();
    for _ in 0..4 {
        let claim = kit.pull().await;
        done.push(claim.id().to_owned());
        assert!(claim.finish(completed()).await.unwrap());
    }
    assert_eq!(done, ids);
    let taken = kit
        .other
        .submit(submission("other", Some("k")))
        .await
        .unwrap();
    assert_eq!(kit.pull().await.id(), taken.id);
}

async fn one_key_is_one_job(kit: Kit) {
    let submissions = (0..4).map(|i| {
        let queue = if i % 2 == 0 { &kit.app } else { &kit.other };
        queue.submit(Submission {
            request: request("a", i),
            ..submission("a", Some("k"))
        })
    });
    let created = futures::future::join_all(submissions).await;
    let first = created[0].as_ref().unwrap().clone();
    for created in created {
        assert_eq!(created.unwrap(), first);
    }
    let problem = kit.other.submit(submission("another", Some("k"))).await;
    assert_eq!(problem.unwrap_err().code, ProblemCode::IdempotencyKeyReused);
    let claim = kit.pull().await;
    assert_eq!(claim.request().seed, Some(first.seed));
    assert!(pull_at_once(&*kit.worker).await.is_none());
    claim.finish(completed()).await.unwrap();
    let again = kit.app.submit(submission("a", Some("k"))).await.unwrap();
    assert_eq!(again, first);
    assert!(pull_at_once(&*kit.worker).await.is_none());
}

async fn events_begin_with_the_state_and_end_with_the_last_one(kit: Kit) {
    let id = kit.submit("a").await;
    let mut events = kit.other.events(&id).await.unwrap();
    let Some(JobEvent::State { number, view }) = events.next().await else {
        panic!("the state comes first")
    };
    assert_eq!(view.status, JobStatus::Queued);
    let claim = kit.pull().await;
    claim.backend("test").await;
    for step in 1..=8 {
        claim.step(steps(step)).await;
        let preview = JobPreview {
            progress: steps(step),
            image: format!("data:{step}"),
        };
        claim.preview(preview).await;
    }
    assert!(claim.finish(completed()).await.unwrap());
    let (mut numbers, mut views, mut previews) = (vec![number], vec![view], Vec::new());
    while let Some(event) = tokio::time::timeout(WAIT, events.next()).await.unwrap() {
        match event {
            JobEvent::State { number, view } => {
                numbers.push(number);
                views.push(view);
            }
            JobEvent::Preview(preview) => previews.push(preview.progress.step),
        }
    }
    assert!(numbers.is_sorted());
    assert!(views.is_sorted_by_key(|view| view.progress.step));
    assert_eq!(views.iter().filter(|v| v.status.is_final()).count(), 1);
    let last = views.last().unwrap();
    assert_eq!(last.status, JobStatus::Completed);
    assert_eq!(last.progress, steps(8));
    assert_eq!(last.backend.as_deref(), Some("test"));
    assert_eq!(**last, kit.app.get(&id).await.unwrap());
    assert!(!previews.is_empty() && previews.is_sorted());
    let late: Vec<_> = kit.app.events(&id).await.unwrap().collect().await;
    let [JobEvent::State { number, view }] = &late[..] else {
        panic!("{late:?}")
    };
    assert_eq!((*number, view), (*numbers.last().unwrap(), last));
}

async fn a_waiting_job_that_is_cancelled_ends_at_once(kit: Kit) {
    let id = kit.submit("a").await;
    let view = kit.other.cancel(&id).await.unwrap();
    assert_eq!(view.status, JobStatus::Cancelled);
    assert!(pull_at_once(&*kit.worker).await.is_none());
    assert_eq!(
        kit.app.cancel(&id).await.unwrap().status,
        JobStatus::Cancelled
    );
}

async fn a_running_job_hears_that_it_is_cancelled(kit: Kit) {
    let id = kit.submit("a").await;
    let claim = kit.pull().await;
    let view = kit.other.cancel(&id).await.unwrap();
    assert_eq!(view.status, JobStatus::Generating);
    let heard = async {
        while !claim.cancel().is_cancelled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WAIT, heard).await.unwrap();
    assert!(claim.finish(Outcome::Cancelled).await.unwrap());
    assert_eq!(kit.status(&id).await, JobStatus::Cancelled);
}

async fn a_cancelled_job_whose_worker_died_is_not_made(kit: Kit) {
    let id = kit.submit("a").await;
    let claim = kit.pull().await;
    kit.app.cancel(&id).await.unwrap();
    drop(claim);
    let last = kit.submit("b").await;
    let claim = kit.pull().await;
    assert_eq!(claim.id(), last);
    assert!(claim.finish(completed()).await.unwrap());
    let ended = async {
        while kit.status(&id).await != JobStatus::Cancelled {
            assert!(pull_at_once(&*kit.worker).await.is_none());
        }
    };
    tokio::time::timeout(WAIT, ended).await.unwrap();
}

async fn a_dropped_job_is_handed_out_again(kit: Kit) {
    let id = kit.submit("a").await;
    let claim = kit.pull().await;
    claim.step(steps(5)).await;
    drop(claim);
    let claim = kit.pull().await;
    assert_eq!(claim.id(), id);
    let view = kit.other.get(&id).await.unwrap();
    assert_eq!((view.attempt, view.progress), (2, steps(0)));
    assert!(claim.finish(completed()).await.unwrap());
    assert_eq!(kit.status(&id).await, JobStatus::Completed);
}

async fn a_job_that_kills_its_workers_fails_and_others_flow(kit: Kit) {
    let poison = kit.submit("poison").await;
    let good = kit.submit("good").await;
    let mut deaths = 0;
    let ended = async {
        while kit.status(&poison).await != JobStatus::Failed
            || kit.status(&good).await != JobStatus::Completed
        {
            let Some(claim) = pull_at_once(&*kit.worker).await else {
                continue;
            };
            if claim.id() == poison {
                deaths += 1;
                drop(claim);
            } else {
                claim.finish(completed()).await.unwrap();
            }
        }
    };
    tokio::time::timeout(WAIT * 2, ended).await.unwrap();
    assert_eq!(deaths, 3);
    let view = kit.other.get(&poison).await.unwrap();
    let error = view.error.unwrap();
    assert_eq!(
        (view.attempt, error.code),
        (3, ProblemCode::GenerationFailed)
    );
    assert!(error.detail.contains("3 times"), "{}", error.detail);
    assert!(pull_at_once(&*kit.worker).await.is_none());
}

async fn a_draining_worker_gives_its_job_back_unharmed(kit: Kit) {
    let id = kit.submit("a").await;
    for _ in 0..5 {
        let claim = kit.pull().await;
        assert_eq!(claim.id(), id);
        claim.hand_back(HandBack::Draining).await.unwrap();
    }
    assert_eq!(kit.status(&id).await, JobStatus::Queued);
    kit.pull().await;
    assert_eq!(kit.other.get(&id).await.unwrap().attempt, 1);
}

async fn a_failure_that_may_pass_is_tried_three_times(kit: Kit) {
    let id = kit.submit("a").await;
    for _ in 0..3 {
        let lost = Problem::new(ProblemCode::GenerationFailed, "the GPU went away");
        let claim = kit.pull().await;
        claim.hand_back(HandBack::Retry(lost)).await.unwrap();
    }
    let view = kit.other.get(&id).await.unwrap();
    assert_eq!(view.status, JobStatus::Failed);
    assert!(view.error.unwrap().detail.contains("the GPU went away"));
    assert!(pull_at_once(&*kit.worker).await.is_none());
}

async fn workers_get_only_their_models(kit: Kit) {
    let id = kit.submit("a").await;
    let other = ["other/model".to_owned()];
    let wait = Duration::from_millis(200);
    assert!(kit.worker.pull(&other, wait).await.unwrap().is_none());
    let both = ["other/model".to_owned(), GLYPH.to_owned()];
    let claim = kit.worker.pull(&both, WAIT).await.unwrap().unwrap();
    assert_eq!(claim.id(), id);
    // The one named first goes first, though it came later.
    kit.submit("b").await;
    let mut submission = submission("c", None);
    submission.request.model = "other/model".into();
    let preferred = kit.app.submit(submission).await.unwrap().id;
    let claim = kit.worker.pull(&both, WAIT).await.unwrap().unwrap();
    assert_eq!(claim.id(), preferred);
}

async fn a_worker_that_waits_is_woken(kit: Kit) {
    let worker = Arc::clone(&kit.worker);
    let waiting = tokio::spawn(async move { pull(&*worker).await.map(|c| c.id().to_owned()) });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let id = kit.submit("a").await;
    assert_eq!(waiting.await.unwrap(), Some(id));
}

/// A worker that is well.
pub fn worker() -> WorkerStatus {
    WorkerStatus {
        id: "w".into(),
        models: vec![GLYPH.into()],
        job: None,
        stepped_back: None,
    }
}

async fn estimates_come_from_jobs_that_ended(kit: Kit) {
    let worker = worker();
    let heard = async {
        while kit.app.status().await.workers == 0 {
            kit.worker.heartbeat(&worker).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WAIT, heard).await.unwrap();
    let first = kit.submit("a").await;
    assert_eq!(kit.app.get(&first).await.unwrap().eta_ms, None);
    let claim = kit.pull().await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    claim.finish(completed()).await.unwrap();
    // A replica may look at the line only a few times a second.
    tokio::time::sleep(Duration::from_millis(300)).await;
    kit.worker.heartbeat(&worker).await;
    let (next, last) = (kit.submit("b").await, kit.submit("c").await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let eta = async |id: &str| kit.app.get(id).await.unwrap().eta_ms.unwrap();
    let (soon, later) = (eta(&next).await, eta(&last).await);
    assert!(soon >= 60, "{soon}");
    assert!(later >= 2 * soon - 1, "{soon} {later}");
    kit.worker.leave("w").await;
    let gone = async {
        while kit.app.status().await.workers > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3), gone)
        .await
        .unwrap();
}

async fn what_is_no_job_is_not_found(kit: Kit) {
    for id in ["nobody", "", "*", ">", "a.b", "a b", "0000000000000000000"] {
        assert_eq!(
            kit.app.get(id).await.unwrap_err().code,
            ProblemCode::NotFound
        );
        let cancelled = kit.app.cancel(id).await.unwrap_err();
        assert_eq!(cancelled.code, ProblemCode::NotFound);
        let Err(problem) = kit.app.events(id).await else {
            panic!("{id}")
        };
        assert_eq!(problem.code, ProblemCode::NotFound);
    }
}

async fn every_job_ends_once_among_many_workers(kit: Kit) {
    let submitted = futures::future::join_all((0..60).map(|_| kit.submit("a"))).await;
    let workers = (0..4).map(|_| {
        let queue = Arc::clone(&kit.worker);
        tokio::spawn(async move {
            let mut ended = Vec::new();
            while let Some(claim) = pull_at_once(&*queue).await {
                let id = claim.id().to_owned();
                claim.step(steps(8)).await;
                assert!(claim.finish(completed()).await.unwrap());
                ended.push(id);
            }
            ended
        })
    });
    let mut ends: HashMap<String, u32> = HashMap::new();
    for ended in futures::future::join_all(workers).await {
        for id in ended.unwrap() {
            *ends.entry(id).or_default() += 1;
        }
    }
    assert_eq!(ends.len(), 60);
    for id in &submitted {
        assert_eq!(ends[id], 1);
        assert_eq!(kit.status(id).await, JobStatus::Completed);
    }
}

async fn a_job_that_nothing_took_on_comes_back_after_its_time(kit: Kit) {
    let id = kit.submit("a").await;
    let mut busy = Problem::new(ProblemCode::EndpointUnavailable, "busy");
    busy.retry_after = Some(1);
    let handed_back = tokio::time::Instant::now();
    let claim = kit.pull().await;
    claim
        .hand_back(HandBack::Refused(busy.clone()))
        .await
        .unwrap();
    let view = kit.other.get(&id).await.unwrap();
    assert_eq!((view.status, view.attempt), (JobStatus::Queued, 0));
    assert_eq!(view.postponed.unwrap().reason, busy);
    // Others do not wait for it.
    let next = kit.submit("b").await;
    let claim = kit.pull().await;
    assert_eq!(claim.id(), next);
    claim.finish(completed()).await.unwrap();
    let claim = kit.pull().await;
    assert_eq!(claim.id(), id);
    assert!(handed_back.elapsed() >= Duration::from_secs(1));
    let view = kit.other.get(&id).await.unwrap();
    assert_eq!((view.attempt, view.postponed), (1, None));
}

/// The retention of this kit's queue is one second.
async fn a_job_that_waits_for_longer_than_the_retention_is_known(kit: Kit) {
    let created = kit.app.submit(submission("a", Some("k"))).await.unwrap();
    let second = kit.submit("b").await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    for id in [&created.id, &second] {
        let view = kit.other.get(id).await.unwrap();
        assert_eq!(view.status, JobStatus::Queued);
        assert!(kit.other.events(id).await.is_ok());
    }
    let again = kit.other.submit(submission("a", Some("k"))).await.unwrap();
    assert_eq!(again, created, "the key is as young as its job");
    let view = kit.other.cancel(&created.id).await.unwrap();
    assert_eq!(view.status, JobStatus::Cancelled);
    let claim = kit.pull().await;
    assert_eq!(claim.id(), second, "a cancelled job is not made");
    claim.finish(completed()).await.unwrap();
    // From the end on the retention counts.
    assert_eq!(kit.status(&second).await, JobStatus::Completed);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    kit.submit("c").await;
    let gone = kit.other.get(&second).await.unwrap_err();
    assert_eq!(gone.code, ProblemCode::NotFound);
}

macro_rules! conformance {
    ($($test:ident with room for $capacity:literal,)*) => {
        mod in_process {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::Kit::embedded($capacity, super::RETENTION).await).await;
            })*

            #[tokio::test(flavor = "multi_thread")]
            async fn a_job_that_waits_for_longer_than_the_retention_is_known() {
                let kit = super::Kit::embedded(8, super::SHORT).await;
                super::a_job_that_waits_for_longer_than_the_retention_is_known(kit).await;
            }
        }
        mod nats {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::Kit::nats($capacity, super::RETENTION).await).await;
            })*

            #[tokio::test(flavor = "multi_thread")]
            async fn a_job_that_waits_for_longer_than_the_retention_is_known() {
                let kit = super::Kit::nats(8, super::SHORT).await;
                super::a_job_that_waits_for_longer_than_the_retention_is_known(kit).await;
            }
        }
    };
}

conformance! {
    jobs_leave_in_order_and_positions_follow with room for 8,
    a_full_queue_refuses_with_a_time_and_loses_nothing with room for 4,
    one_key_is_one_job with room for 8,
    events_begin_with_the_state_and_end_with_the_last_one with room for 8,
    a_waiting_job_that_is_cancelled_ends_at_once with room for 8,
    a_running_job_hears_that_it_is_cancelled with room for 8,
    a_cancelled_job_whose_worker_died_is_not_made with room for 8,
    a_dropped_job_is_handed_out_again with room for 8,
    a_job_that_kills_its_workers_fails_and_others_flow with room for 8,
    a_draining_worker_gives_its_job_back_unharmed with room for 8,
    a_failure_that_may_pass_is_tried_three_times with room for 8,
    a_job_that_nothing_took_on_comes_back_after_its_time with room for 8,
    workers_get_only_their_models with room for 8,
    a_worker_that_waits_is_woken with room for 8,
    estimates_come_from_jobs_that_ended with room for 8,
    what_is_no_job_is_not_found with room for 8,
    every_job_ends_once_among_many_workers with room for 64,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_job_cannot_end_it() {
    let kit = Kit::nats(8, RETENTION).await;
    let id = kit.submit("a").await;
    let silent = kit.pull().await;
    let holder = pull(&*kit.other).await.expect("the job, handed out again");
    assert_eq!(holder.id(), id);
    silent.step(steps(3)).await;
    assert!(silent.cancel().is_cancelled());
    assert!(!silent.finish(completed()).await.unwrap());
    assert_eq!(kit.status(&id).await, JobStatus::Generating);
    assert!(holder.finish(completed()).await.unwrap());
    assert_eq!(kit.status(&id).await, JobStatus::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_tells_of_itself_keeps_its_job() {
    let kit = Kit::nats(8, RETENTION).await;
    kit.submit("a").await;
    let claim = kit.pull().await;
    for _ in 0..8 {
        claim.keep().await;
        assert!(pull_at_once(&*kit.other).await.is_none());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(claim.finish(completed()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_outlast_a_restart_of_nats() {
    let mut nats = Nats::start();
    let app = nats.queue(8, Role::App).await;
    let worker = nats.queue(8, Role::Worker).await;
    let waiting = app.submit(submission("a", None)).await.unwrap().id;
    let claim = pull(&worker).await.unwrap();
    assert_eq!(claim.id(), waiting);
    nats.kill();
    let problem = async {
        loop {
            if let Err(problem) = app.get(&waiting).await {
                return problem;
            }
        }
    };
    let problem = tokio::time::timeout(WAIT, problem).await.unwrap();
    assert_eq!(problem.code, ProblemCode::QueueUnavailable);
    assert!(!app.status().await.reachable);
    let finishing = tokio::spawn(async move { claim.finish(completed()).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    nats.restart();
    assert!(finishing.await.unwrap().unwrap());
    // The app's own connection may come back a little later.
    let back = async {
        while !app.status().await.reachable {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WAIT, back).await.unwrap();
    assert_eq!(
        app.get(&waiting).await.unwrap().status,
        JobStatus::Completed
    );
    let next = app.submit(submission("b", None)).await.unwrap().id;
    assert_eq!(pull(&worker).await.unwrap().id(), next);
}
