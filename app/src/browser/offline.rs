//! Working without a network: the service worker, which keeps the pages and the render worker.

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::ServiceWorkerContainer;

use protocol::Place;

use super::{has_webgpu, text};

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

/// A picture was made at `place`: the workers that it took shall start without a network from now on.
pub(crate) fn keep_workers(place: Place) {
    let Some(active) = container().and_then(|container| container.controller()) else {
        return;
    };
    // The names of `public/sw.js`. Whoever has WebGPU asks its worker first.
    let names = js_sys::Array::new();
    if has_webgpu() {
        names.push(&"worker".into());
    }
    if place == Place::BrowserCpu {
        names.push(&"cpu_worker".into());
    }
    // A service worker that is being replaced loses the message; the next picture repeats it.
    let _ = active.post_message(&names);
}

/// Absent outside secure contexts.
fn container() -> Option<ServiceWorkerContainer> {
    let navigator = web_sys::window()?.navigator();
    js_sys::Reflect::get(&navigator, &"serviceWorker".into())
        .ok()?
        .dyn_into()
        .ok()
}
