//! Requests that run on the server: a bounded queue and the worker that empties it.

pub mod memory;
pub mod queue;
pub mod worker;

pub use memory::MemoryQueue;
pub use queue::{JobEvents, Queue, Submission};
