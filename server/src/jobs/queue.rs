//! What the API asks of a queue.

use async_trait::async_trait;
use futures::stream::BoxStream;
use protocol::{GenerationRequest, JobCreated, JobView, Problem};

/// States of one job with their number, the current one first; ends after the final one.
pub type JobEvents = BoxStream<'static, (u64, JobView)>;

/// A checked request.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Resolved; its seed is set.
    pub request: GenerationRequest,
    /// SHA-256 of the request as the client sent it, before a seed was drawn.
    pub fingerprint: [u8; 32],
    /// The client's `Idempotency-Key`: the same key gives the same job.
    pub idempotency_key: Option<String>,
}

/// A queue of jobs.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Takes a job in.
    ///
    /// # Errors
    /// [`protocol::ProblemCode::QueueFull`] with `retry_after`; [`protocol::ProblemCode::Conflict`] when the
    /// idempotency key was used for another request; [`protocol::ProblemCode::Internal`].
    async fn submit(&self, submission: Submission) -> Result<JobCreated, Problem>;

    /// State of a job.
    ///
    /// # Errors
    /// [`protocol::ProblemCode::NotFound`].
    async fn get(&self, id: &str) -> Result<JobView, Problem>;

    /// Asks a job to stop: a queued one ends at once, a running one within a step. A finished one stays as it is.
    ///
    /// # Errors
    /// [`protocol::ProblemCode::NotFound`].
    async fn cancel(&self, id: &str) -> Result<JobView, Problem>;

    /// Follows a job.
    ///
    /// # Errors
    /// [`protocol::ProblemCode::NotFound`].
    async fn events(&self, id: &str) -> Result<JobEvents, Problem>;

    /// Whether a worker is there to take jobs.
    fn has_worker(&self) -> bool;
}
