//! `/models/{package folder}/{file}`: the files that manifests name, and nothing else.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use protocol::{Problem, ProblemCode};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use crate::api::{self, ApiError};
use crate::catalog::{Catalog, MANIFEST};
use crate::serving::representation;

/// One route per package: under `/models/` lie the pages of the models too.
pub fn routes(catalog: &Arc<Catalog>) -> Router {
    let routes = (0..catalog.entries().len()).fold(Router::new(), |router, index| {
        let slug = &catalog.entries()[index].slug;
        let state = Package {
            catalog: Arc::clone(catalog),
            index,
        };
        router.route(
            &format!("/models/{slug}/{{file}}"),
            get(serve).with_state(state),
        )
    });
    routes
        .method_not_allowed_fallback(api::method_not_allowed)
        .layer(middleware::from_fn(representation::of_files))
}

#[derive(Clone)]
struct Package {
    catalog: Arc<Catalog>,
    index: usize,
}

/// The name is looked up in the catalogue, so no path of the request reaches the file system.
async fn serve(
    State(Package { catalog, index }): State<Package>,
    Path(file): Path<String>,
    request: Request,
) -> Response {
    let entry = &catalog.entries()[index];
    let Some((name, digest)) = entry.digests.get_key_value(&file) else {
        return ApiError(Problem::new(
            ProblemCode::NotFound,
            "this package has no file of this name",
        ))
        .into_response();
    };
    let etag = format!("\"{digest}\"");
    let mime = if name == MANIFEST || name.ends_with(".json") {
        "application/json"
    } else if name.ends_with(".png") {
        "image/png"
    } else {
        "application/octet-stream"
    };
    let mut response = match ServeFile::new(entry.dir.join(name)).oneshot(request).await {
        Ok(response) => response.into_response(),
        Err(infallible) => match infallible {},
    };
    if response.status().is_success() {
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(mime));
        return with_validators(response, &etag);
    }
    response
}

fn with_validators(mut response: Response, etag: &str) -> Response {
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
