//! Finished pictures whose store is away.

use std::time::{Duration, Instant};

use protocol::{GenerationRequest, JobStatus};
use reqwest::Method;

use crate::gate::Gated;
use crate::hub::{Folders, Hub, request};

fn quick(seed: u64) -> GenerationRequest {
    GenerationRequest {
        num_inference_steps: Some(1),
        ..request("red apple", seed)
    }
}

/// Waits until the job's picture is in hand and the store has refused it.
async fn refused(gated: &Gated, hub: &Hub, id: &str) {
    hub.wait(id, |view| {
        assert!(!view.status.is_final(), "{view:?}");
        view.progress.step == 1
    })
    .await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while gated.gate.refused() == 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_held_until_the_store_is_back() {
    let gated = Gated::start().await;
    let hub = gated.hub(Folders::new(), &[]).await;
    // Once undisturbed, so that the store is known.
    let first = hub.submit(&quick(1)).await;
    hub.wait(&first.id, |view| view.status == JobStatus::Completed)
        .await;
    gated.gate.close();
    let job = hub.submit(&quick(2)).await;
    refused(&gated, &hub, &job.id).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let view = hub.job(&job.id).await;
    assert_eq!(view.status, JobStatus::Generating, "{view:?}");
    gated.gate.open();
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    assert_eq!(view.status, JobStatus::Completed, "{view:?}");
    assert_eq!(view.attempt, 1, "the picture was made once");
    let image = view.image.unwrap();
    let record = hub
        .get(&image.permalink.replace("/i/", "/api/v1/images/"))
        .await;
    assert_eq!(record.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_picture_is_held_can_be_cancelled() {
    let gated = Gated::start().await;
    let hub = gated.hub(Folders::new(), &[]).await;
    gated.gate.close();
    let job = hub.submit(&quick(1)).await;
    refused(&gated, &hub, &job.id).await;
    hub.send(Method::DELETE, &format!("/api/v1/jobs/{}", job.id))
        .await;
    let asked = Instant::now();
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    assert_eq!(view.status, JobStatus::Cancelled, "{view:?}");
    // An attempt that is under way ends by itself: a few seconds at most.
    assert!(asked.elapsed() < Duration::from_secs(30));
    gated.gate.open();
    let next = hub.submit(&quick(2)).await;
    let view = hub.wait(&next.id, |view| view.status.is_final()).await;
    assert_eq!(view.status, JobStatus::Completed, "{view:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_while_the_store_is_away_gives_the_job_back_unharmed() {
    let gated = Gated::start().await;
    let hub = gated
        .hub(Folders::new(), &["--shutdown-grace-seconds=1"])
        .await;
    gated.gate.close();
    let job = hub.submit(&quick(1)).await;
    refused(&gated, &hub, &job.id).await;
    let asked = Instant::now();
    let folders = hub.stop().await;
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    gated.gate.open();
    let hub = gated.hub(folders, &[]).await;
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    assert_eq!((view.status, view.attempt), (JobStatus::Completed, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_stores_what_it_holds_if_the_store_comes_back_in_time() {
    let gated = Gated::start().await;
    let hub = gated
        .hub(Folders::new(), &["--shutdown-grace-seconds=30"])
        .await;
    gated.gate.close();
    let job = hub.submit(&quick(1)).await;
    refused(&gated, &hub, &job.id).await;
    let reopen = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        gated.gate.open();
    };
    let (folders, ()) = tokio::join!(hub.stop(), reopen);
    let hub = gated.hub(folders, &["--embedded-worker=false"]).await;
    let view = hub.job(&job.id).await;
    assert_eq!((view.status, view.attempt), (JobStatus::Completed, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stays_away_fails_the_job_after_its_patience() {
    let gated = Gated::start().await;
    let hub = gated
        .hub(Folders::new(), &["--save-patience-seconds=1"])
        .await;
    gated.gate.close();
    let job = hub.submit(&quick(1)).await;
    let waits = hub
        .wait(&job.id, |view| {
            view.postponed.is_some() || view.status.is_final()
        })
        .await;
    assert_eq!(waits.status, JobStatus::Queued, "{waits:?}");
    let reason = waits.postponed.unwrap().reason;
    assert_eq!(reason.code, protocol::ProblemCode::StorageUnavailable);
    gated.gate.open();
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    assert_eq!((view.status, view.attempt), (JobStatus::Completed, 2));
}
