//! Hugging Face's text-to-image task
//! (<https://huggingface.co/docs/inference-providers/tasks/text-to-image>): `{"inputs", "parameters"}` in, the file
//! itself out. The same shape serves Inference Providers, dedicated Inference Endpoints and the toolkit behind them.

use protocol::ResolvedRequest;
use serde_json::json;
use url::Url;

use super::config::{ModelConfig, ProtocolKind};
use super::{Dialect, Endpoint, Found, Outgoing, settings};

/// Hugging Face's text-to-image API.
#[derive(Default)]
pub struct HuggingFace;

impl Dialect for HuggingFace {
    const KIND: ProtocolKind = ProtocolKind::Huggingface;

    fn outgoing(
        &self,
        endpoint: &Endpoint,
        model: &ModelConfig,
        request: &ResolvedRequest,
    ) -> Result<Outgoing, String> {
        let mut parameters = endpoint.config().extra.clone();
        parameters.insert("width".into(), json!(model.width));
        parameters.insert("height".into(), json!(model.height));
        parameters.extend(settings::of(model, request));
        let url = endpoint.config().url.replace("{model}", &model.remote);
        Ok(Outgoing {
            url: Url::parse(&url).map_err(|e| e.to_string())?,
            body: json!({ "inputs": request.prompt, "parameters": parameters }),
            accept: "image/png",
        })
    }

    fn found(&self, _: &ModelConfig, content_type: &str, body: Vec<u8>) -> Result<Found, String> {
        if content_type.starts_with("image/") {
            Ok(Found::File(body))
        } else {
            let shown: String = content_type.chars().take(80).collect();
            Err(format!("its type is {shown:?}, not an image"))
        }
    }
}
