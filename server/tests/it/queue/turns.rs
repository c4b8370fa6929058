//! Who is next, and who is let in.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::{JobStatus, ProblemCode};
use server::jobs::Submission;

use super::{Kit, WAIT, completed, pull, pull_at_once, steps, submission, worker};
use crate::hub::{GLYPH, resolved};

pub async fn jobs_leave_in_order_and_positions_follow(kit: Kit) {
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

pub async fn a_full_queue_refuses_with_a_time_and_loses_nothing(kit: Kit) {
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

pub async fn one_key_is_one_job(kit: Kit) {
    let submissions = (0..4).map(|i| {
        let queue = if i % 2 == 0 { &kit.app } else { &kit.other };
        queue.submit(Submission {
            request: resolved("a", i),
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

pub async fn workers_get_only_their_models(kit: Kit) {
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

pub async fn a_worker_that_waits_is_woken(kit: Kit) {
    let worker = Arc::clone(&kit.worker);
    let waiting = tokio::spawn(async move { pull(&*worker).await.map(|c| c.id().to_owned()) });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let id = kit.submit("a").await;
    assert_eq!(waiting.await.unwrap(), Some(id));
}

pub async fn estimates_come_from_jobs_that_ended(kit: Kit) {
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

pub async fn every_job_ends_once_among_many_workers(kit: Kit) {
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
