//! The store that the server runs itself: S3 over a folder, on a port of its own.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower_http::cors::{Any, CorsLayer};

use super::credentials::KeyPair;
use super::verifying::VerifyingStore;
use crate::serving::{self, Limits};

/// Bucket of the embedded store.
pub const BUCKET: &str = "demo-hub";

/// A running store.
pub struct Embedded {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Ends after the token that it was started with is cancelled.
    pub task: JoinHandle<()>,
}

/// Starts the store over `root`, which is created where it is missing.
///
/// # Errors
/// When the folder cannot be used or the port is taken.
pub async fn start(
    root: &Path,
    listen: SocketAddr,
    keys: &KeyPair,
    limits: Limits,
    stop: CancellationToken,
) -> anyhow::Result<Embedded> {
    std::fs::create_dir_all(root.join(BUCKET))
        .with_context(|| format!("creating {}", root.display()))?;
    let files = FileSystem::new(root)
        .map_err(|e| anyhow::anyhow!("opening the store {}: {e:?}", root.display()))?;
    let mut builder = S3ServiceBuilder::new(VerifyingStore::new(files, root));
    builder.set_auth(SimpleAuth::from_single(
        keys.access_key_id.clone(),
        keys.secret_access_key.expose().to_owned(),
    ));
    // A presigned URL is the permission; a browser page of any origin that holds one may use it.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::PUT])
        .allow_headers([
            HeaderName::from_static("content-type"),
            HeaderName::from_static("if-none-match"),
            HeaderName::from_static("x-amz-checksum-sha256"),
        ])
        .max_age(std::time::Duration::from_secs(3600));
    let router = Router::new()
        .fallback(handle)
        .with_state(builder.build())
        .layer(cors)
        .layer(tower_http::set_header::SetResponseHeaderLayer::overriding(
            HeaderName::from_static("x-content-type-options"),
            axum::http::HeaderValue::from_static("nosniff"),
        ));
    let listener = serving::listen(listen)
        .with_context(|| format!("the picture store cannot listen on {listen} (--s3-listen)"))?;
    let addr = listener.local_addr()?;
    let task = tokio::spawn(serving::serve(listener, router, limits, stop));
    Ok(Embedded { addr, task })
}

async fn handle(State(service): State<S3Service>, request: Request) -> Response {
    let request = request.map(s3s::Body::http_body_unsync);
    match service.call(request).await {
        Ok(response) => response.map(axum::body::Body::new).into_response(),
        Err(error) => {
            tracing::error!(?error, "embedded store");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
