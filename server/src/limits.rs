//! Who asks, and how much of the hub one of them may have.

mod budgets;
mod client;
pub mod command;
mod keys;
pub mod ledger;

pub use crate::network::Network;
pub use budgets::{Allowance, Asking, Limits, PictureLimits, Taken};
pub use client::{ClientKey, InvalidClient, KeyName};
pub use keys::{ApiKey, ApiKeys};
pub use ledger::{Ledger, MemoryLedger};
