//! Runs diffusion models on WebGPU in a dedicated worker of the browser.

#[cfg(all(feature = "render-worker", target_arch = "wasm32"))]
fn main() {
    app::worker::start();
}

#[cfg(not(all(feature = "render-worker", target_arch = "wasm32")))]
fn main() {
    eprintln!(
        "render-worker runs in a browser: build it for wasm32-unknown-unknown with the feature `render-worker`"
    );
}
