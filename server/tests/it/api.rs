//! What holds for every address of the API.

use protocol::ProblemCode;
use reqwest::{Method, StatusCode};

use crate::hub::{Hub, assert_problem};

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems() {
    let hub = Hub::start().await;
    for path in [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v2/jobs",
        "/images/nothing",
    ] {
        assert_problem(hub.get(path).await, ProblemCode::NotFound).await;
    }
    for (method, path) in [
        (Method::GET, "/api/v1/jobs"),
        (Method::PUT, "/api/v1/jobs/1"),
        (Method::DELETE, "/api/v1/images"),
        (Method::GET, "/api/v1/uploads/1/commit"),
    ] {
        let response = hub.send(method, path).await;
        assert!(response.headers().contains_key("allow"), "{path}");
        assert_problem(response, ProblemCode::MethodNotAllowed).await;
    }
}

#[tokio::test]
async fn answers_carry_ids_and_policies() {
    let hub = Hub::start().await;
    let response = hub
        .http
        .get(format!("{}/api/v1/models", hub.url))
        .header("x-request-id", "from-the-proxy")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-request-id"], "from-the-proxy");
    assert_eq!(
        response.headers()["content-security-policy"],
        "default-src 'none'; frame-ancestors 'none'"
    );
    let ready = hub.get("/readyz").await;
    assert_eq!(ready.status(), StatusCode::OK);
    let ready: serde_json::Value = ready.json().await.unwrap();
    assert_eq!(
        ready,
        serde_json::json!({"status": "ready", "storage": true, "storing": true, "queue": true, "worker": true, "models": 1})
    );
}
