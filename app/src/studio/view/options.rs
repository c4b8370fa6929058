//! What only some models let a visitor choose: size, sampler, weights in the prompt.

use leptos::prelude::*;
use protocol::{ModelSizes, ModelSummary};

use super::form::field;
use crate::settings::Settings;

/// The fields that the chosen model offers; nothing for a model that offers none.
#[component]
pub(super) fn ModelOptions(
    models: StoredValue<Vec<ModelSummary>>,
    settings: RwSignal<Settings>,
) -> impl IntoView {
    let model = Memo::new(move |_| {
        let id = settings.with(|s| s.model.clone());
        models.with_value(|all| all.iter().find(|m| m.id == id).cloned())
    });
    move || {
        model.get().map(|model| {
            let default = (model.width, model.height);
            let samplers = model.samplers.into_iter().map(|sampler| sampler.a1111);
            let samplers: Vec<String> = samplers.collect();
            view! {
                {model.sizes.map(|sizes| view! { <Size settings sizes default /> })}
                {(!samplers.is_empty()).then(|| view! { <Sampler settings samplers /> })}
                {model.weighted_prompts.then(|| view! { <Weights settings /> })}
            }
        })
    }
}

#[component]
fn Size(settings: RwSignal<Settings>, sizes: ModelSizes, default: (u32, u32)) -> impl IntoView {
    let (width, set_width) = field!(settings, width);
    let (height, set_height) = field!(settings, height);
    let first = settings.get_untracked();
    let note = format!(
        "Sides in steps of {}, from {} to {}.",
        sizes.multiple_of, sizes.min_side, sizes.max_side
    );
    let buckets: Vec<String> = sizes
        .buckets
        .iter()
        .map(|[width, height]| format!("{width} × {height}"))
        .collect();
    let trained =
        (!buckets.is_empty()).then(|| format!(" The model was trained on {}.", buckets.join(", ")));
    let ModelSizes {
        multiple_of,
        min_side,
        max_side,
        ..
    } = sizes;
    view! {
        <div class="row sizes">
            <div class="field">
                <label for="width">"Width"</label>
                <input
                    id="width"
                    name="width"
                    type="number"
                    inputmode="numeric"
                    min=min_side
                    max=max_side
                    step=multiple_of
                    placeholder=default.0
                    data-testid="width"
                    aria-describedby="size-note"
                    value=first.width.clone()
                    prop:value=width
                    on:input:target=move |e| set_width(e.target().value())
                />
            </div>
            <div class="field">
                <label for="height">"Height"</label>
                <input
                    id="height"
                    name="height"
                    type="number"
                    inputmode="numeric"
                    min=min_side
                    max=max_side
                    step=multiple_of
                    placeholder=default.1
                    data-testid="height"
                    aria-describedby="size-note"
                    value=first.height.clone()
                    prop:value=height
                    on:input:target=move |e| set_height(e.target().value())
                />
            </div>
        </div>
        <p class="note size-note" id="size-note">{note}{trained}</p>
    }
}

#[component]
fn Sampler(settings: RwSignal<Settings>, samplers: Vec<String>) -> impl IntoView {
    let (sampler, set_sampler) = field!(settings, sampler);
    let first = settings.with_untracked(|s| s.sampler.clone());
    let options = samplers
        .into_iter()
        .map(|name| view! { <option value=name.clone() selected=name == first>{name.clone()}</option> })
        .collect_view();
    view! {
        <div class="field">
            <label for="sampler">"Sampler"</label>
            <select
                id="sampler"
                name="sampler"
                data-testid="sampler"
                prop:value=sampler
                on:change:target=move |e| set_sampler(e.target().value())
            >
                <option value="">"The model’s own"</option>
                {options}
            </select>
        </div>
    }
}

#[component]
fn Weights(settings: RwSignal<Settings>) -> impl IntoView {
    let (weighted, set_weighted) = field!(settings, weighted);
    let first = settings.with_untracked(|s| s.weighted);
    view! {
        <label class="check weighted">
            <input
                id="weighted"
                name="weighted"
                type="checkbox"
                value="1"
                data-testid="weighted"
                checked=first
                prop:checked=weighted
                on:change:target=move |e| set_weighted(e.target().checked())
            />
            "Read (weights:1.3), BREAK and long prompts as AUTOMATIC1111 does"
        </label>
    }
}
