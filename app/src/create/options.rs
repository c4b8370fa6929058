//! What only some models let a visitor choose: size, sampler, clip skip, weights in the prompt.

use leptos::prelude::*;
use protocol::ModelSizes;

use super::form::field;
use super::link::Settings;
use super::studio::Models;

/// The fields that the chosen model offers; nothing for a model that offers none.
#[component]
pub(super) fn ModelOptions(models: Models, settings: RwSignal<Settings>) -> impl IntoView {
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
                {(model.max_clip_skip > 1)
                    .then(|| view! { <ClipSkip settings max=model.max_clip_skip /> })}
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
    let range = |default: u32| SideRange {
        default,
        sizes: sizes.clone(),
    };
    let (wide, high) = (range(default.0), range(default.1));
    view! {
        <div class="row sizes">
            <Side name="width" label="Width" text=first.width range=wide get=width set=set_width />
            <Side name="height" label="Height" text=first.height range=high get=height set=set_height />
        </div>
        <p class="note size-note" id="size-note">{note}{trained}</p>
    }
}

/// What a side may be, and what it is where nothing is typed.
struct SideRange {
    default: u32,
    sizes: ModelSizes,
}

#[component]
fn Side(
    name: &'static str,
    label: &'static str,
    /// As it is served.
    text: String,
    range: SideRange,
    get: impl Fn() -> String + Send + Sync + 'static,
    set: impl Fn(String) + 'static,
) -> impl IntoView {
    view! {
        <div class="field">
            <label for=name>{label}</label>
            <input
                id=name
                name=name
                type="number"
                inputmode="numeric"
                min=range.sizes.min_side
                max=range.sizes.max_side
                step=range.sizes.multiple_of
                placeholder=range.default
                data-testid=name
                aria-describedby="size-note"
                value=text
                prop:value=get
                on:input:target=move |e| set(e.target().value())
            />
        </div>
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
fn ClipSkip(settings: RwSignal<Settings>, max: u32) -> impl IntoView {
    let (clip_skip, set_clip_skip) = field!(settings, clip_skip);
    let first = settings.with_untracked(|s| s.clip_skip.clone());
    view! {
        <div class="field">
            <label for="clip-skip">"Clip skip"</label>
            <input
                id="clip-skip"
                name="clip_skip"
                type="number"
                inputmode="numeric"
                min=1
                max=max
                step=1
                placeholder="1"
                data-testid="clip-skip"
                aria-describedby="clip-skip-note"
                value=first
                prop:value=clip_skip
                on:input:target=move |e| set_clip_skip(e.target().value())
            />
            <p id="clip-skip-note" class="note">
                "2 reads the text encoder one layer earlier; some models were trained with that."
            </p>
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
