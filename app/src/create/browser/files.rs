//! Files that are chosen or dropped onto the page.

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{DataTransfer, DragEvent, Event, File, HtmlInputElement};

use crate::browser::text;
use crate::create::Studio;
use crate::create::reading::apply;
use crate::create::studio::Models;
use crate::format;

/// Largest file that is read, in bytes.
const MAX_BYTES: f64 = 64e6;

/// Reads the first file that a file field holds now.
pub(crate) fn chosen(studio: Studio, models: Models, event: &Event) {
    let Some(input) = event
        .target()
        .and_then(|target| target.dyn_into::<HtmlInputElement>().ok())
    else {
        return;
    };
    let file = input.files().and_then(|files| files.get(0));
    if let Some(file) = file {
        start(studio, models, file);
    }
    // So that the same file can be chosen again.
    input.set_value("");
}

/// Takes files that are dropped anywhere on the page for as long as the current owner lives; `over` tells while one is
/// held above it.
pub(crate) fn listen(studio: Studio, models: Models, over: RwSignal<bool>) {
    let hovering = move |event: DragEvent| {
        if files(&event).is_some() {
            event.prevent_default();
            over.set(true);
        }
    };
    let handles = [
        window_event_listener(ev::dragenter, hovering),
        window_event_listener(ev::dragover, hovering),
        window_event_listener(ev::dragleave, move |event| {
            // Leaving one element for another of the page names the other.
            if event.related_target().is_none() {
                over.set(false);
            }
        }),
        window_event_listener(ev::drop, move |event| {
            over.set(false);
            if event.default_prevented() {
                return;
            }
            if let Some(files) = files(&event) {
                event.prevent_default();
                if let Some(file) = files.files().and_then(|files| files.get(0)) {
                    start(studio, models, file);
                }
            }
        }),
    ];
    on_cleanup(move || {
        for handle in handles {
            handle.remove();
        }
    });
}

/// What is dragged, if it is files.
fn files(event: &DragEvent) -> Option<DataTransfer> {
    let transfer = event.data_transfer()?;
    let is_file = |kind: wasm_bindgen::JsValue| kind.as_string().is_some_and(|k| k == "Files");
    transfer.types().iter().any(is_file).then_some(transfer)
}

fn start(studio: Studio, models: Models, file: File) {
    spawn_local(async move {
        let read = read(&file).await;
        let Some(models) = models.try_get_value() else {
            return;
        };
        let said = read.map(|reading| {
            let form = studio.settings.get_untracked();
            let (form, sentence) = apply(reading, &form, &models);
            studio.settings.set(form);
            studio.problem.set(None);
            sentence
        });
        studio.from_file.set(Some(said));
    });
}

async fn read(file: &File) -> Result<png_recipe::Reading, String> {
    if file.size() > MAX_BYTES {
        return Err(format!(
            "This file has {}; at most {} are read.",
            format::size(file.size() as u64),
            format::size(MAX_BYTES as u64)
        ));
    }
    let buffer = JsFuture::from(file.array_buffer())
        .await
        .map_err(|error| format!("The file could not be read: {}.", text(&error)))?;
    let bytes = js_sys::Uint8Array::new(&buffer).to_vec();
    png_recipe::read(&bytes).map_err(|error| {
        let mut sentence = error.to_string();
        if let Some(first) = sentence.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        sentence.push('.');
        sentence
    })
}
