//! Pictures made by endpoints elsewhere, over HTTP.
//!
//! An endpoint is configuration: its protocol is one of three published ones, each a [`Dialect`]. What they share
//! lives in [`Endpoint`]: time-out, retries, circuit breaker, capacity, caps on answers.

pub mod breaker;
pub mod config;
mod endpoint;
mod error;
mod huggingface;
mod inference;
mod openai;
mod picture;
pub(crate) mod retry;
mod settings;

use std::sync::Arc;
use std::time::Instant;

use diffusion::{Cancel, Picture, png};
use protocol::{GenerationRequest, Progress, Recipe, ResolvedRequest, RunsOn};
use serde_json::Value;
use tokio::runtime::Handle;
use url::Url;

use super::{RenderError, Rendered, Renderer, Report};
use config::{EndpointConfig, ModelConfig, ProtocolKind};

pub use endpoint::Endpoint;
pub use error::{EndpointError, EndpointErrorKind};
pub use huggingface::HuggingFace;
pub use inference::OpenInference;
pub use openai::OpenAiImages;

/// Pictures of an endpoint that speaks the OpenAI images API.
pub type OpenAiRenderer = HostedRenderer<OpenAiImages>;
/// Pictures of an endpoint that speaks Hugging Face's text-to-image API.
pub type HuggingFaceRenderer = HostedRenderer<HuggingFace>;
/// Pictures of an endpoint that speaks the Open Inference Protocol, version 2.
pub type OpenInferenceRenderer = HostedRenderer<OpenInference>;

/// A request in the endpoint's terms.
pub struct Outgoing {
    /// Where it is POSTed.
    pub url: Url,
    /// JSON body.
    pub body: Value,
    /// Value of `Accept`.
    pub accept: &'static str,
}

/// What a successful answer holds.
pub enum Found {
    /// A PNG, JPEG or WebP file.
    File(Vec<u8>),
    /// The address of such a file.
    Address(String),
    /// Pixels.
    Pixels(Picture),
}

/// The request checked against what the endpoint takes for the model.
fn resolved(
    request: &GenerationRequest,
    model: &ModelConfig,
) -> Result<ResolvedRequest, RenderError> {
    let refused = |message: String| {
        RenderError::Diffusion(diffusion::Error::new(
            diffusion::ErrorKind::InvalidRequest,
            message,
        ))
    };
    let seed = request.seed;
    let seed = seed.ok_or_else(|| refused("the request has no seed".to_owned()))?;
    let resolved = request.clone().resolve(&model.summary(), seed);
    resolved.map_err(|error| refused(error.to_string()))
}

/// How a protocol words requests and answers.
pub trait Dialect: Default + Send + Sync + 'static {
    /// The protocol.
    const KIND: ProtocolKind;

    /// Words a request.
    ///
    /// # Errors
    /// When the model's name makes no valid address.
    fn outgoing(
        &self,
        endpoint: &Endpoint,
        model: &ModelConfig,
        request: &ResolvedRequest,
    ) -> Result<Outgoing, String>;

    /// Finds the picture in the body of a successful answer.
    ///
    /// # Errors
    /// What the answer lacks.
    fn found(
        &self,
        model: &ModelConfig,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Found, String>;
}

/// A renderer that has pictures made by an endpoint.
pub struct HostedRenderer<D> {
    endpoint: Arc<Endpoint>,
    dialect: D,
    runtime: Handle,
}

impl<D: Dialect> HostedRenderer<D> {
    /// A renderer for the models of `endpoint`; requests run on `runtime`, whose threads must not call
    /// [`Renderer::render`] themselves.
    pub fn new(endpoint: Arc<Endpoint>, runtime: Handle) -> Self {
        Self {
            endpoint,
            dialect: D::default(),
            runtime,
        }
    }
}

/// Sets endpoints up.
///
/// # Errors
/// As [`Endpoint::new`].
pub fn open(configs: Vec<EndpointConfig>) -> anyhow::Result<Vec<Arc<Endpoint>>> {
    configs
        .into_iter()
        .map(|config| Endpoint::new(config).map(Arc::new))
        .collect()
}

/// The renderer that speaks the protocol of `endpoint`.
pub fn renderer(endpoint: Arc<Endpoint>, runtime: Handle) -> Box<dyn Renderer> {
    match endpoint.config().protocol {
        ProtocolKind::OpenaiImages => Box::new(OpenAiRenderer::new(endpoint, runtime)),
        ProtocolKind::Huggingface => Box::new(HuggingFaceRenderer::new(endpoint, runtime)),
        ProtocolKind::OpenInference => Box::new(OpenInferenceRenderer::new(endpoint, runtime)),
    }
}

impl<D: Dialect> Renderer for HostedRenderer<D> {
    fn render(
        &mut self,
        request: &GenerationRequest,
        report: &mut dyn FnMut(Report<'_>),
        cancel: &Cancel,
    ) -> Result<Rendered, RenderError> {
        let config = self.endpoint.config();
        let model = self
            .endpoint
            .model(&request.model)
            .ok_or_else(|| RenderError::UnknownModel(request.model.clone()))?;
        let request = resolved(request, model)?;
        let backend = format!("{} ({})", config.protocol, config.name);
        report(Report::Backend(&backend));
        let started = Instant::now();
        let picture =
            self.runtime.block_on(
                self.endpoint
                    .picture(&self.dialect, model, &request, cancel),
            )?;
        let total_steps = request.num_inference_steps;
        report(Report::Step(Progress {
            step: total_steps,
            total_steps,
        }));
        let recipe = Recipe {
            request: request.into(),
            weights_digest: String::new(),
            scheduler: String::new(),
            backend,
            adapter: model.remote.clone(),
            place: RunsOn::Server,
            start: None,
            upscaler: None,
            loras: Vec::new(),
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let png = png::encode(&picture, &recipe)?;
        Ok(Rendered { png, recipe })
    }
}
