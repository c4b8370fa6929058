//! Pictures that others begin with, and masks.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use protocol::{InputRequest, UploadTicket};

use super::Hub;
use super::error::{ApiError, ApiResult};
use super::extract::{Json, Path};
use super::uploads::announced;
use super::visitor::Visitor;

/// Announce a picture to begin with, or a mask; the answer says how to send the bytes to the store.
///
/// Once they are there, the client's requests may name the id for a day (`start` of a job). Nobody is shown the picture;
/// what a picture that is made of it says is its digest. A client without the owner cookie gets one.
#[utoipa::path(
    post,
    path = "/api/v1/inputs",
    operation_id = "announceInput",
    tag = "uploads",
    request_body = InputRequest,
    responses((status = 201, description = "A presigned PUT for exactly these bytes", body = UploadTicket), ApiError)
)]
pub async fn announce(
    State(hub): State<Hub>,
    visitor: Visitor,
    Json(request): Json<InputRequest>,
) -> ApiResult<Response> {
    let (client, cookie) = visitor.client(&hub)?;
    let ticket = hub.images.announce_input(request, &client).await?;
    Ok(announced(ticket, cookie))
}

/// Delete a picture to begin with before its day is over; only for the client that announced it. Jobs that still need it
/// fail.
#[utoipa::path(
    delete,
    path = "/api/v1/inputs/{id}",
    operation_id = "deleteInput",
    tag = "uploads",
    params(("id" = String, Path, description = "Id of the announcement")),
    responses((status = 204, description = "It is gone"), ApiError)
)]
pub async fn delete(
    State(hub): State<Hub>,
    visitor: Visitor,
    Path(id): Path,
) -> ApiResult<StatusCode> {
    hub.images.delete_input(&id, visitor.owner.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
