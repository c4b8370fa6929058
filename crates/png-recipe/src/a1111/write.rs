//! The form as it is written.

use std::fmt::Write as _;

use protocol::{Recipe, UpscaleFactor};

use super::{NEGATIVE, VERSION};

/// The text of a recipe, for a picture of `width` × `height` pixels.
pub fn write(recipe: &Recipe, width: u32, height: u32) -> String {
    let request = &recipe.request;
    let mut text = request.prompt.clone();
    let negative = request.negative_prompt.as_deref().unwrap_or_default();
    if !negative.is_empty() {
        text.push('\n');
        text.push_str(NEGATIVE);
        text.push(' ');
        text.push_str(negative);
    }
    text.push('\n');
    let mut settings: Vec<(&str, String)> = Vec::new();
    if let Some(steps) = request.num_inference_steps {
        settings.push(("Steps", steps.to_string()));
    }
    if !recipe.scheduler.is_empty() {
        let (name, class) = sampler(&recipe.scheduler);
        settings.push(("Sampler", quoted(name)));
        if let Some(class) = class {
            settings.push(("Diffusers sampler", quoted(class)));
        }
    }
    if let Some(scale) = request.guidance_scale {
        settings.push(("CFG scale", scale.to_string()));
    }
    if let Some(seed) = request.seed {
        settings.push(("Seed", seed.to_string()));
    }
    // Before it was made larger.
    let times = request.upscale.map_or(1, UpscaleFactor::times);
    let (width, height) = (width / times, height / times);
    settings.push(("Size", format!("{width}x{height}")));
    if !recipe.weights_digest.is_empty() {
        let digest = recipe.weights_digest.chars().take(10).collect();
        settings.push(("Model hash", digest));
    }
    settings.push(("Model", quoted(&request.model)));
    if let Some(skip) = request.clip_skip.filter(|&skip| skip > 1) {
        settings.push(("Clip skip", skip.to_string()));
    }
    if let Some((seed, strength)) = request.variation_seed.zip(request.variation_strength) {
        settings.push(("Variation seed", seed.to_string()));
        settings.push(("Variation seed strength", strength.to_string()));
    }
    if let Some(start) = &recipe.start {
        settings.push(("Denoising strength", start.strength.to_string()));
    }
    if !recipe.loras.is_empty() {
        let pairs = recipe
            .loras
            .iter()
            .map(|lora| format!("{}: {}", lora.name, lora.hash));
        let hashes = pairs.collect::<Vec<_>>().join(", ");
        settings.push(("Lora hashes", quoted(&hashes)));
    }
    // As its tab Extras says it: nothing was denoised once more.
    if let Some((factor, upscaler)) = request.upscale.zip(recipe.upscaler.as_ref()) {
        settings.push(("Postprocess upscale by", factor.to_string()));
        settings.push(("Postprocess upscaler", quoted(&upscaler.model)));
    }
    settings.push(("Version", VERSION.to_owned()));
    for (i, (name, value)) in settings.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{name}: {value}");
    }
    // NUL would end a PNG text early.
    text.replace('\0', " ")
}

/// A scheduler's name among A1111's samplers (`modules/sd_samplers_*.py`), and its class in diffusers where the recipe has
/// both, as `DPM++ 2M Karras (DPMSolverMultistepScheduler)`; one that has none there keeps its own.
fn sampler(scheduler: &str) -> (&str, Option<&str>) {
    match scheduler {
        "flow-match-euler" | "euler-discrete" => ("Euler", None),
        "ddim" => ("DDIM", None),
        other => match other
            .strip_suffix(')')
            .and_then(|both| both.rsplit_once(" ("))
        {
            Some((name, class)) => (name, Some(class)),
            None => (other, None),
        },
    }
}

/// A1111 writes values that hold its separators as JSON strings.
fn quoted(value: &str) -> String {
    if value.contains([',', ':', '\n']) {
        serde_json::Value::from(value).to_string()
    } else {
        value.to_owned()
    }
}
