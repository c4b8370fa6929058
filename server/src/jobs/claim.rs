//! A job in a worker's hands.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use diffusion::Cancel;
use protocol::{GenerationRequest, JobPreview, Problem, Progress, Resume};

use super::queue::{HandBack, History, Outcome};
use super::record::JobRecord;
use super::start::JobStart;
use crate::images::Keeping;

/// What a worker is told of the job that it has.
pub struct JobInHand {
    /// Id of the job.
    pub id: String,
    /// Number of this claim of it.
    pub number: u64,
    /// What to make.
    pub request: GenerationRequest,
    /// Whose picture it will be, and whether it will be listed.
    pub keeping: Keeping,
    /// What happened to it before.
    pub history: History,
    /// What is done of it already.
    pub resume: Option<Resume>,
    /// What it begins with, if not with noise.
    pub start: Option<JobStart>,
    /// Set when the work shall stop.
    pub cancel: Cancel,
    started: Instant,
}

impl JobInHand {
    /// The job of `record`, which was claimed just now.
    pub fn new(record: &JobRecord, cancel: Cancel) -> Self {
        Self {
            id: record.view.id.clone(),
            number: record.claim,
            request: record.view.request.clone(),
            keeping: record.keeping.clone(),
            history: record.into(),
            resume: record.resume.clone(),
            start: record.start.clone(),
            cancel,
            started: Instant::now(),
        }
    }

    /// Milliseconds since it was claimed.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A job in a worker's hands. Dropping it leaves the job to be handed out again, as when the worker dies.
#[async_trait]
pub trait Claim: Send + Sync {
    /// The job.
    fn job(&self) -> &JobInHand;

    /// Id of the job.
    fn id(&self) -> &str {
        &self.job().id
    }

    /// What to make.
    fn request(&self) -> &GenerationRequest {
        &self.job().request
    }

    /// Whose picture it will be, and whether it will be listed.
    fn keeping(&self) -> &Keeping {
        &self.job().keeping
    }

    /// What happened to it before.
    fn history(&self) -> &History {
        &self.job().history
    }

    /// What is done of it already.
    fn resume(&self) -> Option<&Resume> {
        self.job().resume.as_ref()
    }

    /// What it begins with, if not with noise.
    fn start(&self) -> Option<&JobStart> {
        self.job().start.as_ref()
    }

    /// Set when the work shall stop: the job was cancelled, or has been given to another worker.
    fn cancel(&self) -> &Cancel {
        &self.job().cancel
    }

    /// Tells the queue that the job is still worked at; to be repeated every [`Self::keep_interval`].
    async fn keep(&self);

    /// How often [`Self::keep`] is due.
    fn keep_interval(&self) -> Duration;

    /// Shows what the job runs on.
    async fn backend(&self, backend: &str);

    /// Shows that `progress.step` steps are done.
    async fn step(&self, progress: Progress);

    /// Shows what the picture looks like so far.
    async fn preview(&self, preview: JobPreview);

    /// Ends the job; `false` when it was no longer this worker's to end.
    ///
    /// # Errors
    /// [`protocol::ProblemCode::QueueUnavailable`] when the queue stayed away; the job will be handed out again.
    async fn finish(self: Box<Self>, outcome: Outcome) -> Result<bool, Problem>;

    /// Gives the job back.
    ///
    /// # Errors
    /// As [`Self::finish`].
    async fn hand_back(self: Box<Self>, reason: HandBack) -> Result<(), Problem>;
}
