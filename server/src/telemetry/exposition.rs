//! `/metrics`: on a port of its own, or on the hub's for those on the same machine.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics::gauge;
use tokio_util::sync::CancellationToken;

use super::metrics::{CONTENT_TYPE, names, recorder};
use crate::catalog::Live;
use crate::jobs::Queue;
use crate::serving::{self, Limits};

/// What answers: the queue, and the models that it is asked of.
type Asked = (Arc<dyn Queue>, Live);

/// The counters of this process; what is said of the queue is as it is now, for each model.
pub async fn text(queue: &dyn Queue, models: &Live) -> Option<String> {
    let recorder = recorder()?;
    let status = queue.status().await;
    gauge!(names::WORKERS).set(f64::from(u32::try_from(status.workers).unwrap_or(u32::MAX)));
    let models = models.now().summaries();
    let models: Vec<String> = models.into_iter().map(|model| model.id).collect();
    for depth in queue.depth(&models).await {
        gauge!(names::JOBS_WAITING, "model" => depth.model.clone()).set(depth.waiting as f64);
        gauge!(names::JOBS_RUNNING, "model" => depth.model).set(depth.running as f64);
    }
    recorder.run_upkeep();
    Some(recorder.render())
}

/// A response with [`text`].
pub async fn answer(queue: &dyn Queue, models: &Live) -> Response {
    match text(queue, models).await {
        Some(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        None => axum::http::StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// Serves `/metrics` alone on `listen`, until `stop`. Gives the port.
///
/// # Errors
/// When the port is taken.
pub async fn serve(
    listen: SocketAddr,
    queue: Arc<dyn Queue>,
    models: Live,
    stop: CancellationToken,
) -> anyhow::Result<SocketAddr> {
    let listener = serving::listen(listen)
        .with_context(|| format!("cannot listen on {listen} (--metrics-listen)"))?;
    let address = listener.local_addr()?;
    let router =
        Router::new()
            .route(
                "/metrics",
                get(|State((queue, models)): State<Asked>| async move {
                    answer(&*queue, &models).await
                }),
            )
            .with_state((queue, models));
    tokio::spawn(serving::serve(listener, router, Limits::default(), stop));
    Ok(address)
}
