//! The models: those that run here, their cards, the catalogue and its creators.

use axum::extract::{Path, State};
use protocol::{CreatorPage, ModelCard, ModelPage, ModelQuery, ModelSummary};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Hub;
use super::error::{ApiError, ApiResult};
use super::extract::Query;

/// The models that run here.
#[utoipa::path(
    get,
    path = "/api/v1/models",
    operation_id = "listModels",
    tag = "models",
    responses((status = 200, description = "Cards and limits, the default model first", body = [ModelSummary]))
)]
pub async fn list(State(hub): State<Hub>) -> axum::Json<Vec<ModelSummary>> {
    axum::Json(hub.catalog.now().summaries())
}

/// Searches the models that run here and those of the hub.
#[utoipa::path(
    get,
    path = "/api/v1/models/search",
    operation_id = "searchModels",
    tag = "models",
    params(ModelQuery),
    responses((status = 200, description = "Those that run here first, then the hub's, most downloaded first", body = ModelPage), ApiError)
)]
pub async fn search(
    State(hub): State<Hub>,
    Query(query): Query<ModelQuery>,
) -> ApiResult<axum::Json<ModelPage>> {
    Ok(axum::Json(hub.cards.search(&query).await?))
}

/// The card of a model: papers, people, licence, sizes and what it needs.
#[utoipa::path(
    get,
    path = "/api/v1/models/{owner}/{name}",
    operation_id = "getModel",
    tag = "models",
    params(("owner" = String, Path, description = "Creator"), ("name" = String, Path, description = "Name")),
    responses((status = 200, description = "What is known; what is not is absent, and `provenance` says why", body = ModelCard), ApiError)
)]
pub async fn show(
    State(hub): State<Hub>,
    Path((owner, name)): Path<(String, String)>,
) -> ApiResult<axum::Json<ModelCard>> {
    Ok(axum::Json(hub.cards.card(&owner, &name).await?))
}

/// Paging of a creator's models.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Models on a page, 1 to 60; absent: 24.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The models of a creator.
#[utoipa::path(
    get,
    path = "/api/v1/creators/{owner}/models",
    operation_id = "listModelsOfCreator",
    tag = "models",
    params(("owner" = String, Path, description = "Creator"), Paging),
    responses((status = 200, description = "Those that run here first, then the hub's", body = CreatorPage), ApiError)
)]
pub async fn of_creator(
    State(hub): State<Hub>,
    Path(owner): Path<String>,
    Query(paging): Query<Paging>,
) -> ApiResult<axum::Json<CreatorPage>> {
    let page = hub
        .cards
        .creator(&owner, paging.limit, paging.cursor)
        .await?;
    Ok(axum::Json(page))
}
