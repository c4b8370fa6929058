//! Saving from the browser's main thread.

pub(super) mod outbox;
mod upload;

pub(crate) use upload::save;
