//! The dedicated workers that run models off the main thread, and the messages to and from them.

pub mod adapter;
pub mod fault;
pub mod message;
pub mod speed;
pub mod weights;

#[cfg(all(
    any(feature = "render-worker", feature = "cpu-worker"),
    target_arch = "wasm32"
))]
mod host;
#[cfg(all(
    any(feature = "render-worker", feature = "cpu-worker"),
    target_arch = "wasm32"
))]
pub use host::start;
