//! Stored pictures.

mod export;
mod negotiate;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use protocol::{
    GalleryPage, GalleryQuery, ImageChange, ImageRecord, Problem, ProblemCode, ReportRequest,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Hub;
use super::error::{ApiError, ApiResult, internal};
use super::extract::{Json, Path, Query};
use super::visitor::Visitor;
use crate::images::Access;
use crate::serving::representation::{self, Answer};
use crate::storage::{GET_VALID_SECONDS, ObjectHead};

/// Caching of what only its owner may read.
const OWN_CACHING: &str = "private, no-cache";

pub use export::{__path_export, Exports, export};
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
        ("mine" = Option<bool>, Query, description = "Only the client's own, whoever sees them"),
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

/// Say who sees a picture; only for its owner. A picture that would expire is saved by that.
///
/// `{"unlisted": true}` and `{"unlisted": false}` are taken too, for `unlisted` and `listed`.
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

/// Report a picture to the operator of this hub. Nothing that says who did is kept.
///
/// One client's reports of one picture count once.
#[utoipa::path(
    post,
    path = "/api/v1/images/{id}/reports",
    operation_id = "reportImage",
    tag = "images",
    params(("id" = String, Path, description = "Id of the picture")),
    request_body = ReportRequest,
    responses((status = 202, description = "The operator will see it"), ApiError)
)]
pub async fn report(
    State(hub): State<Hub>,
    visitor: Visitor,
    Path(id): Path,
    Json(report): Json<ReportRequest>,
) -> ApiResult<StatusCode> {
    let (client, owner) = (visitor.key(), visitor.owner.as_ref());
    hub.images
        .report(&id, report, owner, &client, visitor.address())
        .await?;
    Ok(StatusCode::ACCEPTED)
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
        (status = 307, description = "Presigned address, good for GET", headers(("location" = String, description = "Address in the store"))),
        (status = 304, description = "The client has it"),
        ApiError,
    )
)]
pub async fn bytes(
    State(hub): State<Hub>,
    method: Method,
    headers: HeaderMap,
    visitor: Visitor,
    Path(file): Path,
    Query(save_as): Query<SaveAs>,
) -> ApiResult<Response> {
    let sha256 = digest_of(&file, ".png")?;
    let asking = visitor.owner.as_ref();
    let (found, access) = hub.images.stored(sha256, asking).await?;
    let (described, length) = described(&found, access);
    // Ranges are the store's to give.
    match Answer::to(&Method::HEAD, &headers, &described, length) {
        // The signature of the address below covers the method, so HEAD is answered here.
        Answer::Whole if method == Method::HEAD => Ok(representation::head(described, length)),
        Answer::Whole => {
            let save_as = save_as.download.as_deref();
            let url = hub.images.presigned_url(sha256, save_as).await?;
            let caching = match access {
                Access::Open => format!("private, max-age={}", GET_VALID_SECONDS / 2),
                Access::Own => OWN_CACHING.to_owned(),
            };
            let headers = [
                (header::CACHE_CONTROL, caching),
                (header::VARY, "cookie".to_owned()),
            ];
            Ok((headers, Redirect::temporary(&url)).into_response())
        }
        other => Ok(other.without_content(described, length)),
    }
}

/// The headers that the store's answer has, and the length.
fn described(found: &ObjectHead, access: Access) -> (HeaderMap, u64) {
    let mut headers = HeaderMap::new();
    let cached = match access {
        Access::Open => "private, max-age=31536000, immutable",
        Access::Own => OWN_CACHING,
    };
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(protocol::PNG_MIME),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cached));
    headers.insert(header::VARY, HeaderValue::from_static("cookie"));
    let modified = found.modified.map(httpdate::fmt_http_date);
    for (name, value) in [
        (header::ETAG, found.etag.clone()),
        (header::LAST_MODIFIED, modified),
    ] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
    (headers, found.bytes.unwrap_or(0))
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
        (status = 206, description = "A part of it", body = Vec<u8>, content_type = "image/webp"),
        (status = 304, description = "The client has it"),
        ApiError,
    )
)]
pub async fn thumbnail(
    State(hub): State<Hub>,
    method: Method,
    visitor: Visitor,
    headers: HeaderMap,
    Path(file): Path,
) -> ApiResult<Response> {
    let sha256 = digest_of(&file, ".webp")?;
    let (bytes, access) = hub.images.thumbnail(sha256, visitor.owner.as_ref()).await?;
    let caching = match access {
        Access::Open => "public, max-age=31536000, immutable",
        Access::Own => OWN_CACHING,
    };
    let described = headers_of([
        (header::CONTENT_TYPE, protocol::THUMBNAIL_MIME),
        (header::CACHE_CONTROL, caching),
        (header::VARY, "cookie"),
        (header::ETAG, &format!("\"{sha256}\"")),
    ])?;
    Ok(representation::respond(
        (&method, &headers),
        described,
        bytes,
    ))
}

fn headers_of<const N: usize>(pairs: [(HeaderName, &str); N]) -> Result<HeaderMap, Problem> {
    pairs
        .into_iter()
        .map(|(name, value)| Ok((name, HeaderValue::try_from(value).map_err(internal)?)))
        .collect()
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
    let described = headers_of([
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "private, no-cache"),
        (header::VARY, "accept, cookie"),
        (header::ETAG, &tag),
    ])?;
    Ok(representation::respond(
        (&Method::GET, headers),
        described,
        json,
    ))
}
