//! The store has no room left.

use protocol::{ImageRecord, ProblemCode};
use reqwest::StatusCode;
use serde_json::Value;

use crate::conditional::Meddler;
use crate::hostile::opened;
use crate::hub::{Hub, assert_problem, json, picture, upload_request};
use crate::stores::Bucket;

async fn ready(hub: &Hub, query: &str) -> (StatusCode, Value) {
    let answer = hub.get(&format!("/readyz{query}")).await;
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_says_so_and_loses_nothing() {
    let moto = Bucket::moto().await;
    let (meddler, settings) = Meddler::start(&moto, false).await;
    let hub = moto
        .hub_at(settings.endpoint.as_deref().unwrap(), &[])
        .await;
    let kept = hub.save(picture(1)).await;
    let removed = hub.save(picture(2)).await;
    let bytes = picture(3);
    let ticket = hub.announce(&upload_request(&bytes)).await;
    hub.put(&ticket, bytes.clone()).await;
    let (status, state) = ready(&hub, "").await;
    assert_eq!(
        (status, &state["status"]),
        (StatusCode::OK, &"ready".into())
    );

    meddler.fill(true);
    let announced = hub
        .post("/api/v1/uploads", &upload_request(&picture(4)))
        .await;
    assert_eq!(announced.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(announced.headers()["retry-after"], "60");
    assert_problem(announced, ProblemCode::StorageFull).await;
    assert_problem(hub.commit(&ticket.id).await, ProblemCode::StorageFull).await;

    let (status, state) = ready(&hub, "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(state["status"], "degraded");
    assert_eq!(
        (&state["storage"], &state["storing"]),
        (&true.into(), &false.into())
    );
    for (query, expected) in [
        ("?require=storage,queue", StatusCode::OK),
        ("?require=storing", StatusCode::SERVICE_UNAVAILABLE),
        ("?require=queue,storing", StatusCode::SERVICE_UNAVAILABLE),
        ("?require=colour", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(ready(&hub, query).await.0, expected, "{query}");
    }
    // Reading and deleting go on.
    assert_eq!(opened(&hub, &kept).await.len() as u64, kept.bytes);
    assert!(hub.listed().await.contains(&removed));

    meddler.fill(false);
    let record: ImageRecord = json(hub.commit(&ticket.id).await).await;
    assert_eq!(opened(&hub, &record).await, bytes);
    assert_eq!(ready(&hub, "?require=storing").await.0, StatusCode::OK);
}
