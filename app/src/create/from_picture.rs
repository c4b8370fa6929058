//! Taking settings from a picture's file.

use leptos::prelude::*;

use super::Studio;
use super::studio::Models;

/// A file button, a page that takes dropped files, and a sentence on what was read.
#[component]
pub(super) fn FromPicture(models: Models) -> impl IntoView {
    let studio = expect_context::<Studio>();
    let over = RwSignal::new(false);
    studio.take_dropped_files(models, over);
    let said = move || {
        studio.from_file.get().map(|read| {
            let class = if read.is_ok() { "note" } else { "note refused" };
            view! {
                <p class=class data-testid="from-picture">
                    {read.unwrap_or_else(|problem| problem)}
                </p>
            }
        })
    };
    view! {
        <div class="from-picture">
            <label class="button quiet file-button">
                "Use the settings in a picture"
                <input
                    id="picture-file"
                    class="visually-hidden"
                    type="file"
                    accept="image/png,image/webp,image/jpeg"
                    data-testid="picture-file"
                    aria-describedby="picture-file-note"
                    on:change=move |event| studio.take_chosen_file(models, event)
                />
            </label>
            <p id="picture-file-note" class="note">
                "Or drop a PNG, WebP or JPEG onto the page: made here, or by A1111, ComfyUI, Fooocus, InvokeAI and others. It stays in this browser."
            </p>
            <div role="status">{said}</div>
        </div>
        <div class="drop-veil" data-testid="drop-veil" hidden=move || !over.get()>
            <p>"Drop the picture to use its settings"</p>
        </div>
    }
    .into_any()
}
