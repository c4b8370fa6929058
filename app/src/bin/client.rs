//! Brings the served page alive in the browser's main thread.

#![recursion_limit = "256"]

#[cfg(browser)]
fn main() {
    app::hydrate();
}

#[cfg(not(browser))]
fn main() {
    eprintln!(
        "client runs in a browser: build it for wasm32-unknown-unknown with the feature `hydrate`"
    );
}
