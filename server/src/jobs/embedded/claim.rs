//! A job of the embedded queue in a worker's hands.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use protocol::{JobPreview, Problem, ProblemCode, Progress};

use super::super::claim::{Claim, JobInHand};
use super::super::queue::{HandBack, Outcome};
use super::super::record::{JobRecord, Occasion};
use super::super::redelivery::now_ms;
use super::Shared;
use super::journal::Written;
use super::state::Job;

pub struct EmbeddedClaim {
    queue: Arc<Shared>,
    job: JobInHand,
    settled: bool,
}

impl EmbeddedClaim {
    pub fn new(queue: Arc<Shared>, job: &Job) -> Self {
        Self {
            queue,
            job: JobInHand::new(&job.record, job.cancel.clone()),
            settled: false,
        }
    }

    fn change(&self, change: impl FnOnce(&mut JobRecord) -> bool) {
        self.queue.lock().change(&self.job.id, change);
    }

    fn give_back(&mut self, reason: HandBack) -> Option<Written> {
        self.settled = true;
        let written = {
            let mut state = self.queue.lock();
            let others = match &reason {
                HandBack::WorkerFault { worker, .. } => {
                    state.has_others(worker, &self.job.request.model)
                }
                _ => false,
            };
            let by = Occasion::now(others);
            if !state.hand_back(&self.job.id, self.job.number, reason, &by) {
                return None;
            }
            let (queue, id) = (Arc::clone(&self.queue), self.job.id.clone());
            state.keep(&self.queue, &self.job.id, move |_| queue.lock().show(&id))
        };
        self.queue.work.notify_waiters();
        Some(written)
    }
}

#[async_trait]
impl Claim for EmbeddedClaim {
    fn job(&self) -> &JobInHand {
        &self.job
    }

    async fn keep(&self) {}

    fn keep_interval(&self) -> Duration {
        Duration::from_secs(3600)
    }

    async fn backend(&self, backend: &str) {
        self.change(|record| record.backend(self.job.number, backend));
    }

    async fn step(&self, progress: Progress) {
        self.change(|record| record.step(self.job.number, progress));
    }

    async fn preview(&self, preview: JobPreview) {
        if let Some(job) = self.queue.lock().job(&self.job.id) {
            job.preview(preview);
        }
    }

    async fn finish(mut self: Box<Self>, outcome: Outcome) -> Result<bool, Problem> {
        self.settled = true;
        let completed = matches!(outcome, Outcome::Completed(_));
        let written = {
            let mut state = self.queue.lock();
            if !state.finish(&self.job.id, self.job.number, outcome, now_ms()) {
                return Ok(false);
            }
            if completed {
                let elapsed = self.job.elapsed_ms();
                state.note_duration(&self.job.request.model, elapsed);
            }
            let (queue, id) = (Arc::clone(&self.queue), self.job.id.clone());
            state.keep(&self.queue, &self.job.id, move |_| queue.lock().show(&id))
        };
        if !written.done().await {
            tracing::error!(
                id = self.job.id,
                "the end of the job is not on the disk yet"
            );
        }
        Ok(true)
    }

    async fn hand_back(mut self: Box<Self>, reason: HandBack) -> Result<(), Problem> {
        if let Some(written) = self.give_back(reason)
            && !written.done().await
        {
            tracing::error!(
                id = self.job.id,
                "the job goes back, but not on the disk yet"
            );
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
