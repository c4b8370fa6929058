//! A job of the embedded queue in a worker's hands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use diffusion::Cancel;
use protocol::{GenerationRequest, JobPreview, Problem, ProblemCode, Progress, Resume};

use super::super::queue::{Claim, HandBack, History, Outcome};
use super::super::record::{JobRecord, Occasion};
use super::super::redelivery::now_ms;
use super::Shared;
use super::journal::Written;
use super::state::Job;
use crate::images::Keeping;

pub struct EmbeddedClaim {
    queue: Arc<Shared>,
    id: String,
    number: u64,
    request: GenerationRequest,
    keeping: Keeping,
    history: History,
    resume: Option<Resume>,
    cancel: Cancel,
    started: Instant,
    settled: bool,
}

impl EmbeddedClaim {
    pub fn new(queue: Arc<Shared>, job: &Job) -> Self {
        let record = &job.record;
        Self {
            queue,
            id: record.view.id.clone(),
            number: record.claim,
            request: record.view.request.clone(),
            keeping: record.keeping.clone(),
            history: record.into(),
            resume: record.resume.clone(),
            cancel: job.cancel.clone(),
            started: Instant::now(),
            settled: false,
        }
    }

    fn change(&self, change: impl FnOnce(&mut JobRecord) -> bool) {
        self.queue.lock().change(&self.id, change);
    }

    fn give_back(&mut self, reason: HandBack) -> Option<Written> {
        self.settled = true;
        let written = {
            let mut state = self.queue.lock();
            let others = match &reason {
                HandBack::WorkerFault { worker, .. } => {
                    state.has_others(worker, &self.request.model)
                }
                _ => false,
            };
            let by = Occasion::now(others);
            if !state.hand_back(&self.id, self.number, reason, &by) {
                return None;
            }
            let (queue, id) = (Arc::clone(&self.queue), self.id.clone());
            state.keep(&self.queue, &self.id, move |_| queue.lock().show(&id))
        };
        self.queue.work.notify_waiters();
        Some(written)
    }
}

#[async_trait]
impl Claim for EmbeddedClaim {
    fn id(&self) -> &str {
        &self.id
    }

    fn request(&self) -> &GenerationRequest {
        &self.request
    }

    fn keeping(&self) -> &Keeping {
        &self.keeping
    }

    fn history(&self) -> &History {
        &self.history
    }

    fn resume(&self) -> Option<&Resume> {
        self.resume.as_ref()
    }

    fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    async fn keep(&self) {}

    fn keep_interval(&self) -> Duration {
        Duration::from_secs(3600)
    }

    async fn backend(&self, backend: &str) {
        self.change(|record| record.backend(self.number, backend));
    }

    async fn step(&self, progress: Progress) {
        self.change(|record| record.step(self.number, progress));
    }

    async fn preview(&self, preview: JobPreview) {
        if let Some(job) = self.queue.lock().job(&self.id) {
            job.preview(preview);
        }
    }

    async fn finish(mut self: Box<Self>, outcome: Outcome) -> Result<bool, Problem> {
        self.settled = true;
        let completed = matches!(outcome, Outcome::Completed(_));
        let written = {
            let mut state = self.queue.lock();
            if !state.finish(&self.id, self.number, outcome, now_ms()) {
                return Ok(false);
            }
            if completed {
                let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
                state.note_duration(&self.request.model, elapsed);
            }
            let (queue, id) = (Arc::clone(&self.queue), self.id.clone());
            state.keep(&self.queue, &self.id, move |_| queue.lock().show(&id))
        };
        if !written.done().await {
            tracing::error!(id = self.id, "the end of the job is not on the disk yet");
        }
        Ok(true)
    }

    async fn hand_back(mut self: Box<Self>, reason: HandBack) -> Result<(), Problem> {
        if let Some(written) = self.give_back(reason)
            && !written.done().await
        {
            tracing::error!(id = self.id, "the job goes back, but not on the disk yet");
        }
        Ok(())
    }
}

impl Drop for EmbeddedClaim {
    fn drop(&mut self) {
        if !self.settled {
            self.give_back(HandBack::Retry(Problem::new(
                ProblemCode::GenerationFailed,
                "each time the worker died while it made this picture",
            )));
        }
    }
}
