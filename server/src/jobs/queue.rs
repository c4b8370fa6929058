//! What API and workers ask of a queue.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use protocol::{
    ImageRef, JobCreated, JobPreview, JobView, LimitName, Problem, ProblemCode, ResolvedRequest,
    Resume,
};
use serde::{Deserialize, Serialize};

use super::claim::Claim;
use super::key::JobKey;
use super::record::JobRecord;
use super::start::JobStart;
use crate::images::{Keeping, OwnerId};
use crate::limits::{Allowance, ClientKey, Network};

/// What happens to a job: its current state first, then every later one and the previews; ends after the final
/// state. A slow reader misses states in between, never the last one.
pub type JobEvents = BoxStream<'static, JobEvent>;

/// One event of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum JobEvent {
    /// A new state.
    State {
        /// Grows with every change of the job; a change of position or estimate alone may repeat it.
        number: u64,
        /// The state.
        view: Box<JobView>,
    },
    /// What the picture looks like so far.
    Preview(JobPreview),
}

/// A checked request.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What to make.
    pub request: ResolvedRequest,
    /// What is done of it already; checked except against the package.
    pub resume: Option<Resume>,
    /// What it begins with, if not with noise; checked.
    pub start: Option<JobStart>,
    /// Of the request as the client sent it; see [`super::key::fingerprint`].
    pub fingerprint: [u8; 32],
    /// The client's `Idempotency-Key`: the same key gives the same job.
    pub idempotency_key: Option<JobKey>,
    /// Whose picture it will be, and whether it will be listed.
    pub keeping: Keeping,
    /// Whose turn it takes.
    pub client: ClientKey,
    /// Where the client is; absent: not known.
    pub network: Option<Network>,
    /// How many unfinished jobs the client and its network may have; absent: as many as there is room for.
    pub allowance: Option<Allowance>,
}

/// Whose a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Whose the picture will be.
    pub owner: Option<OwnerId>,
    /// Who asked for it.
    pub client: ClientKey,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The picture is listed.
    Completed(ImageRef),
    /// It ended with an error that another attempt would not mend.
    Failed(Problem),
    /// It stopped because it was asked to.
    Cancelled,
}

/// Why a worker gives a job back unfinished.
#[derive(Clone, Debug, PartialEq)]
pub enum HandBack {
    /// The worker stops; the attempt does not count and the job may be tried at once.
    Draining,
    /// The attempt failed for a reason that may pass.
    Retry(Problem),
    /// What makes the picture took no work on; the attempt does not count.
    Refused(Problem),
    /// The worker failed for reasons of its own; the attempt counts where no other worker could take the job.
    WorkerFault {
        /// Name of the worker.
        worker: String,
        /// What it ended with.
        problem: Problem,
    },
}

/// A worker as it tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Unique name.
    pub id: String,
    /// Models that it takes.
    pub models: Vec<String>,
    /// Id of the job in hand.
    pub job: Option<String>,
    /// Why it takes no jobs for a while, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stepped_back: Option<String>,
}

impl WorkerStatus {
    /// Whether it takes jobs.
    pub fn is_well(&self) -> bool {
        self.stepped_back.is_none()
    }

    /// Whether it takes jobs of `model`.
    pub fn could_take(&self, model: &str) -> bool {
        self.is_well() && self.models.iter().any(|known| known == model)
    }
}

/// Something queued that this version cannot read; it is kept for one that can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadOrder {
    /// Id of the job, or what stands in its place.
    pub id: String,
    /// When it was set aside, in milliseconds since the Unix epoch.
    pub at: u64,
    /// Why it cannot be read.
    pub reason: String,
    /// Its length.
    pub bytes: usize,
}

/// State of the queue as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStatus {
    /// It answers.
    pub reachable: bool,
    /// Workers heard of lately.
    pub workers: usize,
    /// Whether a queue without workers is in order, since they start when there is work.
    pub workers_optional: bool,
}

/// Jobs of one model that have not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Id of the model.
    pub model: String,
    /// Those that no worker is at.
    pub waiting: usize,
    /// Those that a worker is at.
    pub running: usize,
}

/// What happened to a job before a worker has it in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// `traceparent` of the request (W3C Trace Context), where it is traced.
    pub trace: Option<String>,
    /// Attempts, this one counted.
    pub attempt: u32,
}

impl From<&JobRecord> for History {
    fn from(record: &JobRecord) -> Self {
        Self {
            trace: record.trace.clone(),
            attempt: record.view.attempt,
        }
    }
}

