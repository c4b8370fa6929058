//! The queue of a single process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use diffusion::Cancel;
use futures::StreamExt;
use protocol::{
    GenerationRequest, ImageRef, JobCreated, JobStatus, JobView, Problem, ProblemCode, Progress,
};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use super::queue::{JobEvents, Queue, Submission};

/// Finished jobs kept at most, however young.
const MAX_FINISHED: usize = 1_000;
/// Guess of a job's duration before the first one has ended.
const FIRST_GUESS: Duration = Duration::from_secs(5);

/// How a job ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The picture is listed.
    Completed(ImageRef),
    /// It ended with an error.
    Failed(Problem),
    /// It stopped because it was asked to.
    Cancelled,
}

/// A job handed to a worker, which must [`Self::finish`] it; dropping it fails the job.
pub struct Claim {
    queue: Arc<Shared>,
    id: String,
    started: Instant,
    finished: bool,
    /// What to make.
    pub request: GenerationRequest,
    /// Set when the job shall stop.
    pub cancel: Cancel,
}

/// A bounded in-process queue.
#[derive(Clone)]
pub struct MemoryQueue(Arc<Shared>);

struct Shared {
    capacity: usize,
    retention: Duration,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    jobs: HashMap<String, Job>,
    waiting: VecDeque<String>,
    finished: VecDeque<(Instant, String)>,
    keys: HashMap<String, String>,
    mean_duration: Option<Duration>,
    workers: usize,
    closed: bool,
}

struct Job {
    request: GenerationRequest,
    fingerprint: [u8; 32],
    key: Option<String>,
    cancel: Cancel,
    view: watch::Sender<(u64, JobView)>,
}

impl Job {
    fn update(&self, change: impl FnOnce(&mut JobView)) {
        self.view.send_modify(|(number, view)| {
            change(view);
            *number += 1;
        });
    }

    fn view(&self) -> JobView {
        self.view.borrow().1.clone()
    }
}

impl MemoryQueue {
    /// A queue for `capacity` waiting jobs; finished ones can be asked for during `retention`.
    pub fn new(capacity: usize, retention: Duration) -> Self {
        Self(Arc::new(Shared {
            capacity,
            retention,
            state: Mutex::default(),
            work: Condvar::new(),
        }))
    }

    /// Waits for the next job; `None` once the queue is closed.
    pub fn claim(&self) -> Option<Claim> {
        let mut state = self.0.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(claim) = self.0.take_next(&mut state) {
                return Some(claim);
            }
            state = self
                .0
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Counts a worker in or out.
    pub fn set_worker(&self, present: bool) {
        let mut state = self.0.lock();
        state.workers = if present {
            state.workers + 1
        } else {
            state.workers.saturating_sub(1)
        };
    }

    /// Takes no more jobs, fails the waiting ones and cancels the running ones.
    pub fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        for id in std::mem::take(&mut state.waiting) {
            state.end(&id, Outcome::Failed(stopped()));
        }
        for job in state.jobs.values() {
            job.cancel.cancel();
        }
        self.0.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_next(self: &Arc<Self>, state: &mut State) -> Option<Claim> {
        let id = state.waiting.pop_front()?;
        state.renumber();
        let job = state.jobs.get(&id)?;
        job.update(|view| {
            view.status = JobStatus::Generating;
            view.queue_position = None;
        });
        Some(Claim {
            queue: Arc::clone(self),
            started: Instant::now(),
            finished: false,
            request: job.request.clone(),
            cancel: job.cancel.clone(),
            id,
        })
    }
}

impl State {
    fn renumber(&self) {
        for (position, id) in self.waiting.iter().enumerate() {
            if let Some(job) = self.jobs.get(id) {
                let position = u32::try_from(position).ok();
                if job.view.borrow().1.queue_position != position {
                    job.update(|view| view.queue_position = position);
                }
            }
        }
    }

    fn end(&mut self, id: &str, outcome: Outcome) {
        let Some(job) = self.jobs.get(id) else { return };
        job.update(|view| {
            view.queue_position = None;
            match outcome {
                Outcome::Completed(image) => {
                    view.status = JobStatus::Completed;
                    view.image = Some(image);
                }
                Outcome::Failed(problem) => {
                    view.status = JobStatus::Failed;
                    view.error = Some(problem);
                }
                Outcome::Cancelled => view.status = JobStatus::Cancelled,
            }
        });
        self.finished.push_back((Instant::now(), id.to_owned()));
    }

    fn forget_old(&mut self, retention: Duration) {
        while let Some((ended, id)) = self.finished.front() {
            if ended.elapsed() < retention && self.finished.len() <= MAX_FINISHED {
                break;
            }
            if let Some(key) = self.jobs.remove(id).and_then(|job| job.key) {
                self.keys.remove(&key);
            }
            self.finished.pop_front();
        }
    }

    /// Seconds until a place in the queue is likely to be free: one job's time.
    fn retry_after(&self) -> u32 {
        let seconds = self.mean_duration.unwrap_or(FIRST_GUESS).as_secs_f64();
        seconds.ceil().clamp(1.0, 600.0) as u32
    }

