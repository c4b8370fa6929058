//! Working without a network: the service worker, and pictures that wait to be saved.

use js_sys::{Array, Uint8Array};
use leptos::prelude::*;
use protocol::Problem;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Cache, Request, Response, ResponseInit, ServiceWorkerContainer};

use super::save;
use crate::studio::run::MadeHere;

/// Cache of the pictures that wait.
const OUTBOX: &str = "demo-hub-outbox";
/// Header of a stored picture that holds its [`MadeHere`].
const MADE: &str = "x-made-here";

/// Registers the service worker, where the browser has them, and sends what waits once there is a network.
pub(crate) fn start() {
    if let Some(container) = container() {
        let registered = container.register("/sw.js");
        spawn_local(async move {
            // The hub works without one.
            let _ = JsFuture::from(registered).await;
        });
    }
    let flush = || spawn_local(flush());
    flush();
    let on_online = Closure::<dyn Fn()>::new(flush);
    if let Some(window) = web_sys::window() {
        window.set_ononline(Some(on_online.as_ref().unchecked_ref()));
    }
    // Listens for as long as the page lives.
    on_online.forget();
}

/// A picture was made here: the render worker shall start without a network from now on.
pub(super) fn keep_worker() {
    let Some(container) = container() else {
        return;
    };
    if let Some(active) = container.controller() {
        // A service worker that is being replaced loses the message; the next picture repeats it.
        let _ = active.post_message(&JsValue::from_str("keep-worker"));
    }
}

fn container() -> Option<ServiceWorkerContainer> {
    let navigator = web_sys::window()?.navigator();
    js_sys::Reflect::get(&navigator, &"serviceWorker".into())
        .ok()?
        .dyn_into()
        .ok()
}

/// Keeps a picture until there is a network.
pub(super) async fn queue(made_here: &MadeHere, png: &js_sys::ArrayBuffer) -> Result<(), JsValue> {
    let json = serde_json::to_string(made_here).map_err(|e| JsValue::from_str(&e.to_string()))?;
    let headers = web_sys::Headers::new()?;
    // Header values are bytes of Latin-1.
    headers.set(MADE, &crate::settings::encode(&json))?;
    let init = ResponseInit::new();
    init.set_headers(&headers);
    let bytes = Uint8Array::new(png);
    let response = Response::new_with_opt_buffer_source_and_init(Some(&bytes), &init)?;
    let address = format!("/{OUTBOX}/{}", made_here.sha256);
    JsFuture::from(outbox().await?.put_with_str(&address, &response)).await?;
    Ok(())
}

async fn outbox() -> Result<Cache, JsValue> {
    let caches = web_sys::window().ok_or(JsValue::NULL)?.caches()?;
    JsFuture::from(caches.open(OUTBOX)).await?.dyn_into()
}

/// Saves the pictures that wait; those that the hub refuses for good are dropped, the others stay.
async fn flush() {
    if let Err(error) = flush_all().await {
        leptos::logging::warn!("pictures that wait could not be read: {error:?}");
    }
}

async fn flush_all() -> Result<(), JsValue> {
    let outbox = outbox().await?;
    let waiting: Array = JsFuture::from(outbox.keys()).await?.dyn_into()?;
    for key in waiting.iter() {
        let key: Request = key.dyn_into()?;
        let found = JsFuture::from(outbox.match_with_request(&key)).await?;
        let Ok(response) = found.dyn_into::<Response>() else {
            continue;
        };
        let made = response.headers().get(MADE)?.unwrap_or_default();
        let made = js_sys::decode_uri_component(&made).map(String::from)?;
        let png = JsFuture::from(response.array_buffer()?).await?.dyn_into()?;
        let done = match serde_json::from_str::<MadeHere>(&made) {
            Ok(made_here) => match save::send(made_here, &png).await {
                Ok(permalink) => {
                    leptos::logging::log!("saved as {permalink}");
                    true
                }
                Err(problem) => !may_pass(&problem),
            },
            Err(_) => true,
        };
        if done {
            JsFuture::from(outbox.delete_with_request(&key)).await?;
        }
    }
    Ok(())
}

/// Whether the same picture may be saved later.
pub(super) fn may_pass(problem: &Problem) -> bool {
    use protocol::ProblemCode::{Internal, StorageUnavailable};
    matches!(problem.code, Internal | StorageUnavailable)
}
