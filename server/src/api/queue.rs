//! How much there is to do.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Hub;
use super::error::{ApiError, ApiResult};

/// What the queue holds.
#[derive(Serialize, ToSchema)]
pub struct QueueDepth {
    /// Every model that runs here.
    pub models: Vec<ModelDepth>,
}

/// What the queue holds of a model.
#[derive(Serialize, ToSchema)]
pub struct ModelDepth {
    /// `owner/name`.
    pub id: String,
    /// Jobs that wait or are being made.
    pub unfinished: usize,
}

/// Unfinished jobs by model, for what starts workers.
#[utoipa::path(
    get,
    path = "/api/v1/queue",
    operation_id = "showQueue",
    tag = "operations",
    responses((status = 200, description = "Jobs by model", body = QueueDepth), ApiError)
)]
pub async fn depth(State(hub): State<Hub>) -> ApiResult<Response> {
    let unfinished = hub.queue.unfinished().await?;
    let models = hub
        .catalog
        .now()
        .summaries()
        .into_iter()
        .map(|model| ModelDepth {
            unfinished: unfinished.get(&model.id).copied().unwrap_or_default(),
            id: model.id,
        });
    let depth = QueueDepth {
        models: models.collect(),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(depth)).into_response())
}
