//! The JSON API under `/api/v1`, and `/images`.

mod error;
mod extract;
mod health;
mod images;
mod jobs;
mod models;
mod uploads;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::images::Images;
use crate::jobs::Queue;

pub use error::{ApiError, internal_error, not_found};

/// Largest JSON body accepted, in bytes.
pub const MAX_BODY_BYTES: usize = 64 << 10;

/// What the handlers share.
#[derive(Clone)]
pub struct Hub {
    /// The models.
    pub catalog: Arc<Catalog>,
    /// The pictures.
    pub images: Images,
    /// The jobs.
    pub queue: Arc<dyn Queue>,
    /// Cancelled when the server stops: open event streams end.
    pub stopping: CancellationToken,
}

/// The routes.
pub fn routes(hub: Hub) -> Router {
    Router::new()
        .route("/api/v1/models", get(models::list))
        .route("/api/v1/jobs", post(jobs::create))
        .route("/api/v1/jobs/{id}", get(jobs::show).delete(jobs::cancel))
        .route("/api/v1/jobs/{id}/events", get(jobs::events))
        .route("/api/v1/uploads", post(uploads::announce))
        .route("/api/v1/uploads/{id}/commit", post(uploads::commit))
        .route("/api/v1/images", get(images::list))
        .route("/api/v1/images/{id}", get(images::show))
        .route("/images/{file}", get(images::bytes))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(hub)
}
