//! What was typed into the served form before the page came alive.

use leptos::prelude::*;
use wasm_bindgen::JsValue;

use crate::create::link::{Settings, parse_policy};

/// Takes over the fields that no longer hold what they were served with. Those that do say nothing: a page that was kept for
/// offline was served without its query.
pub(crate) fn adopt(settings: RwSignal<Settings>) {
    settings.update(|s| {
        for (id, field) in [
            ("prompt", &mut s.prompt),
            ("pictures", &mut s.pictures),
            ("negative-prompt", &mut s.negative_prompt),
            ("seed", &mut s.seed),
            ("steps", &mut s.steps),
            ("guidance", &mut s.guidance),
            ("width", &mut s.width),
            ("height", &mut s.height),
            ("clip-skip", &mut s.clip_skip),
        ] {
            if let Some(value) = changed(id, "value", "defaultValue").and_then(|v| v.as_string()) {
                *field = value;
            }
        }
        if let Some(value) = chosen("model") {
            s.model = value;
        }
        if let Some(value) = chosen("sampler") {
            s.sampler = value;
        }
        if let Some(value) = chosen("policy") {
            s.policy = parse_policy(&value);
        }
        for (id, field) in [
            ("random-seed", &mut s.random_seed),
            ("weighted", &mut s.weighted),
            ("accept-software", &mut s.accept_software),
        ] {
            if let Some(value) = changed(id, "checked", "defaultChecked").and_then(|v| v.as_bool())
            {
                *field = value;
            }
        }
    });
}

/// The property `now` of a field, unless it is equal to `served`; nothing for a field that is absent.
fn changed(id: &str, now: &str, served: &str) -> Option<JsValue> {
    let field = document().get_element_by_id(id)?.into();
    let value = property(&field, now)?;
    (property(&field, served)? != value).then_some(value)
}

/// The value of a selection, unless it is the served one.
fn chosen(id: &str) -> Option<String> {
    let field = document().get_element_by_id(id)?.into();
    let index = property(&field, "selectedIndex")?.as_f64()?;
    let option = property(&property(&field, "options")?, &index.to_string())?;
    let served = property(&option, "defaultSelected")?.as_bool()?;
    if served {
        return None;
    }
    property(&option, "value")?.as_string()
}

fn property(object: &JsValue, name: &str) -> Option<JsValue> {
    js_sys::Reflect::get(object, &JsValue::from_str(name)).ok()
}
