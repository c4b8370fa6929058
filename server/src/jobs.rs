//! Requests that run on the server: a queue, and workers that pull from it.

pub mod admission;
pub mod claim;
pub mod command;
pub mod embedded;
pub mod estimate;
pub mod fair;
pub mod format;
pub mod key;
pub mod nats;
pub mod queue;
pub mod record;
pub mod redelivery;
pub mod start;
pub mod worker;

pub use claim::{Claim, JobInHand};
pub use embedded::EmbeddedQueue;
pub use key::JobKey;
pub use nats::{NatsOptions, NatsQueue, Patience, Role};
pub use queue::{
    DeadOrder, Depth, HandBack, History, Holder, JobEvent, JobEvents, Outcome, Queue, QueueStatus,
    Submission, WorkerStatus,
};
pub use record::JobRecord;
pub use start::JobStart;
