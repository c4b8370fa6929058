//! Settings that OpenAI's and Hugging Face's requests name alike.

use protocol::ResolvedRequest;
use serde_json::{Value, json};

use super::config::ModelConfig;

/// Seed, steps, guidance and negative prompt of `request`, as far as the endpoint takes them for this model.
pub fn of(model: &ModelConfig, request: &ResolvedRequest) -> impl Iterator<Item = (String, Value)> {
    let negative = request.negative_prompt.as_deref().unwrap_or_default();
    let negative_prompt = model.negative_prompt && !negative.is_empty();
    [
        (model.seed, "seed", json!(request.seed)),
        (
            model.steps.is_some(),
            "num_inference_steps",
            json!(request.num_inference_steps),
        ),
        (
            model.guidance.is_some(),
            "guidance_scale",
            json!(request.guidance_scale),
        ),
        (negative_prompt, "negative_prompt", json!(negative)),
    ]
    .into_iter()
    .filter(|(taken, ..)| *taken)
    .map(|(_, name, value)| (name.to_owned(), value))
}
