//! The OpenAI images API: `POST {url}/images/generations`
//! (<https://platform.openai.com/docs/api-reference/images/create>).
//!
//! Endpoints that compute OpenAI's API for open models take `seed`, `num_inference_steps`, `guidance_scale` and
//! `negative_prompt` beside it; they are sent where the model's configuration says so.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::ResolvedRequest;
use serde::Deserialize;
use serde_json::json;

use super::config::{ModelConfig, ProtocolKind};
use super::{Dialect, Endpoint, Found, Outgoing, settings};

/// The OpenAI images API.
#[derive(Default)]
pub struct OpenAiImages;

#[derive(Deserialize)]
struct Answer {
    data: Vec<Image>,
}

#[derive(Deserialize)]
struct Image {
    b64_json: Option<String>,
    url: Option<String>,
}

impl Dialect for OpenAiImages {
    const KIND: ProtocolKind = ProtocolKind::OpenaiImages;

    fn outgoing(
        &self,
        endpoint: &Endpoint,
        model: &ModelConfig,
        request: &ResolvedRequest,
    ) -> Result<Outgoing, String> {
        let mut body = endpoint.config().extra.clone();
        body.insert("model".into(), json!(model.remote));
        body.insert("prompt".into(), json!(request.prompt));
        body.insert("n".into(), json!(1));
        body.insert(
            "size".into(),
            json!(format!("{}x{}", model.width, model.height)),
        );
        body.extend(settings::of(model, request));
        Ok(Outgoing {
            url: endpoint.address(&["images", "generations"])?,
            body: body.into(),
            accept: "application/json",
        })
    }

    fn found(&self, _: &ModelConfig, _: &str, body: Vec<u8>) -> Result<Found, String> {
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| "it is not an images response")?;
        let image = answer.data.into_iter().next().ok_or("it has no image")?;
        match image {
            Image {
                b64_json: Some(text),
                ..
            } => STANDARD
                .decode(text)
                .map(Found::File)
                .map_err(|_| "b64_json is not base64".to_owned()),
            Image { url: Some(url), .. } => Ok(Found::Address(url)),
            _ => Err("its image has neither b64_json nor url".to_owned()),
        }
    }
}
