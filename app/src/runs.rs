//! A run: from a checked request to a finished picture, in this browser or on the server.
//!
//! Whoever wants a picture has a [`RunHandle`], takes a turn with it and has an order made; what the visitor sees, faults,
//! waiting and cancelling are the same for all.

pub mod picture;
pub mod recovery;
pub mod run;
pub mod start;
pub mod watchdog;

mod handle;
mod transfer;

#[cfg(browser)]
pub(crate) mod browser;

pub(crate) use handle::RunHandle;
pub(crate) use transfer::TransferControls;
