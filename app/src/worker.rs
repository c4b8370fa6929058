//! The dedicated worker that runs models off the main thread, and the messages to and from it.

pub mod adapter;
pub mod message;
