//! The store that the server runs itself: S3 over a folder, on a port of its own.
//!
//! `redb` holds keys, what is known of each object, and the bytes of small ones; larger ones are files. What was
//! answered outlasts `kill -9` and a power cut (decision 0018).

mod disk;
mod entry;
mod error;
mod files;
mod import;
mod incoming;
mod index;
mod list;
mod objects;
#[cfg(test)]
mod power;
mod room;
mod s3;
mod writer;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower_http::cors::{Any, CorsLayer};

use super::credentials::KeyPair;
use crate::serving::{self, Limits};
use disk::RealDisk;
use objects::Objects;

pub use import::Imported;
pub use room::Room;

/// Bucket of the embedded store.
pub const BUCKET: &str = "demo-hub";
/// Folder of the store in the data folder.
const FOLDER: &str = "store";
/// Folder of the hub's first versions, which is taken over.
const OLD_FOLDER: &str = "s3";

/// A running store.
pub struct Embedded {
    /// Where it listens.
    pub addr: SocketAddr,
    /// How full its disk is.
    pub room: Room,
    /// Ends after the token that it was started with is cancelled.
    pub task: JoinHandle<()>,
}

/// Whether the data folder holds a store, of this version or of an earlier one.
pub fn is_in(data: &Path) -> bool {
    [FOLDER, OLD_FOLDER]
        .iter()
        .any(|name| data.join(name).is_dir())
}

/// Starts the store in the data folder, which is created where it is missing.
///
/// # Errors
/// When the folder cannot be used or the port is taken.
pub async fn start(
    data: &Path,
    listen: SocketAddr,
    keys: &KeyPair,
    limits: Limits,
    stop: CancellationToken,
) -> anyhow::Result<Embedded> {
    let (root, old) = (data.join(FOLDER), data.join(OLD_FOLDER));
    let opened = tokio::task::spawn_blocking(move || {
        let objects = Objects::open(Arc::new(RealDisk), &root)
            .with_context(|| format!("opening the picture store in {}", root.display()))?;
        import::run(&objects, &old).context("taking over an earlier version's pictures")?;
        anyhow::Ok(objects)
    });
    let objects = opened.await??;
    let room = objects.room().clone();
    let router = router(objects, keys);
    let listener = serving::listen(listen)
        .with_context(|| format!("the picture store cannot listen on {listen} (--s3-listen)"))?;
    let addr = listener.local_addr()?;
    let task = tokio::spawn(serving::serve(listener, router, limits, stop));
    Ok(Embedded { addr, room, task })
}

fn router(objects: Objects, keys: &KeyPair) -> Router {
    let mut builder = S3ServiceBuilder::new(s3::Service { objects });
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
    Router::new()
        .fallback(handle)
        .with_state(builder.build())
        .layer(cors)
        .layer(tower_http::set_header::SetResponseHeaderLayer::overriding(
            HeaderName::from_static("x-content-type-options"),
            axum::http::HeaderValue::from_static("nosniff"),
        ))
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
