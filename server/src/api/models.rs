//! The models that run here.

use axum::extract::State;
use protocol::ModelSummary;

use super::Hub;

/// The models that run here.
#[utoipa::path(
    get,
    path = "/api/v1/models",
    operation_id = "listModels",
    tag = "models",
    responses((status = 200, description = "Cards and limits, the default model first", body = [ModelSummary]))
)]
pub async fn list(State(hub): State<Hub>) -> axum::Json<Vec<ModelSummary>> {
    axum::Json(hub.catalog.summaries())
}
