//! The dedicated worker that runs models off the main thread, and the messages to and from it.

pub mod adapter;
pub mod fault;
pub mod message;
pub mod speed;
pub mod weights;

#[cfg(all(feature = "render-worker", target_arch = "wasm32"))]
mod host;
#[cfg(all(feature = "render-worker", target_arch = "wasm32"))]
pub use host::start;
