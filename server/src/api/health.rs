//! For load balancers and supervisors.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::Hub;

/// Longest wait for the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);

/// What is ready.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Readiness {
    storage: bool,
    queue: bool,
    worker: bool,
    models: usize,
}

/// The process runs.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "isAlive",
    tag = "operations",
    responses((status = 200, description = "`ok`", body = String, content_type = "text/plain"))
)]
pub async fn alive() -> &'static str {
    "ok"
}

/// The server can do its work.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "isReady",
    tag = "operations",
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 503, description = "Something is missing", body = Readiness),
    )
)]
pub async fn ready(State(hub): State<Hub>) -> (StatusCode, Json<Readiness>) {
    let storage = tokio::time::timeout(STORE_TIMEOUT, hub.images.store().check()).await;
    if let Ok(Err(error)) = &storage {
        tracing::warn!(%error, "not ready");
    }
    let queue = hub.queue.status().await;
    let readiness = Readiness {
        storage: matches!(storage, Ok(Ok(()))),
        queue: queue.reachable,
        worker: queue.workers > 0,
        models: hub.catalog.summaries().len(),
    };
    let worked = readiness.worker || queue.workers_optional;
    let status = if readiness.storage && readiness.queue && worked && readiness.models > 0 {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness))
}