/// A queue of jobs.
///
/// Problems are [`ProblemCode::QueueUnavailable`] where the queue cannot be reached, beside those named.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Takes a job in.
    ///
    /// # Errors
    /// As [`Self::submit_all`].
    async fn submit(&self, submission: Submission) -> Result<JobCreated, Problem> {
        let created = self.submit_all(vec![submission]).await?;
        created.into_iter().next().ok_or_else(|| {
            Problem::new(ProblemCode::Internal, "the queue did not say what it took")
        })
    }

    /// Takes the jobs of one request of one client in, all or none; they differ in seed and key alone, and the seeds
    /// follow one another. Those whose keys are known are not made again.
    ///
    /// # Errors
    /// [`ProblemCode::QueueFull`] and [`ProblemCode::RateLimited`] with `retry_after`;
    /// [`ProblemCode::IdempotencyKeyReused`].
    async fn submit_all(&self, submissions: Vec<Submission>) -> Result<Vec<JobCreated>, Problem>;

    /// The job that a key stands for, if it stands for one.
    ///
    /// # Errors
    /// [`ProblemCode::IdempotencyKeyReused`] where the request was another one.
    async fn known(
        &self,
        key: &JobKey,
        fingerprint: &[u8; 32],
    ) -> Result<Option<JobCreated>, Problem>;

    /// Unfinished jobs by model; a model without any may be left out.
    ///
    /// # Errors
    /// Only [`ProblemCode::QueueUnavailable`].
    async fn unfinished(&self) -> Result<HashMap<String, usize>, Problem>;

    /// Ids of what unfinished jobs need of the store, see [`JobStart::inputs`].
    ///
    /// # Errors
    /// Only [`ProblemCode::QueueUnavailable`].
    async fn inputs(&self) -> Result<HashSet<String>, Problem>;

    /// Whose a job is.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`].
    async fn holder(&self, id: &str) -> Result<Holder, Problem>;

    /// State of a job.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`].
    async fn get(&self, id: &str) -> Result<JobView, Problem>;

    /// Asks a job to stop: a queued one ends at once, a running one within a step. A finished one stays as it is.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`].
    async fn cancel(&self, id: &str) -> Result<JobView, Problem>;

    /// Follows a job.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`].
    async fn events(&self, id: &str) -> Result<JobEvents, Problem>;

    /// The next job of one of `models`, those named first preferred; `None` when none came within `wait`.
    ///
    /// # Errors
    /// Only [`ProblemCode::QueueUnavailable`].
    async fn pull(
        &self,
        models: &[String],
        wait: Duration,
    ) -> Result<Option<Box<dyn Claim>>, Problem>;

    /// A worker's sign of life, to be repeated every [`HEARTBEAT`].
    async fn heartbeat(&self, worker: &WorkerStatus);

    /// A worker leaves.
    async fn leave(&self, worker: &str);

    /// How many jobs of each of `models` have not ended; those that cannot be asked for now are left out.
    async fn depth(&self, models: &[String]) -> Vec<Depth>;

    /// How the queue is.
    async fn status(&self) -> QueueStatus;

    /// Whether others make what waits here while this process stops.
    fn goes_on(&self) -> bool;
}

/// Time between two signs of life of a worker.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// Silence after which a worker is no longer counted.
pub const WORKER_GONE: Duration = Duration::from_secs(5);

/// There is no such job.
pub(crate) fn no_such_job() -> Problem {
    Problem::new(ProblemCode::NotFound, "there is no job of this id")
        .with_hint("Jobs are forgotten some time after their end; their pictures are not.")
}

/// The key was used for another request.
pub(super) fn key_reused() -> Problem {
    Problem::new(
        ProblemCode::IdempotencyKeyReused,
        "this Idempotency-Key was used for another request",
    )
    .with_hint("Use a new key for every new request.")
}

/// No room for another job.
pub(super) fn queue_full(jobs: usize, retry_after: u32) -> Problem {
    let mut problem = Problem::new(
        ProblemCode::QueueFull,
        format!("{jobs} pictures are waiting or being made already"),
    )
    .with_hint("Try again in a moment, or make the picture in your browser.")
    .with_limit(LimitName::QueueCapacity);
    problem.retry_after = Some(retry_after);
    problem
}

/// The id of a new job, which its picture will have too.
pub(super) fn new_id() -> Result<String, Problem> {
    crate::images::ImageId::new()
        .map(|id| id.to_string())
        .map_err(|error| {
            tracing::error!("{error:#}");
            Problem::new(ProblemCode::Internal, "no id could be drawn for the job")
        })
}
