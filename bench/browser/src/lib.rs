//! The ONNX runtime as a module for a page: checks and times a graph inside a browser.

#[cfg(target_arch = "wasm32")]
mod page;
