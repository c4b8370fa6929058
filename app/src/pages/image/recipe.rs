//! Everything that is known of a picture's making.

use leptos::prelude::*;
use protocol::ImageRecord;

use super::{option, place};
use crate::format;

#[component]
pub(super) fn RecipeTable(record: ImageRecord) -> impl IntoView {
    let place = place(&record);
    let recipe = record.recipe;
    let request = recipe.request;
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
        ("Model", request.model),
        ("Seed", option(request.seed)),
        ("Steps", option(request.num_inference_steps)),
        ("Guidance", option(request.guidance_scale)),
        ("Scheduler", recipe.scheduler),
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
