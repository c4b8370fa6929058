//! Requests that run on the server: a queue, and workers that pull from it.

pub mod estimate;
pub mod memory;
pub mod nats;
pub mod queue;
pub mod record;
pub mod worker;

pub use memory::MemoryQueue;
pub use nats::{NatsOptions, NatsQueue, Role};
pub use queue::{
    Claim, HandBack, JobEvent, JobEvents, Outcome, Queue, QueueStatus, Submission, WorkerStatus,
};
