//! Stored pictures.

mod export;
mod negotiate;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use protocol::{GalleryPage, GalleryQuery, ImageChange, ImageRecord, Problem, ProblemCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Hub;
use super::error::{ApiError, ApiResult, internal};
use super::extract::{Json, Path, Query};
use super::visitor::Visitor;
use crate::storage::GET_VALID_SECONDS;

pub use export::{__path_export, export};
pub use negotiate::record_or_page;

/// The gallery, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/images",
    operation_id = "listImages",
    tag = "images",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "Pictures on the page, 1 to 60; 24 unless said otherwise"),
        ("model" = Option<String>, Query, description = "Only of this model, `owner/name`"),
        ("creator" = Option<String>, Query, description = "Only of models by this creator"),
        ("mine" = Option<bool>, Query, description = "Only the client's own, unlisted ones included"),
    ),
    responses((status = 200, description = "A page", body = GalleryPage), ApiError)
)]
pub async fn list(
    State(hub): State<Hub>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(query): Query<GalleryQuery>,
) -> ApiResult<Response> {
    let page = hub.images.gallery(&query, visitor.owner.as_ref()).await?;
    revalidated(&headers, &page)
}

/// A picture's record.
#[utoipa::path(
    get,
    path = "/api/v1/images/{id}",
    operation_id = "getImage",
    tag = "images",
    params(("id" = String, Path, description = "Id of the picture")),
    responses((status = 200, description = "Its record", body = ImageRecord), ApiError)
)]
pub async fn show(
    State(hub): State<Hub>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(id): Path,
) -> ApiResult<Response> {
    let record = hub.images.record(&id, visitor.owner.as_ref()).await?;
    revalidated(&headers, &record)
}

/// Take a picture out of the gallery, or put it back; only for its owner.
#[utoipa::path(
    patch,
    path = "/api/v1/images/{id}",
    operation_id = "changeImage",
    tag = "images",
    params(("id" = String, Path, description = "Id of the picture")),
    request_body = ImageChange,
    responses((status = 200, description = "The changed record", body = ImageRecord), ApiError)
)]
pub async fn change(
    State(hub): State<Hub>,
    visitor: Visitor,
    Path(id): Path,
    Json(change): Json<ImageChange>,
) -> ApiResult<axum::Json<ImageRecord>> {
    let owner = visitor.owner.as_ref();
    Ok(axum::Json(hub.images.change(&id, change, owner).await?))
}

/// Delete a picture; only for its owner. The bytes go too, unless another record shows the same ones.
#[utoipa::path(
    delete,
    path = "/api/v1/images/{id}",
    operation_id = "deleteImage",
    tag = "images",
    params(("id" = String, Path, description = "Id of the picture")),
    responses((status = 204, description = "It is gone"), ApiError)
)]
pub async fn delete(
    State(hub): State<Hub>,
    visitor: Visitor,
    Path(id): Path,
) -> ApiResult<StatusCode> {
    hub.images.delete(&id, visitor.owner.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub struct SaveAs {
    download: Option<String>,
}

/// The bytes of a picture: sends the browser to the store, so that an upload is never served from this origin.
#[utoipa::path(
    get,
    path = "/images/{file}",
    operation_id = "getImageFile",
    tag = "images",
    params(
        ("file" = String, Path, description = "`<sha256>.png`"),
        ("download" = Option<String>, Query, description = "Have the browser save it under this name"),
    ),
    responses(
        (status = 307, description = "Presigned address", headers(("location" = String, description = "Address in the store"))),
        ApiError,
    )
)]
pub async fn bytes(
    State(hub): State<Hub>,
    Path(file): Path,
    Query(save_as): Query<SaveAs>,
) -> ApiResult<Response> {
    let sha256 = digest_of(&file, ".png")?;
    let url = hub
        .images
        .presigned_url(sha256, save_as.download.as_deref())
        .await?;
    let cache = format!("private, max-age={}", GET_VALID_SECONDS / 2);
    Ok(([(header::CACHE_CONTROL, cache)], Redirect::temporary(&url)).into_response())
}

/// A small WebP of a picture, made by the hub from the decoded pixels.
#[utoipa::path(
    get,
    path = "/thumbnails/{file}",
    operation_id = "getThumbnail",
    tag = "images",
    params(("file" = String, Path, description = "`<sha256>.webp`, the digest of the picture")),
    responses(
        (status = 200, description = "Never changes", body = Vec<u8>, content_type = "image/webp"),
        (status = 304, description = "The client has it"),
        ApiError,
    )
)]
pub async fn thumbnail(
    State(hub): State<Hub>,
    headers: HeaderMap,
    Path(file): Path,
) -> ApiResult<Response> {
    let sha256 = digest_of(&file, ".webp")?;
    let caching = [
        (header::ETAG, format!("\"{sha256}\"")),
        (
            header::CACHE_CONTROL,
            "public, max-age=31536000, immutable".to_owned(),
        ),
    ];
    let bytes = hub.images.thumbnail(sha256).await?;
    if matches(&headers, &caching[0].1) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let mime = [(header::CONTENT_TYPE, protocol::THUMBNAIL_MIME)];
    Ok((caching, mime, bytes).into_response())
}

fn digest_of<'a>(file: &'a str, suffix: &str) -> ApiResult<&'a str> {
    file.strip_suffix(suffix).ok_or_else(|| {
        ApiError(Problem::new(
            ProblemCode::NotFound,
            format!("such files are named <sha256>{suffix}"),
        ))
    })
}

/// JSON that a client may keep but must ask about: it can change, and depends on who asks.
fn revalidated(headers: &HeaderMap, body: &impl Serialize) -> ApiResult<Response> {
    let json = serde_json::to_vec(body).map_err(internal)?;
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&json)[..16]));
    let caching = [
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
        (header::VARY, "accept, cookie".to_owned()),
        (header::ETAG, tag),
    ];
    if matches(headers, &caching[2].1) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let mime = [(header::CONTENT_TYPE, "application/json")];
    Ok((caching, mime, json).into_response())
}

/// `If-None-Match` (RFC 9110, 13.1.2) names this tag, weakly compared.
fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','));
    tags.any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}
