//! How long jobs are known.

use std::time::Duration;

use protocol::{JobStatus, Problem, ProblemCode};
use server::jobs::{HandBack, Queue, Role};

use super::{Kit, WAIT, completed, pull, submission};
use crate::nats::Nats;

pub async fn what_is_no_job_is_not_found(kit: Kit) {
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

pub async fn a_job_that_nothing_took_on_comes_back_after_its_time(kit: Kit) {
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
pub async fn a_job_that_waits_for_longer_than_the_retention_is_known(kit: Kit) {
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
