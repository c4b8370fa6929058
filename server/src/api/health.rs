//! For load balancers and supervisors.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::{Problem, ProblemCode};
use serde::{Deserialize, Serialize};

use super::extract::Query;
use super::{ApiError, Hub, not_found};
use crate::telemetry::exposition;

/// Longest wait for the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether requests should be sent here.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// All of it works.
    Ready,
    /// Pages and models are served; some of the parts are away.
    Degraded,
    /// Nothing should be sent here.
    NotReady,
}

/// What is ready.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Readiness {
    status: Status,
    /// Pictures can be read.
    storage: bool,
    /// Pictures can be stored: not so on a full disk, or where all have what all may have.
    storing: bool,
    /// Jobs are taken.
    queue: bool,
    /// Somebody makes pictures of jobs.
    worker: bool,
    /// Models that run here.
    models: usize,
}

/// Parts that the asking side cannot do without.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Required {
    /// Parts without which the answer is 503, separated by commas: `storage`, `storing`, `queue`, `worker`.
    #[serde(default)]
    #[param(pattern = r"^((storage|storing|queue|worker)(,(storage|storing|queue|worker))*)?$")]
    require: String,
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

/// Requests may be sent here. Parts that are away are named; they make it 503 only where they are required.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "isReady",
    tag = "operations",
    params(Required),
    responses(
        (status = 200, description = "Ready, or degraded", body = Readiness),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A required part is unknown", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Stopping, without a model, or without a required part", body = Readiness),
    )
)]
pub async fn ready(State(hub): State<Hub>, Query(required): Query<Required>) -> Response {
    let mut readiness = look(&hub).await;
    let mut missing = false;
    for part in required.require.split(',').filter(|part| !part.is_empty()) {
        missing |= !match part {
            "storage" => readiness.storage,
            "storing" => readiness.storing,
            "queue" => readiness.queue,
            "worker" => readiness.worker,
            _ => return unknown_part().into_response(),
        };
    }
    if missing || readiness.models == 0 || hub.stopping.has_begun() {
        readiness.status = Status::NotReady;
        return (StatusCode::SERVICE_UNAVAILABLE, Json(readiness)).into_response();
    }
    Json(readiness).into_response()
}

async fn look(hub: &Hub) -> Readiness {
    let store = hub.images.store();
    let storage = async {
        let storage = tokio::time::timeout(STORE_TIMEOUT, store.check()).await;
        if let Ok(Err(error)) = &storage {
            tracing::warn!(%error, "the picture store is away");
        }
        let storage = matches!(storage, Ok(Ok(())));
        let storing = storage
            && !hub.images.is_full()
            && tokio::time::timeout(STORE_TIMEOUT, store.can_store())
                .await
                .unwrap_or(false);
        (storage, storing)
    };
    let ((storage, storing), queue) = tokio::join!(storage, hub.queue.status());
    let worker = queue.workers > 0;
    let whole = storage && storing && queue.reachable && (worker || queue.workers_optional);
    Readiness {
        status: if whole {
            Status::Ready
        } else {
            Status::Degraded
        },
        storage,
        storing,
        queue: queue.reachable,
        worker,
        models: hub.catalog.now().summaries().len(),
    }
}

fn unknown_part() -> ApiError {
    let mut problem = Problem::new(
        ProblemCode::OutOfRange,
        "`require` names a part that there is not",
    )
    .with_hint("The parts are storage, storing, queue and worker.");
    problem.field = Some("require".into());
    ApiError(problem)
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
    exposition::answer(&*hub.queue, &hub.catalog).await
}
