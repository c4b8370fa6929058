//! Runs diffusion models on the processor in a dedicated worker of the browser.

#[cfg(all(feature = "cpu-worker", target_arch = "wasm32"))]
fn main() {
    app::worker::start();
}

#[cfg(not(all(feature = "cpu-worker", target_arch = "wasm32")))]
fn main() {
    eprintln!(
        "cpu-worker runs in a browser: build it for wasm32-unknown-unknown with the feature `cpu-worker`"
    );
}
