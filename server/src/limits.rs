//! Who asks, and how much of the hub one of them may have.

mod client;

pub use client::{ClientKey, InvalidClient, KeyName, Network};
