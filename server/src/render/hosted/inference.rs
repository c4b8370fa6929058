//! The Open Inference Protocol, version 2, over REST
//! (<https://github.com/kserve/open-inference-protocol>): tensors in, tensors out. KServe, Triton and others speak it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diffusion::Picture;
use protocol::ResolvedRequest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::config::{ModelConfig, ProtocolKind};
use super::{Dialect, Endpoint, Found, Outgoing};

/// The Open Inference Protocol.
#[derive(Default)]
pub struct OpenInference;

#[derive(Deserialize)]
struct Answer {
    outputs: Vec<Tensor>,
}

#[derive(Deserialize)]
struct Tensor {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    data: Value,
}

impl Dialect for OpenInference {
    const KIND: ProtocolKind = ProtocolKind::OpenInference;

    fn outgoing(
        &self,
        endpoint: &Endpoint,
        model: &ModelConfig,
        request: &ResolvedRequest,
    ) -> Result<Outgoing, String> {
        let names = &model.tensors;
        let shape: &[u32] = if names.batched { &[1, 1] } else { &[1] };
        let tensor = |name: &str, datatype: &str, value: Value| json!({ "name": name, "shape": shape, "datatype": datatype, "data": [value] });
        let mut inputs = vec![tensor(&names.prompt, "BYTES", json!(request.prompt))];
        if model.negative_prompt {
            inputs.push(tensor(
                &names.negative_prompt,
                "BYTES",
                json!(request.negative_prompt.as_deref().unwrap_or_default()),
            ));
        }
        if model.steps.is_some() {
            inputs.push(tensor(
                &names.steps,
                "INT32",
                json!(request.num_inference_steps),
            ));
        }
        if model.guidance.is_some() {
            inputs.push(tensor(
                &names.guidance,
                "FP32",
                json!(request.guidance_scale),
            ));
        }
        if model.seed {
            inputs.push(tensor(&names.seed, "INT64", json!(request.seed)));
        }
        let mut body = json!({ "inputs": inputs, "outputs": [{ "name": names.image }] });
        if !endpoint.config().extra.is_empty() {
            body["parameters"] = endpoint.config().extra.clone().into();
        }
        Ok(Outgoing {
            url: endpoint.address(&["v2", "models", &model.remote, "infer"])?,
            body,
            accept: "application/json",
        })
    }

    fn found(&self, model: &ModelConfig, _: &str, body: Vec<u8>) -> Result<Found, String> {
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| "it is not an inference response")?;
        let name = &model.tensors.image;
        let tensor = answer
            .outputs
            .into_iter()
            .find(|tensor| tensor.name == *name)
            .ok_or_else(|| format!("it has no output {name:?}"))?;
        if tensor.datatype == "BYTES" {
            let mut text = &tensor.data;
            while let Some(first) = text.get(0) {
                text = first;
            }
            let text = text.as_str().ok_or("its image is not text")?;
            return STANDARD
                .decode(text)
                .map(Found::File)
                .map_err(|_| "its image is not base64".to_owned());
        }
        let (width, height) = (model.width, model.height);
        let rank = tensor.shape.len();
        let rows = tensor
            .shape
            .get(rank.saturating_sub(3)..)
            .unwrap_or_default();
        let batch = tensor
            .shape
            .get(..rank.saturating_sub(3))
            .unwrap_or_default();
        if rows != [u64::from(height), u64::from(width), 3] || batch.iter().any(|n| *n != 1) {
            return Err(format!(
                "its image has the shape {:?} instead of [1, {height}, {width}, 3]",
                tensor.shape
            ));
        }
        let byte: fn(f64) -> Option<u8> = match tensor.datatype.as_str() {
            "UINT8" => |x| (x.fract() == 0.0 && (0.0..=255.0).contains(&x)).then_some(x as u8),
            "FP32" => |x| (0.0..=1.0).contains(&x).then(|| (x * 255.0).round() as u8),
            other => {
                let shown: String = other.chars().take(20).collect();
                return Err(format!("its image is of type {shown:?}"));
            }
        };
        let length = width as usize * height as usize * 3;
        let mut rgb = Vec::with_capacity(length);
        flatten(&tensor.data, length, &mut |x| {
            byte(x).map(|byte| rgb.push(byte)).is_some()
        })?;
        if rgb.len() != length {
            return Err(format!("its image has {} values of {length}", rgb.len()));
        }
        Ok(Found::Pixels(Picture { width, height, rgb }))
    }
}

/// Hands the numbers of a flat or nested array on, in row-major order; `take` says whether one is in range.
fn flatten(data: &Value, left: usize, take: &mut dyn FnMut(f64) -> bool) -> Result<usize, String> {
    match data {
        Value::Array(items) => items
            .iter()
            .try_fold(left, |left, item| flatten(item, left, take)),
        Value::Number(number) => {
            let left = left.checked_sub(1).ok_or("its image has too many values")?;
            if number.as_f64().is_some_and(take) {
                Ok(left)
            } else {
                Err(format!("its image has the value {number}"))
            }
        }
        _ => Err("its image is not made of numbers".to_owned()),
    }
}
