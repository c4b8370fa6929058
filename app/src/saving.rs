//! Saving pictures for good: at once, or once the hub can be reached.

mod state;
mod waiting;

#[cfg(browser)]
pub(crate) mod browser;

pub(crate) use state::Saving;
pub(crate) use waiting::{Outbox, OutboxNote, WaitingPictures};
