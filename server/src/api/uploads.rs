//! Pictures that visitors made.

use axum::extract::State;
use axum::http::StatusCode;
use protocol::{ImageRecord, UploadRequest, UploadTicket};

use super::Hub;
use super::error::{ApiError, ApiResult};
use super::extract::{Json, Path};
use crate::images::Source;

/// Announce an upload; the answer says how to send the bytes to the store.
#[utoipa::path(
    post,
    path = "/api/v1/uploads",
    operation_id = "announceUpload",
    tag = "uploads",
    request_body = UploadRequest,
    responses((status = 201, description = "A presigned PUT for exactly these bytes", body = UploadTicket), ApiError)
)]
pub async fn announce(
    State(hub): State<Hub>,
    Json(request): Json<UploadRequest>,
) -> ApiResult<(StatusCode, axum::Json<UploadTicket>)> {
    let ticket = hub.images.announce(request, Source::Browser).await?;
    Ok((StatusCode::CREATED, axum::Json(ticket)))
}

/// List an uploaded picture.
#[utoipa::path(
    post,
    path = "/api/v1/uploads/{id}/commit",
    operation_id = "commitUpload",
    tag = "uploads",
    params(("id" = String, Path, description = "Id of the upload")),
    responses((status = 200, description = "The listed picture", body = ImageRecord), ApiError)
)]
pub async fn commit(State(hub): State<Hub>, Path(id): Path) -> ApiResult<axum::Json<ImageRecord>> {
    Ok(axum::Json(hub.images.commit(&id).await?))
}
