//! The store is away.

use std::time::{Duration, Instant};

use protocol::{JobStatus, ProblemCode};
use reqwest::StatusCode;

use crate::hub::{Hub, assert_problem, picture, request, upload_request};

/// Longest acceptable wait for the answer that the store is away.
const PATIENCE: Duration = Duration::from_secs(12);

async fn over(endpoint: &str) -> Hub {
    Hub::with(&[
        "--s3-endpoint",
        endpoint,
        "--s3-bucket=demo-hub",
        "--s3-access-key-id=id",
        "--s3-secret-access-key=secret",
        "--save-patience-seconds=0",
    ])
    .await
}

async fn everything_says_so(hub: &Hub) {
    let upload = upload_request(&picture(1));
    let before = Instant::now();
    let response = hub.post("/api/v1/uploads", &upload).await;
    assert_problem(response, ProblemCode::StorageUnavailable).await;
    assert!(before.elapsed() < PATIENCE);

    for path in ["/api/v1/images", "/api/v1/images/0000000000000000000"] {
        let before = Instant::now();
        assert_problem(hub.get(path).await, ProblemCode::StorageUnavailable).await;
        assert!(before.elapsed() < PATIENCE, "{path}");
    }
    // What needs no store stays in service, and is served.
    let ready = hub.get("/readyz").await;
    assert_eq!(ready.status(), StatusCode::OK);
    let ready: serde_json::Value = ready.json().await.unwrap();
    assert_eq!(ready["status"], "degraded");
    assert_eq!(
        (&ready["storage"], &ready["storing"]),
        (&false.into(), &false.into())
    );
    let required = hub.get("/readyz?require=storage").await;
    assert_eq!(required.status(), StatusCode::SERVICE_UNAVAILABLE);
    for path in [
        "/healthz",
        "/",
        "/models",
        "/storage",
        "/api/v1/models",
        "/api/docs",
    ] {
        let before = Instant::now();
        assert_eq!(hub.get(path).await.status(), StatusCode::OK, "{path}");
        assert!(before.elapsed() < PATIENCE, "{path}");
    }
}

/// A port that nobody listens on.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection() {
    let hub = over(&format!("http://127.0.0.1:{}", closed_port())).await;
    everything_says_so(&hub).await;

    let job = hub.submit(&request("red apple", 1)).await;
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    assert_eq!(view.status, JobStatus::Failed);
    assert_eq!(view.error.unwrap().code, ProblemCode::StorageUnavailable);
    assert!(view.image.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_never_answers() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hub = over(&format!("http://{}", listener.local_addr().unwrap())).await;
    everything_says_so(&hub).await;
}
