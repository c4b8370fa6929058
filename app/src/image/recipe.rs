//! Everything that is known of a picture's making.

use leptos::prelude::*;
use protocol::{ImageRecord, PromptSyntax, UsedLora};

use super::{option, place};
use crate::format;

#[component]
pub(super) fn RecipeTable(record: ImageRecord) -> impl IntoView {
    let place = place(&record);
    let recipe = record.recipe;
    let request = recipe.request;
    let weighted = request.prompt_syntax == Some(PromptSyntax::A1111);
    let variation = request.variation_seed.zip(request.variation_strength);
    let variation = variation.map(|(seed, strength)| format!("Seed {seed}, strength {strength}"));
    let start = recipe.start.map(|start| {
        let part = match start.mask_sha256 {
            Some(_) => "A part of another picture",
            None => "Another picture",
        };
        format!("{part}, strength {}", start.strength)
    });
    let loras = recipe.loras.iter().map(|lora| {
        let UsedLora {
            name,
            text_weight,
            weight,
            ..
        } = lora;
        match text_weight == weight {
            true => format!("{name} at {weight}"),
            false => format!("{name} at {weight}, for the text at {text_weight}"),
        }
    });
    let loras = loras.collect::<Vec<_>>().join("; ");
    let larger = request.upscale.map(|factor| match recipe.upscaler {
        Some(network) => format!("{factor} times, by {}", network.model),
        None => format!("{factor} times"),
    });
    let size = format!(
        "{} × {} pixels, {}",
        record.width,
        record.height,
        format::size(record.bytes)
    );
    let rows = [
        ("Prompt", request.prompt),
        (
            "Negative prompt",
            request.negative_prompt.unwrap_or_default(),
        ),
        (
            "Prompts read",
            option(weighted.then_some("As AUTOMATIC1111’s web UI reads them")),
        ),
        ("Clip skip", option(request.clip_skip)),
        ("Model", request.model),
        ("LoRAs", loras),
        ("Seed", option(request.seed)),
        ("Variation", option(variation)),
        ("Begun with", option(start)),
        ("Steps", option(request.num_inference_steps)),
        ("Guidance", option(request.guidance_scale)),
        ("Scheduler", recipe.scheduler),
        ("Made larger", option(larger)),
        ("Made", place.to_owned()),
        ("Engine", recipe.backend),
        ("Device", recipe.adapter),
        ("Time", format::duration(recipe.duration_ms as f64)),
        ("Size", size),
    ];
    let digests = [
        ("Weights", recipe.weights_digest),
        ("SHA-256", record.sha256),
    ];
    let row = |name: &'static str, value: AnyView| {
        view! {
            <tr>
                <th scope="row">{name}</th>
                <td>{value}</td>
            </tr>
        }
    };
    let rows = rows
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| row(name, value.into_any()))
        .collect_view();
    let digests = digests
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| row(name, view! { <code>{value}</code> }.into_any()))
        .collect_view();
    view! {
        <table class="recipe">
            <caption>"Recipe"</caption>
            <tbody>{rows} {digests}</tbody>
        </table>
    }
    .into_any()
}
