//! `/models/{package folder}/{file}`: the files that manifests name, and nothing else.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use protocol::{Addresses, Problem, ProblemCode};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use crate::api::{self, ApiError};
use crate::catalog::{Live, MANIFEST, PackageFiles};
use crate::config::WeightsFirst;
use crate::serving::representation;

/// The files of the packages that there are, in a layer over the pages of the models, which lie under `/models/` too.
#[derive(Clone)]
pub struct Packages {
    catalog: Live,
    files: Router,
}

impl Packages {
    /// `first` says in which order browsers try addresses.
    pub fn new(catalog: &Live, first: WeightsFirst) -> Self {
        Self {
            catalog: catalog.clone(),
            files: Router::new()
                .fallback(serve)
                .layer(middleware::from_fn(representation::of_files))
                .with_state((catalog.clone(), first)),
        }
    }
}

/// Answers for files of packages, and lets pages answer for the rest.
pub async fn before_pages(
    State(packages): State<Packages>,
    request: Request,
    next: Next,
) -> Response {
    let of_package = named(request.uri().path()).is_some_and(|(slug, _)| {
        let catalog = packages.catalog.now();
        catalog.in_folder(slug).is_some()
    });
    if !of_package {
        return next.run(request).await;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let allow = [(header::ALLOW, HeaderValue::from_static("GET,HEAD"))];
        let refused = api::method_not_allowed(request.method().clone()).await;
        return (allow, refused).into_response();
    }
    match packages.files.oneshot(request).await {
        Ok(response) => response,
        Err(infallible) => match infallible {},
    }
}

/// Folder and file of a path.
fn named(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/models/")?.split_once('/')
}

/// The name is looked up in the catalogue, so no path of the request reaches the file system.
async fn serve(State((catalog, first)): State<(Live, WeightsFirst)>, request: Request) -> Response {
    let catalog = catalog.now();
    let addressed = named(request.uri().path()).filter(|(_, file)| *file == Addresses::FILE);
    if let Some(entry) = addressed.and_then(|(slug, _)| catalog.in_folder(slug)) {
        let never = [(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
        let elsewhere = entry.elsewhere.cloned().unwrap_or_default();
        return (never, Json(elsewhere.in_order(first))).into_response();
    }
    let found = named(request.uri().path()).and_then(|(slug, file)| {
        let entry = catalog.in_folder(slug)?;
        Some((entry, entry.digests.get_key_value(file)?))
    });
    match found {
        Some((entry, (name, digest))) => file(entry, name, digest, request).await,
        None => ApiError(Problem::new(
            ProblemCode::NotFound,
            "this package has no file of this name",
        ))
        .into_response(),
    }
}

async fn file(entry: PackageFiles<'_>, name: &str, digest: &str, request: Request) -> Response {
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
