//! A picture to begin with, for models that can.

use leptos::prelude::*;

use super::Studio;
use super::studio::Models;

/// The folded part of the form; nothing for models that begin with noise alone.
#[component]
pub(super) fn StartFromPicture(models: Models) -> impl IntoView {
    let studio = expect_context::<Studio>();
    let able = Memo::new(move |_| studio.begins_with_pictures(models));
    move || able.get().then(|| view! { <Fields studio /> })
}

#[component]
fn Fields(studio: Studio) -> impl IntoView {
    let start = studio.start;
    let chosen = Memo::new(move |_| {
        start.with(|start| {
            let chosen = start.chosen.as_ref();
            chosen.map(|chosen| (chosen.name.clone(), chosen.url.clone()))
        })
    });
    let said = move || {
        start.with(|start| start.refused.clone()).map(|sentence| {
            view! {
                <p class="note refused" data-testid="start-refused">
                    {sentence}
                </p>
            }
        })
    };
    view! {
        <details
            class="more start-picture"
            data-testid="start-picture"
            open=move || chosen.with(Option::is_some)
            on:drop=move |event| studio.take_dropped_start(event)
            on:paste=move |event| studio.take_pasted_start(event)
        >
            <summary>"Start from a picture"</summary>
            <label class="button quiet file-button">
                "Choose a picture"
                <input
                    id="start-file"
                    class="visually-hidden"
                    type="file"
                    accept="image/png,image/webp,image/jpeg"
                    data-testid="start-file"
                    aria-describedby="start-file-note"
                    on:change=move |event| studio.take_chosen_start(event)
                />
            </label>
            <p id="start-file-note" class="note">
                "PNG, WebP or JPEG; or drop it here, or paste it. It is brought to the size of the new picture, and sent to the server only if the server makes that."
            </p>
            <div role="status">{said}</div>
            {move || chosen.get().map(|(name, url)| view! { <Shown studio name url /> })}
        </details>
    }
    .into_any()
}

#[component]
fn Shown(studio: Studio, name: String, url: String) -> impl IntoView {
    let strength = move || studio.start.with(|start| start.strength.clone());
    view! {
        <div class="start-shown">
            <img src=url alt=format!("The picture to begin with: {name}") data-testid="start-image" />
            <button
                class="button quiet"
                type="button"
                data-testid="start-remove"
                on:click=move |_| studio.start.update(|start| start.take(None))
            >
                "Start from noise instead"
            </button>
        </div>
        <div class="field">
            <label for="strength">"Strength"</label>
            <input
                id="strength"
                type="number"
                inputmode="decimal"
                min="0"
                max="1"
                step="0.05"
                data-testid="strength"
                aria-describedby="strength-note"
                prop:value=strength
                on:input:target=move |e| {
                    let value = e.target().value();
                    studio.start.update(|start| start.strength = value);
                }
            />
            <p id="strength-note" class="note">
                "0 keeps the picture, 1 makes a new one."
            </p>
        </div>
    }
    .into_any()
}

/// Puts the finished picture in the form, to begin the next one with.
#[component]
pub(super) fn UseAsStart(
    models: Models,
    /// Address of the picture.
    url: String,
) -> impl IntoView {
    let studio = expect_context::<Studio>();
    let able = Memo::new(move |_| studio.begins_with_pictures(models));
    move || {
        let url = url.clone();
        able.get().then(|| {
            view! {
                <button
                    class="button quiet"
                    type="button"
                    data-testid="use-as-start"
                    on:click=move |_| studio.start_with(url.clone())
                >
                    "Use as start"
                </button>
            }
        })
    }
}
