//! The models that run here.

use axum::extract::State;
use protocol::ModelSummary;

use super::Hub;

pub async fn list(State(hub): State<Hub>) -> axum::Json<Vec<ModelSummary>> {
    axum::Json(hub.catalog.summaries())
}
