//! The start of the page in the browser.

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::App;
use crate::browser::{offline, settled};

/// Hydrates the served page and marks `<body data-hydrated="true">` once handlers are attached.
pub fn hydrate() {
    console_error_panic_hook::set_once();
    crate::gallery::watch();
    leptos::mount::hydrate_body(App);
    offline::start();
    spawn_local(async {
        settled().await;
        if let Some(body) = document().body()
            && let Err(error) = body.set_attribute("data-hydrated", "true")
        {
            leptos::logging::error!("the page could not be marked as hydrated: {error:?}");
        }
    });
}
