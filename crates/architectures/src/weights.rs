//! Names, types, shapes and places of weights, as the headers of safetensors files say.

mod header;
mod index;
mod set;

pub use header::{Element, Header, MAX_HEADER_BYTES, Stored};
pub use index::Index;
pub use set::Weights;
