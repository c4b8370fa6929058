//! Texts of PNGs, read and written.
#![allow(clippy::unwrap_used, clippy::panic)]

mod mutation;
mod read;
mod support;
mod write;
