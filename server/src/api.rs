//! The JSON API under `/api/v1` and `/v1`, and `/images`.

mod cors;
mod error;
mod extract;
mod health;
mod images;
mod inputs;
mod jobs;
mod keys;
mod models;
mod openai;
mod openapi;
pub(crate) mod operator;
mod queue;
mod uploads;
mod visitor;

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::middleware;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::catalog::{Cards, Live};
use crate::config::WeightsConfig;
use crate::grace::Grace;
use crate::images::Images;
use crate::jobs::Queue;
use crate::limits::Limits;
use crate::operator::Operator;
use crate::serving::ClientAddresses;

pub use cors::Origins;
pub use error::{ApiError, internal_error, method_not_allowed, not_found};
pub use images::{Exports, record_or_page};
pub use visitor::{Visitor, renew_cookie};

/// Largest JSON body accepted, in bytes.
pub const MAX_BODY_BYTES: usize = 64 << 10;
/// Largest body of a job: the latents of a hand-over in base64, and the rest.
const MAX_JOB_BYTES: usize = MAX_BODY_BYTES + (protocol::MAX_RESUME_LATENTS * 2).div_ceil(3) * 4;

/// What the handlers share.
#[derive(Clone)]
pub struct Hub {
    /// The models that run here.
    pub catalog: Live,
    /// The catalogue: cards of these and of others.
    pub cards: Cards,
    /// The pictures.
    pub images: Images,
    /// The jobs.
    pub queue: Arc<dyn Queue>,
    /// What a client may have.
    pub limits: Arc<Limits>,
    /// Who adds models by pages and API, if anybody does.
    pub operator: Option<Arc<Operator>>,
    /// Origin of the hub as visitors see it, without a slash at the end.
    pub public_url: String,
    /// Where browsers fetch weights.
    pub weights: WeightsConfig,
    /// Whose pages may use `/v1`.
    pub api_origins: Origins,
    /// How clients' addresses are told.
    pub client_addresses: ClientAddresses,
    /// Exports that are being sent.
    pub exports: Exports,
    /// Begins when the server stops: streams of jobs' events end, what waits for a picture has this time.
    pub stopping: Arc<Grace>,
}

impl Hub {
    /// Whether visitors reach it by HTTPS.
    pub fn is_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }
}

/// The routes.
pub fn routes(hub: Hub) -> Router {
    open_routes()
        .split_for_parts()
        .0
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(middleware::from_fn_with_state(hub.clone(), keys::check))
        .layer(middleware::from_fn_with_state(
            hub.api_origins.clone(),
            cors::allow,
        ))
        .with_state(hub)
}

/// The routes with their description.
fn open_routes() -> OpenApiRouter<Hub> {
    OpenApiRouter::with_openapi(openapi::Base::openapi())
        .routes(routes!(models::list))
        .routes(routes!(models::search))
        .routes(routes!(models::show))
        .routes(routes!(models::of_creator))
        .routes(routes!(jobs::create).layer(Extension(extract::BodyLimit(MAX_JOB_BYTES))))
        .routes(routes!(jobs::show, jobs::cancel))
        .routes(routes!(jobs::events))
        .routes(routes!(openai::create))
        .routes(routes!(openai::edits::edit))
        .routes(routes!(openai::edits::vary))
        .routes(routes!(inputs::announce))
        .routes(routes!(inputs::delete))
        .routes(routes!(uploads::announce))
        .routes(routes!(uploads::commit))
        .routes(routes!(images::list))
        .routes(routes!(images::show, images::change, images::delete))
        .routes(routes!(images::report))
        .routes(routes!(images::export))
        .routes(routes!(images::thumbnail))
        .routes(routes!(images::bytes))
        .routes(routes!(operator::look))
        .routes(routes!(operator::list, operator::add))
        .routes(routes!(operator::events))
        .routes(routes!(operator::show, operator::cancel))
        .routes(routes!(operator::remove))
        .routes(routes!(queue::depth))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(openapi::document))
        .routes(routes!(openapi::browse))
}
