//! Working without a network: the service worker, which keeps the pages and the render worker.

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::ServiceWorkerContainer;

use super::worker::text;

/// Registers the service worker, where the browser has them.
pub(crate) fn start() {
    let Some(container) = container() else {
        return;
    };
    let registered = container.register("/sw.js");
    spawn_local(async move {
        if let Err(error) = JsFuture::from(registered).await {
            leptos::logging::warn!("the hub will not open offline: {}", text(&error));
        }
    });
}

/// A picture was made here: the render worker shall start without a network from now on.
pub(super) fn keep_worker() {
    if let Some(active) = container().and_then(|container| container.controller()) {
        // A service worker that is being replaced loses the message; the next picture repeats it.
        let _ = active.post_message(&JsValue::from_str("keep-worker"));
    }
}

/// Absent outside secure contexts.
fn container() -> Option<ServiceWorkerContainer> {
    let navigator = web_sys::window()?.navigator();
    js_sys::Reflect::get(&navigator, &"serviceWorker".into())
        .ok()?
        .dyn_into()
        .ok()
}
