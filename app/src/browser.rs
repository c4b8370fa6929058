//! What the rooms need of a browser's main thread.

pub(crate) mod api;
pub(crate) mod blob;
pub(crate) mod clipboard;
pub(crate) mod offline;
pub(crate) mod time;
pub(crate) mod upload;

use wasm_bindgen::{JsCast, JsValue};

/// The message of a JavaScript error.
pub(crate) fn text(error: &JsValue) -> String {
    error
        .dyn_ref::<js_sys::Error>()
        .map(|e| String::from(e.message()))
        .or_else(|| error.as_string())
        .unwrap_or_else(|| format!("{error:?}"))
}

/// A page without WebGPU has no worker with it either: then none is fetched to ask.
pub(crate) fn has_webgpu() -> bool {
    web_sys::window().is_some_and(|window| {
        js_sys::Reflect::get(&window.navigator(), &"gpu".into()).is_ok_and(|gpu| gpu.is_object())
    })
}

/// What the browser believes of its network.
pub(crate) fn is_online() -> bool {
    web_sys::window().is_none_or(|w| w.navigator().on_line())
}

/// Waits until suspended parts of the page, whose data came with it, are hydrated: they are micro-tasks.
pub(crate) async fn settled() {
    time::sleep(0).await;
}
