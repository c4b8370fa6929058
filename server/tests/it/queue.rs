//! What every queue must do, in process and over NATS.

mod ends;
mod retention;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use protocol::{ImageRef, JobStatus, Progress};
use server::images::Keeping;
use server::jobs::embedded::FILE;
use server::jobs::{Claim, EmbeddedQueue, JobKey, Outcome, Queue, Role, Submission, WorkerStatus};
use server::limits::ClientKey;

use tempfile::TempDir;

use crate::hub::{GLYPH, resolved};
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

    pub async fn submit(&self, prompt: &str) -> String {
        self.app.submit(submission(prompt, None)).await.unwrap().id
    }

    pub async fn pull(&self) -> Box<dyn Claim> {
        pull(&*self.worker).await.expect("a job")
    }

    pub async fn status(&self, id: &str) -> JobStatus {
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
    Submission {
        request: resolved(prompt, 1),
        resume: None,
        start: None,
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

/// A worker that is well.
pub fn worker() -> WorkerStatus {
    WorkerStatus {
        id: "w".into(),
        models: vec![GLYPH.into()],
        job: None,
        stepped_back: None,
    }
}

macro_rules! conformance {
    ($($group:ident::$test:ident with room for $capacity:literal,)*) => {
        mod in_process {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$group::$test(super::Kit::embedded($capacity, super::RETENTION).await).await;
            })*

            #[tokio::test(flavor = "multi_thread")]
            async fn a_job_that_waits_for_longer_than_the_retention_is_known() {
                let kit = super::Kit::embedded(8, super::SHORT).await;
                super::retention::a_job_that_waits_for_longer_than_the_retention_is_known(kit).await;
            }
        }
        mod nats {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$group::$test(super::Kit::nats($capacity, super::RETENTION).await).await;
            })*

            #[tokio::test(flavor = "multi_thread")]
            async fn a_job_that_waits_for_longer_than_the_retention_is_known() {
                let kit = super::Kit::nats(8, super::SHORT).await;
                super::retention::a_job_that_waits_for_longer_than_the_retention_is_known(kit).await;
            }
        }
    };
}

conformance! {
    turns::jobs_leave_in_order_and_positions_follow with room for 8,
    turns::a_full_queue_refuses_with_a_time_and_loses_nothing with room for 4,
    turns::one_key_is_one_job with room for 8,
    ends::events_begin_with_the_state_and_end_with_the_last_one with room for 8,
    ends::a_waiting_job_that_is_cancelled_ends_at_once with room for 8,
    ends::a_running_job_hears_that_it_is_cancelled with room for 8,
    ends::a_cancelled_job_whose_worker_died_is_not_made with room for 8,
    ends::a_dropped_job_is_handed_out_again with room for 8,
    ends::a_job_that_kills_its_workers_fails_and_others_flow with room for 8,
    ends::a_draining_worker_gives_its_job_back_unharmed with room for 8,
    ends::a_failure_that_may_pass_is_tried_three_times with room for 8,
    retention::a_job_that_nothing_took_on_comes_back_after_its_time with room for 8,
    turns::workers_get_only_their_models with room for 8,
    turns::a_worker_that_waits_is_woken with room for 8,
    turns::estimates_come_from_jobs_that_ended with room for 8,
    retention::what_is_no_job_is_not_found with room for 8,
    ends::what_a_job_begins_with_is_needed_until_it_ends with room for 8,
    turns::every_job_ends_once_among_many_workers with room for 64,
}
