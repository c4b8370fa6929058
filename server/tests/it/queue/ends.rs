//! How jobs are followed, and how they end.

use std::time::Duration;

use futures::StreamExt;
use protocol::{JobPreview, JobStatus, MaskBy, Problem, ProblemCode};
use server::images::Input;
use server::jobs::{HandBack, JobEvent, JobStart, Outcome, Submission};

use super::{Kit, RETENTION, WAIT, completed, pull, pull_at_once, steps, submission};

pub async fn events_begin_with_the_state_and_end_with_the_last_one(kit: Kit) {
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

pub async fn a_waiting_job_that_is_cancelled_ends_at_once(kit: Kit) {
    let id = kit.submit("a").await;
    let view = kit.other.cancel(&id).await.unwrap();
    assert_eq!(view.status, JobStatus::Cancelled);
    assert!(pull_at_once(&*kit.worker).await.is_none());
    assert_eq!(
        kit.app.cancel(&id).await.unwrap().status,
        JobStatus::Cancelled
    );
}

pub async fn a_running_job_hears_that_it_is_cancelled(kit: Kit) {
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

pub async fn a_cancelled_job_whose_worker_died_is_not_made(kit: Kit) {
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

pub async fn a_dropped_job_is_handed_out_again(kit: Kit) {
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

pub async fn a_job_that_kills_its_workers_fails_and_others_flow(kit: Kit) {
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

pub async fn a_draining_worker_gives_its_job_back_unharmed(kit: Kit) {
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

pub async fn a_failure_that_may_pass_is_tried_three_times(kit: Kit) {
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

pub async fn what_a_job_begins_with_is_needed_until_it_ends(kit: Kit) {
    let input = |id: &str| Input {
        id: id.to_owned(),
        sha256: "0f".repeat(32),
    };
    let start = JobStart {
        image: input("a"),
        strength: 0.5,
        mask: Some(input("b")),
        mask_by: MaskBy::Transparency,
    };
    let begun = Submission {
        start: Some(start.clone()),
        ..submission("a", None)
    };
    let needed = async || {
        let mut needed: Vec<String> = kit.other.inputs().await.unwrap().into_iter().collect();
        needed.sort();
        needed
    };
    kit.submit("from noise").await;
    let noise = kit.pull().await;
    assert!(noise.start().is_none());
    noise.finish(completed()).await.unwrap();
    let id = kit.app.submit(begun).await.unwrap().id;
    assert_eq!(needed().await, ["a", "b"]);
    let view = kit.other.get(&id).await.unwrap();
    assert_eq!(view.progress.total_steps, 4);
    let claim = kit.pull().await;
    assert_eq!(claim.start(), Some(&start));
    claim.hand_back(HandBack::Draining).await.unwrap();
    assert_eq!(needed().await, ["a", "b"]);
    kit.app.cancel(&id).await.unwrap();
    assert!(needed().await.is_empty());
}