    fn job(&self, id: &str) -> Result<&Job, Problem> {
        self.jobs.get(id).ok_or_else(|| {
            Problem::new(ProblemCode::NotFound, "there is no job of this id").with_hint(
                "Finished jobs are forgotten after a while, and all jobs when the server restarts.",
            )
        })
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn submit(&self, submission: Submission) -> Result<JobCreated, Problem> {
        let Submission {
            request,
            fingerprint,
            idempotency_key: key,
        } = submission;
        let mut state = self.0.lock();
        state.forget_old(self.0.retention);
        if let Some(id) = key.as_ref().and_then(|key| state.keys.get(key)) {
            let job = state.job(id)?;
            if job.fingerprint != fingerprint {
                return Err(Problem::new(
                    ProblemCode::Conflict,
                    "this Idempotency-Key was used for another request",
                )
                .with_hint("Use a new key for every new request."));
            }
            return Ok(JobCreated {
                id: id.clone(),
                seed: job.request.seed.unwrap_or_default(),
            });
        }
        if state.closed {
            return Err(stopped());
        }
        if state.waiting.len() >= self.0.capacity {
            let mut problem = Problem::new(
                ProblemCode::QueueFull,
                format!("{} pictures are waiting already", state.waiting.len()),
            )
            .with_hint("Try again in a moment, or make the picture in your browser.");
            problem.retry_after = Some(state.retry_after());
            return Err(problem);
        }
        let id = hex::encode(crate::random::bytes::<16>().map_err(|error| {
            tracing::error!("{error:#}");
            Problem::new(ProblemCode::Internal, "no id could be drawn for the job")
        })?);
        let created = JobCreated {
            id: id.clone(),
            seed: request.seed.unwrap_or_default(),
        };
        let view = JobView {
            id: id.clone(),
            status: JobStatus::Queued,
            queue_position: u32::try_from(state.waiting.len()).ok(),
            progress: Progress {
                step: 0,
                total_steps: request.num_inference_steps.unwrap_or_default(),
            },
            image: None,
            error: None,
            backend: None,
        };
        if let Some(key) = &key {
            state.keys.insert(key.clone(), id.clone());
        }
        let job = Job {
            request,
            fingerprint,
            key,
            cancel: Cancel::default(),
            view: watch::Sender::new((1, view)),
        };
        state.jobs.insert(id.clone(), job);
        state.waiting.push_back(id);
        self.0.work.notify_one();
        Ok(created)
    }

    async fn get(&self, id: &str) -> Result<JobView, Problem> {
        Ok(self.0.lock().job(id)?.view())
    }

    async fn cancel(&self, id: &str) -> Result<JobView, Problem> {
        let mut state = self.0.lock();
        let job = state.job(id)?;
        job.cancel.cancel();
        if let Some(place) = state.waiting.iter().position(|waiting| waiting == id) {
            state.waiting.remove(place);
            state.end(id, Outcome::Cancelled);
            state.renumber();
        }
        Ok(state.job(id)?.view())
    }

    async fn events(&self, id: &str) -> Result<JobEvents, Problem> {
        let states = WatchStream::new(self.0.lock().job(id)?.view.subscribe());
        // The sender outlives the job, so the final state itself has to end the stream.
        let until_final = futures::stream::unfold(Some(states), |states| async move {
            let mut states = states?;
            let state = states.next().await?;
            let rest = (!state.1.status.is_final()).then_some(states);
            Some((state, rest))
        });
        Ok(until_final.boxed())
    }

    fn has_worker(&self) -> bool {
        self.0.lock().workers > 0
    }
}

impl Claim {
    /// Id of the job.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Shows that `progress.step` steps are done.
    pub fn progress(&self, progress: Progress) {
        self.update(|view| view.progress = progress);
    }

    /// Shows what the job runs on.
    pub fn backend(&self, backend: &str) {
        self.update(|view| view.backend = Some(backend.to_owned()));
    }

    /// Ends the job.
    pub fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn update(&self, change: impl FnOnce(&mut JobView)) {
        if let Some(job) = self.queue.lock().jobs.get(&self.id) {
            job.update(change);
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.finished = true;
        let mut state = self.queue.lock();
        let outcome = match outcome {
            Outcome::Cancelled if state.closed => Outcome::Failed(stopped()),
            other => other,
        };
        if matches!(outcome, Outcome::Completed(_)) {
            let last = self.started.elapsed();
            state.mean_duration = Some(state.mean_duration.map_or(last, |m| (m * 3 + last) / 4));
        }
        state.end(&self.id, outcome);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.finished {
            self.end(Outcome::Failed(Problem::new(
                ProblemCode::GenerationFailed,
                "the worker stopped while it made this picture",
            )));
        }
    }
}

fn stopped() -> Problem {
    Problem::new(
        ProblemCode::Internal,
        "the server was stopped before the picture was finished",
    )
    .with_hint("Send the request again.")
}

#[cfg(test)]
mod tests;
