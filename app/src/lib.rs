//! The pages of Demo Hub: rendered on the server, hydrated in the browser, models in a web worker.
//!
//! * `ssr`: the server renders [`App`] (module `ssr`).
//! * `hydrate`: the binary `client` hydrates it in the browser's main thread.
//! * `render-worker`: the binary of that name runs the models off the main thread, on WebGPU.
//! * `cpu-worker`: the binary of that name runs them on the processor.

// The types of Leptos views nest deeply.
#![recursion_limit = "256"]

#[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
mod api;
pub mod bibtex;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
mod capability;
pub mod catalog;
#[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
mod client;
#[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
mod clipboard;
pub mod compare;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
mod data;
pub mod difference;
pub mod format;
pub mod measured;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
mod outbox;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
mod pages;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
mod root;
pub mod settings;
#[cfg(feature = "ssr")]
pub mod ssr;
pub mod studio;
pub mod worker;

#[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
pub use client::hydrate;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
pub use root::App;
