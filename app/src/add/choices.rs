//! The form that adds a model that was looked at.

use leptos::prelude::*;
use protocol::{LookedChoice, LookedComponent, ModelLook, WeightsKind};

use crate::format;

/// What a kind of weights is called.
pub(super) fn called(kind: WeightsKind) -> &'static str {
    match kind {
        WeightsKind::Kept => "As their author has them",
        WeightsKind::F16 => "16 bits",
        WeightsKind::Int8 => "8 bits",
        WeightsKind::Int4 => "4 bits",
    }
}

#[component]
pub(super) fn Choices(look: ModelLook) -> impl IntoView {
    let ModelLook {
        id,
        revision,
        license,
        components,
        choices,
        free_bytes,
        ..
    } = look;
    let kinds = choices
        .iter()
        .map(|choice| kind(choice, free_bytes))
        .collect_view();
    let kinds = (!choices.is_empty()).then(|| {
        view! {
            <fieldset class="kinds">
                <legend>"Weights"</legend>
                {kinds}
            </fieldset>
        }
    });
    let license = license.is_none().then(|| {
        view! {
            <div class="field">
                <label for="license">"Licence of the weights"</label>
                <input
                    id="license"
                    name="license"
                    type="text"
                    maxlength="128"
                    placeholder="mit"
                    required
                />
            </div>
        }
    });
    let single = (!choices.is_empty() && components.len() > 1)
        .then(|| view! { <Single components=components.clone() /> });
    let named = components.into_iter().map(|component| {
        view! { <input type="hidden" name="component" value=component.name /> }
    });
    view! {
        <form
            class="choices-form"
            method="post"
            action="/operator/additions"
            data-testid="add-form"
        >
            <input type="hidden" name="id" value=id />
            <input type="hidden" name="revision" value=revision />
            {named.collect_view()}
            {kinds}
            {license}
            {single}
            <p class="actions">
                <button class="button primary" type="submit" data-testid="add">
                    "Add this model"
                </button>
            </p>
        </form>
    }
    .into_any()
}

/// A package with weights of one kind.
fn kind(choice: &LookedChoice, free_bytes: u64) -> AnyView {
    let LookedChoice {
        weights,
        package_bytes,
        disk_bytes,
        needs,
    } = *choice;
    let id = format!("weights-{}", weights.name());
    let note = format!("{id}-note");
    let low_memory = [needs.one_at_a_time, needs.streamed].into_iter().flatten();
    let least = low_memory.map(|needs| needs.memory_bytes).min();
    let least = least.filter(|bytes| *bytes < needs.memory_bytes);
    let least = least.map(|bytes| {
        let bytes = format::amount(bytes);
        format!(", or {bytes} with a part of the model there at a time")
    });
    let takes = format!(
        "Visitors download {}. A picture takes {} of GPU memory{}, in buffers of {} at most.",
        format::amount(package_bytes),
        format::amount(needs.memory_bytes),
        least.unwrap_or_default(),
        format::amount(needs.max_buffer_size)
    );
    let disk = (disk_bytes > free_bytes).then(|| {
        let disk = format::amount(disk_bytes);
        view! { <strong class="refused">{format!(" Adding it takes {disk} of disk, more than is free.")}</strong> }
    });
    view! {
        <div class="kind">
            <input
                type="radio"
                id=id.clone()
                name="weights"
                value=weights.name()
                checked=weights == WeightsKind::Kept
                aria-describedby=note.clone()
            />
            <label for=id>{called(weights)}</label>
            <p class="note" id=note>
                {takes}
                {disk}
            </p>
        </div>
    }
    .into_any()
}

/// Choices for single components.
#[component]
fn Single(components: Vec<LookedComponent>) -> impl IntoView {
    let fields = components.into_iter().map(|component| {
        let LookedComponent {
            name,
            bytes,
            optional,
            ..
        } = component;
        let field = format!("weights-of-{name}");
        let kinds = WeightsKind::ALL.map(|kind| {
            view! { <option value=kind.name()>{called(kind)}</option> }
        });
        let without = optional.then(|| {
            let field = format!("without-{name}");
            let text = format!("Leave {name} out, {}", format::amount(bytes));
            view! {
                <label class="check">
                    <input type="checkbox" name=field />
                    {text}
                </label>
            }
        });
        view! {
            <div class="field">
                <label for=field.clone()>{name}</label>
                <select id=field.clone() name=field>
                    <option value="">"As chosen above"</option>
                    {kinds.into_iter().collect_view()}
                </select>
                {without}
            </div>
        }
    });
    view! {
        <details class="more">
            <summary>"Choose for single components"</summary>
            <div class="single">{fields.collect_view()}</div>
        </details>
    }
    .into_any()
}
