//! A job of the in-process queue in a worker's hands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use diffusion::Cancel;
use protocol::{GenerationRequest, JobPreview, JobStatus, Problem, ProblemCode, Progress, Resume};

use super::super::queue::{Claim, HandBack, Outcome};
use super::super::record::JobRecord;
use super::{Shared, stopped};
use crate::images::Keeping;

pub struct MemoryClaim {
    queue: Arc<Shared>,
    id: String,
    number: u64,
    request: GenerationRequest,
    keeping: Keeping,
    resume: Option<Resume>,
    cancel: Cancel,
    started: Instant,
    settled: bool,
}

impl MemoryClaim {
    pub fn new(
        queue: Arc<Shared>,
        id: String,
        number: u64,
        (request, resume): (GenerationRequest, Option<Resume>),
        keeping: Keeping,
        cancel: Cancel,
    ) -> Self {
        Self {
            queue,
            id,
            number,
            request,
            keeping,
            resume,
            cancel,
            started: Instant::now(),
            settled: false,
        }
    }

    fn change(&self, change: impl FnOnce(&mut JobRecord) -> bool) -> bool {
        let mut state = self.queue.lock();
        let Some(job) = state.jobs.get_mut(&self.id) else {
            return false;
        };
        let changed = change(&mut job.record);
        if changed {
            state.show(&self.id, None);
        }
        changed
    }

    fn settle(&mut self, outcome: Outcome) -> bool {
        self.settled = true;
        let completed = matches!(outcome, Outcome::Completed(_));
        let mut state = self.queue.lock();
        let outcome = match outcome {
            Outcome::Cancelled if state.closed => Outcome::Failed(stopped()),
            other => other,
        };
        let Some(job) = state.jobs.get_mut(&self.id) else {
            return false;
        };
        if !job.record.finish(self.number, outcome) {
            return false;
        }
        state.running = state.running.saturating_sub(1);
        if completed {
            let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let model = self.request.model.clone();
            state.durations.entry(model).or_default().push(elapsed);
        }
        state.ended(&self.id);
        state.show(&self.id, None);
        true
    }

    fn give_back(&mut self, reason: HandBack) {
        self.settled = true;
        let mut state = self.queue.lock();
        let closed = state.closed;
        let Some(job) = state.jobs.get_mut(&self.id) else {
            return;
        };
        if !job.record.hand_back(self.number, reason) {
            return;
        }
        if closed {
            job.record.end(Outcome::Failed(stopped()));
        }
        let ended = job.record.view.status != JobStatus::Queued;
        state.running = state.running.saturating_sub(1);
        if ended {
            state.ended(&self.id);
            state.show(&self.id, None);
        } else {
            // It has waited longest.
            state.waiting.push_front(self.id.clone());
            state.show_waiting();
        }
        drop(state);
        self.queue.work.notify_waiters();
    }
}

#[async_trait]
impl Claim for MemoryClaim {
    fn id(&self) -> &str {
        &self.id
    }

    fn request(&self) -> &GenerationRequest {
        &self.request
    }

    fn keeping(&self) -> &Keeping {
        &self.keeping
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
        if let Some(job) = self.queue.lock().jobs.get(&self.id) {
            // Nobody may be watching.
            let _ = job.previews.send(preview);
        }
    }

    async fn finish(mut self: Box<Self>, outcome: Outcome) -> Result<bool, Problem> {
        Ok(self.settle(outcome))
    }

    async fn hand_back(mut self: Box<Self>, reason: HandBack) -> Result<(), Problem> {
        self.give_back(reason);
        Ok(())
    }
}

impl Drop for MemoryClaim {
    fn drop(&mut self) {
        if !self.settled {
            self.give_back(HandBack::Retry(Problem::new(
                ProblemCode::GenerationFailed,
                "each time the worker died while it made this picture",
            )));
        }
    }
}
