//! Keys that act wherever the focus is.

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, KeyboardEvent};

use crate::create::keys::LIST;
use crate::create::studio::{Models, Studio};

/// Listens for as long as the current owner lives.
pub(crate) fn listen(studio: Studio, models: Models) {
    let handle = window_event_listener(ev::keydown, move |event| {
        if !event.default_prevented() && press(studio, models, &event) {
            event.prevent_default();
        }
    });
    on_cleanup(move || handle.remove());
}

/// Does what a key stands for; false where it stands for nothing here.
fn press(studio: Studio, models: Models, event: &KeyboardEvent) -> bool {
    let key = event.key();
    if key == "Enter" && (event.ctrl_key() || event.meta_key()) {
        studio.generate(models);
        return true;
    }
    if event.ctrl_key() || event.meta_key() || event.alt_key() || is_typed(event) {
        return false;
    }
    match key.as_str() {
        "/" => focus("#prompt"),
        "?" => toggle_list(),
        "[" => studio.batches.step(-1),
        "]" => studio.batches.step(1),
        _ => return false,
    }
    true
}

/// Whether the key goes into a field.
fn is_typed(event: &KeyboardEvent) -> bool {
    let target = event.target().and_then(|t| t.dyn_into::<Element>().ok());
    target.is_some_and(|element| {
        let field = "input:not([type=checkbox]):not([type=range]), textarea, select";
        element.matches(field).unwrap_or(false)
    })
}

fn toggle_list() {
    let Some(list) = document().get_element_by_id(LIST) else {
        return;
    };
    let opened = list.toggle_attribute("open").unwrap_or(false);
    if opened {
        focus(&format!("#{LIST} summary"));
    }
}

fn focus(selector: &str) {
    let found = document().query_selector(selector).ok().flatten();
    if let Some(element) = found.and_then(|found| found.dyn_into::<HtmlElement>().ok()) {
        // Fails for nothing that can be focused.
        let _ = element.focus();
    }
}
