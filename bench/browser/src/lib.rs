//! The ONNX runtime as a module for a page: opens a graph, runs, times and checks it inside a browser.

#[cfg(target_arch = "wasm32")]
mod compare;
#[cfg(target_arch = "wasm32")]
mod engine;
#[cfg(target_arch = "wasm32")]
mod json;
#[cfg(target_arch = "wasm32")]
mod ranges;
