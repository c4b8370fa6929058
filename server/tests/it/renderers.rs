//! Hosted renderers against endpoints that follow the published shapes, or fail to.

mod failures;
mod hub_of_hosted;
mod shapes;
pub mod stand_in;

use std::sync::Arc;

use diffusion::Cancel;
use protocol::GenerationRequest;
use server::config::Secret;
use server::render::hosted::{self, Endpoint, EndpointErrorKind};
use server::render::{RenderError, Rendered};
use tokio::runtime::Handle;

pub const MODEL: &str = "acme/painter";
pub const KEY: &str = "sk-correct-horse";

/// An endpoint's configuration; `endpoint` and `model` are further lines of TOML.
pub fn toml(protocol: &str, url: &str, endpoint: &str, model: &str) -> String {
    format!(
        r#"
[[endpoint]]
name = "acme"
protocol = "{protocol}"
url = "{url}"
{endpoint}
[[endpoint.model]]
id = "{MODEL}"
remote = "painter-v2"
name = "Painter"
license = "Apache-2.0"
width = 16
height = 8
steps = {{ min = 1, max = 60, default = 30 }}
guidance = {{ min = 1.0, max = 20.0, default = 7.5 }}
negative_prompt = true
seed = true
{model}
"#
    )
}

pub fn endpoint(toml: &str) -> Arc<Endpoint> {
    let config = hosted::config::read(toml).unwrap().remove(0);
    Arc::new(Endpoint::with_key(config, Some(Secret::new(KEY))).unwrap())
}

pub fn request() -> GenerationRequest {
    GenerationRequest {
        model: MODEL.into(),
        prompt: "a red fox".into(),
        negative_prompt: Some("snow".into()),
        seed: Some(42),
        num_inference_steps: Some(20),
        guidance_scale: Some(6.5),
        ..GenerationRequest::default()
    }
}

pub async fn render(endpoint: &Arc<Endpoint>) -> Result<Rendered, RenderError> {
    render_until(endpoint, Cancel::default()).await
}

pub async fn render_until(
    endpoint: &Arc<Endpoint>,
    cancel: Cancel,
) -> Result<Rendered, RenderError> {
    render_of(endpoint, request(), cancel).await
}

pub async fn render_of(
    endpoint: &Arc<Endpoint>,
    request: GenerationRequest,
    cancel: Cancel,
) -> Result<Rendered, RenderError> {
    let (endpoint, runtime) = (Arc::clone(endpoint), Handle::current());
    tokio::task::spawn_blocking(move || {
        hosted::renderer(endpoint, runtime).render(&request, &mut |_| {}, &cancel)
    })
    .await
    .unwrap()
}

pub fn kind(result: Result<Rendered, RenderError>) -> (EndpointErrorKind, bool) {
    match result {
        Err(error @ RenderError::Endpoint(_)) => {
            let transient = error.is_transient();
            let RenderError::Endpoint(error) = error else {
                unreachable!()
            };
            (error.kind, transient)
        }
        other => panic!("{other:?}"),
    }
}

/// 16 × 8 pixels, as PNG and as RGB bytes.
pub fn fox() -> (Vec<u8>, Vec<u8>) {
    let png = crate::hub::png_of(16, 8, 3);
    let rgb = crate::hub::pixels(&png);
    (png, rgb)
}
