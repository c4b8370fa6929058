//! The dedicated workers that run models off the main thread, and the messages to and from them.

pub mod adapter;
pub mod fault;
pub mod message;
pub mod speed;
pub mod weights;

#[cfg(worker)]
mod host;
#[cfg(worker)]
pub use host::start;
