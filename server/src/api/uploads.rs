//! Pictures that visitors made.

use axum::extract::State;
use axum::http::StatusCode;
use protocol::{ImageRecord, UploadRequest, UploadTicket};

use super::Hub;
use super::error::ApiResult;
use super::extract::{Json, Path};
use crate::images::Source;

pub async fn announce(
    State(hub): State<Hub>,
    Json(request): Json<UploadRequest>,
) -> ApiResult<(StatusCode, axum::Json<UploadTicket>)> {
    let ticket = hub.images.announce(request, Source::Browser).await?;
    Ok((StatusCode::CREATED, axum::Json(ticket)))
}

pub async fn commit(State(hub): State<Hub>, Path(id): Path) -> ApiResult<axum::Json<ImageRecord>> {
    Ok(axum::Json(hub.images.commit(&id).await?))
}
