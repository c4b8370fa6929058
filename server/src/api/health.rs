//! For load balancers and supervisors.

use std::time::Duration;

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::{Hub, not_found};
use crate::telemetry::exposition;

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

/// Headers that only a proxy adds: what comes with one is not of this machine.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// What this process counts, in Prometheus' text form. On this port only for clients on the same machine; others
/// reach the port of `--metrics-listen`.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "readMetrics",
    tag = "operations",
    responses(
        (status = 200, description = "Counters of this process", body = String, content_type = "text/plain"),
        (status = 404, description = "Asked from another machine", body = protocol::Problem, content_type = "application/problem+json"),
    )
)]
pub async fn metrics(State(hub): State<Hub>, request: Request) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let here = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
    let headers = request.headers();
    if !here || FORWARDED.iter().any(|name| headers.contains_key(*name)) {
        return not_found(request.uri()).into_response();
    }
    let models: Vec<String> = hub
        .catalog
        .summaries()
        .into_iter()
        .map(|model| model.id)
        .collect();
    exposition::answer(&*hub.queue, &models).await
}
