//! Listed pictures.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use protocol::{GalleryPage, ImageRecord, Problem, ProblemCode};
use serde::Deserialize;

use super::Hub;
use super::error::{ApiError, ApiResult};
use super::extract::{Path, Query};
use crate::images::DEFAULT_PAGE;

#[derive(Deserialize)]
pub struct Page {
    cursor: Option<String>,
    limit: Option<usize>,
}

/// The gallery, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/images",
    operation_id = "listImages",
    tag = "images",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "Pictures on the page, 24 unless said otherwise"),
    ),
    responses((status = 200, description = "A page", body = GalleryPage), ApiError)
)]
pub async fn list(
    State(hub): State<Hub>,
    Query(page): Query<Page>,
) -> ApiResult<axum::Json<GalleryPage>> {
    let limit = page.limit.unwrap_or(DEFAULT_PAGE);
    let page = hub.images.gallery(page.cursor.as_deref(), limit).await?;
    Ok(axum::Json(page))
}

/// A listed picture.
#[utoipa::path(
    get,
    path = "/api/v1/images/{id}",
    operation_id = "getImage",
    tag = "images",
    params(("id" = String, Path, description = "Id of the picture")),
    responses((status = 200, description = "Its record", body = ImageRecord), ApiError)
)]
pub async fn show(State(hub): State<Hub>, Path(id): Path) -> ApiResult<axum::Json<ImageRecord>> {
    Ok(axum::Json(hub.images.record(&id).await?))
}

/// The bytes of a picture: sends the browser to the store, so that an upload is never served from this origin.
#[utoipa::path(
    get,
    path = "/images/{file}",
    operation_id = "getImageFile",
    tag = "images",
    params(("file" = String, Path, description = "`<sha256>.png`")),
    responses(
        (status = 307, description = "Presigned address", headers(("location" = String, description = "Address in the store"))),
        ApiError,
    )
)]
pub async fn bytes(State(hub): State<Hub>, Path(file): Path) -> ApiResult<Response> {
    let Some(sha256) = file.strip_suffix(".png") else {
        return Err(ApiError(Problem::new(
            ProblemCode::NotFound,
            "pictures are named <sha256>.png",
        )));
    };
    let url = hub.images.presigned_url(sha256).await?;
    Ok((
        [(header::CACHE_CONTROL, "private, no-store")],
        Redirect::temporary(&url),
    )
        .into_response())
}
