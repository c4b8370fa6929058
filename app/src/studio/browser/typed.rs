//! What was typed into the served form before the page came alive.

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};

use crate::settings::{Settings, parse_policy};

/// Reads the fields that are in the document already; absent ones change nothing.
pub(crate) fn adopt(settings: RwSignal<Settings>) {
    settings.update(|s| {
        for (id, field) in [
            ("prompt", &mut s.prompt),
            ("negative-prompt", &mut s.negative_prompt),
            ("model", &mut s.model),
            ("seed", &mut s.seed),
            ("steps", &mut s.steps),
            ("guidance", &mut s.guidance),
        ] {
            if let Some(value) = property(id, "value").and_then(|v| v.as_string()) {
                *field = value;
            }
        }
        if let Some(value) = property("policy", "value").and_then(|v| v.as_string()) {
            s.policy = parse_policy(&value);
        }
        for (id, field) in [
            ("random-seed", &mut s.random_seed),
            ("accept-software", &mut s.accept_software),
        ] {
            if let Some(value) = property(id, "checked").and_then(|v| v.as_bool()) {
                *field = value;
            }
        }
    });
}

fn property(id: &str, name: &str) -> Option<JsValue> {
    let element = document().get_element_by_id(id)?;
    js_sys::Reflect::get(element.unchecked_ref(), &JsValue::from_str(name)).ok()
}
