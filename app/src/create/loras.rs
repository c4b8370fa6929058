//! The LoRAs of a model: a number for each, which is its tag in the prompt.

use leptos::prelude::*;
use protocol::{MAX_LORA_WEIGHT, ModelLora, lora_weight, with_lora_weight};

use super::link::Settings;
use super::studio::Models;

/// Their weights; nothing for a model that has none.
#[component]
pub(super) fn Loras(models: Models, settings: RwSignal<Settings>) -> impl IntoView {
    let loras = Memo::new(move |_| {
        let id = settings.with(|s| s.model.clone());
        models.with_value(|all| {
            let model = all.iter().find(|m| m.id == id);
            model.map(|m| m.loras.clone()).unwrap_or_default()
        })
    });
    move || {
        let loras = loras.get();
        (!loras.is_empty()).then(|| {
            let count = loras.len();
            let rows = loras
                .into_iter()
                .enumerate()
                .map(|(index, lora)| view! { <Weight settings lora index /> })
                .collect_view();
            view! {
                <details class="more loras" data-testid="loras">
                    <summary>{format!("LoRAs ({count})")}</summary>
                    <p class="note" id="lora-note">
                        "A weight is a tag in the prompt, such as <lora:name:0.8>. Left empty, it is what stands there in grey."
                    </p>
                    {rows}
                </details>
            }
        })
    }
}

#[component]
fn Weight(settings: RwSignal<Settings>, lora: ModelLora, index: usize) -> impl IntoView {
    let ModelLora { name, weight, .. } = lora;
    let id = format!("lora-{index}");
    let usual = weight.unwrap_or(0.0).to_string();
    let named = name.clone();
    let shown = move || {
        let weight = settings.with(|s| lora_weight(&s.prompt, &named));
        weight.map(|weight| weight.to_string()).unwrap_or_default()
    };
    let first = shown();
    let label = name.clone();
    view! {
        <div class="field">
            <label for=id.clone()>{label}</label>
            <input
                id=id.clone()
                type="number"
                inputmode="decimal"
                min=-MAX_LORA_WEIGHT
                max=MAX_LORA_WEIGHT
                step="0.05"
                placeholder=usual
                data-testid=id
                aria-describedby="lora-note"
                value=first
                prop:value=shown
                on:change:target=move |e| {
                    let weight = e.target().value().parse().ok();
                    settings.update(|s| s.prompt = with_lora_weight(&s.prompt, &name, weight));
                }
            />
        </div>
    }
}
