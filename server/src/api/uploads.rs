//! Pictures that visitors made.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::{ImageRecord, UploadRequest, UploadTicket};

use super::Hub;
use super::error::{ApiError, ApiResult};
use super::extract::{Json, Path};
use super::visitor::{Visitor, set_cookie};

/// Announce an upload; the answer says how to send the bytes to the store.
///
/// A client without the owner cookie gets one: whoever holds it may commit, hide and delete the picture.
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
    visitor: Visitor,
    Json(request): Json<UploadRequest>,
) -> ApiResult<Response> {
    let (client, cookie) = visitor.client(&hub)?;
    let ticket = hub.images.announce(request, &client).await?;
    Ok(announced(ticket, cookie))
}

/// The answer to an announcement.
pub(super) fn announced(ticket: UploadTicket, cookie: Option<HeaderValue>) -> Response {
    let mut response = (
        StatusCode::CREATED,
        [(header::CACHE_CONTROL, "no-store")],
        axum::Json(ticket),
    )
        .into_response();
    set_cookie(response.headers_mut(), cookie);
    response
}

/// Save an uploaded picture; only for the client that announced it.
#[utoipa::path(
    post,
    path = "/api/v1/uploads/{id}/commit",
    operation_id = "commitUpload",
    tag = "uploads",
    params(("id" = String, Path, description = "Id of the upload")),
    responses((status = 200, description = "The picture", body = ImageRecord), ApiError)
)]
pub async fn commit(
    State(hub): State<Hub>,
    visitor: Visitor,
    Path(id): Path,
) -> ApiResult<axum::Json<ImageRecord>> {
    let (owner, address) = (visitor.owner.as_ref(), visitor.address());
    Ok(axum::Json(hub.images.commit(&id, owner, address).await?))
}
