//! The queue of a single process.

mod claim;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use diffusion::Cancel;
use protocol::{JobCreated, JobPreview, JobStatus, JobView, Problem, ProblemCode};
use tokio::sync::{Notify, broadcast, watch};

use self::claim::MemoryClaim;
use super::estimate::{Durations, Load};
use super::queue::{
    Claim, JobEvent, JobEvents, Outcome, Queue, QueueStatus, Submission, WORKER_GONE, WorkerStatus,
    key_reused, new_id, no_such_job, queue_full,
};
use super::record::{Claimed, JobRecord};

/// Finished jobs kept at most, however young.
const MAX_FINISHED: usize = 1_000;
/// Previews that a slow reader may lag behind before it misses some.
const PREVIEWS: usize = 4;

/// A bounded in-process queue.
#[derive(Clone)]
pub struct MemoryQueue(Arc<Shared>);

struct Shared {
    capacity: usize,
    retention: Duration,
    state: Mutex<State>,
    work: Notify,
}

#[derive(Default)]
struct State {
    jobs: HashMap<String, Job>,
    waiting: VecDeque<String>,
    running: usize,
    finished: VecDeque<(Instant, String)>,
    keys: HashMap<String, String>,
    durations: HashMap<String, Durations>,
    workers: HashMap<String, (Instant, WorkerStatus)>,
    closed: bool,
}

struct Job {
    record: JobRecord,
    fingerprint: [u8; 32],
    key: Option<String>,
    /// Of the latest claim.
    cancel: Cancel,
    shown: watch::Sender<(u64, JobView)>,
    previews: broadcast::Sender<JobPreview>,
}

impl MemoryQueue {
    /// A queue for `capacity` jobs, waiting or being made; finished ones can be asked for during `retention`.
    pub fn new(capacity: usize, retention: Duration) -> Self {
        Self(Arc::new(Shared {
            capacity,
            retention,
            state: Mutex::default(),
            work: Notify::new(),
        }))
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
        drop(state);
        self.0.work.notify_waiters();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, models: &[String]) -> Option<Box<dyn Claim>> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        loop {
            let place = models.iter().find_map(|model| {
                state.waiting.iter().position(|id| {
                    let job = state.jobs.get(id);
                    job.is_some_and(|job| job.record.view.request.model == *model)
                })
            })?;
            let id = state.waiting.remove(place)?;
            let Some(job) = state.jobs.get_mut(&id) else {
                continue;
            };
            let claimed = job.record.claim();
            job.cancel = Cancel::default();
            let (claim, cancel) = (job.record.claim, job.cancel.clone());
            let work = (job.record.view.request.clone(), job.record.resume.clone());
            let keeping = job.record.keeping.clone();
            match claimed {
                Claimed::Run => state.running += 1,
                Claimed::Ended => state.ended(&id),
            }
            state.show_waiting();
            state.show(&id, None);
            if claimed == Claimed::Run {
                return Some(Box::new(MemoryClaim::new(
                    Arc::clone(self),
                    id,
                    claim,
                    work,
                    keeping,
                    cancel,
                )));
            }
        }
    }
}

impl State {
    fn load(&self, model: &str) -> Load {
        let workers = self.workers.values();
        Load {
            median_ms: self.durations.get(model).and_then(Durations::median_ms),
            running: self.running,
            workers: workers
                .filter(|(seen, _)| seen.elapsed() < WORKER_GONE)
                .count(),
        }
    }

    /// Publishes a job's state; `ahead` is its place among the waiting ones.
    fn show(&self, id: &str, ahead: Option<usize>) {
        let Some(job) = self.jobs.get(id) else { return };
        let mut view = job.record.view.clone();
        view.queue_position = ahead.and_then(|n| u32::try_from(n).ok());
        view.eta_ms = self
            .load(&view.request.model)
            .eta_ms(&view, ahead.unwrap_or_default());
        job.shown.send_replace((job.record.number, view));
    }

    /// Publishes positions that have changed.
    fn show_waiting(&mut self) {
        for (ahead, id) in self.waiting.iter().enumerate() {
            let Some(job) = self.jobs.get_mut(id) else {
                continue;
            };
            let shown = job.shown.borrow().1.queue_position;
            if shown != u32::try_from(ahead).ok() {
                job.record.number += 1;
                self.show(id, Some(ahead));
            }
        }
    }

    fn end(&mut self, id: &str, outcome: Outcome) {
        if let Some(job) = self.jobs.get_mut(id) {
            job.record.end(outcome);
            self.ended(id);
            self.show(id, None);
        }
    }

    fn ended(&mut self, id: &str) {
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

    fn job(&self, id: &str) -> Result<&Job, Problem> {
        self.jobs.get(id).ok_or_else(no_such_job)
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn submit(&self, submission: Submission) -> Result<JobCreated, Problem> {
        let Submission {
            request,
            resume,
            fingerprint,
            idempotency_key: key,
            keeping,
            client,
            network,
        } = submission;
        let mut state = self.0.lock();
        state.forget_old(self.0.retention);
        if let Some(id) = key.as_ref().and_then(|key| state.keys.get(key)) {
            let job = state.job(id)?;
            if job.fingerprint != fingerprint {
                return Err(key_reused());
            }
            return Ok(JobCreated {
                id: id.clone(),
                seed: job.record.view.request.seed.unwrap_or_default(),
            });
        }
        if state.closed {
            return Err(stopped());
        }
        let jobs = state.waiting.len() + state.running;
        if jobs >= self.0.capacity {
            return Err(queue_full(jobs, state.load(&request.model).retry_after()));
        }
        let id = new_id()?;
        let created = JobCreated {
            id: id.clone(),
            seed: request.seed.unwrap_or_default(),
        };
        let record = JobRecord {
            client,
            network,
            ..JobRecord::new(id.clone(), request, keeping, resume)
        };
        if let Some(key) = &key {
            state.keys.insert(key.clone(), id.clone());
        }
        let job = Job {
            shown: watch::Sender::new((record.number, record.view.clone())),
            record,
            fingerprint,
            key,
            cancel: Cancel::default(),
            previews: broadcast::Sender::new(PREVIEWS),
        };
        state.jobs.insert(id.clone(), job);
        state.show(&id, Some(state.waiting.len()));
        state.waiting.push_back(id);
        drop(state);
        self.0.work.notify_waiters();
        Ok(created)
    }

    async fn get(&self, id: &str) -> Result<JobView, Problem> {
        Ok(self.0.lock().job(id)?.shown.borrow().1.clone())
    }

    async fn cancel(&self, id: &str) -> Result<JobView, Problem> {
        let mut state = self.0.lock();
        let job = state.jobs.get_mut(id).ok_or_else(no_such_job)?;
        if job.record.cancel() {
            job.cancel.cancel();
            if job.record.view.status == JobStatus::Cancelled {
                state.ended(id);
                state.waiting.retain(|waiting| waiting != id);
                state.show_waiting();
            }
            state.show(id, None);
        }
        let view = state.job(id)?.shown.borrow().1.clone();
        Ok(view)
    }

    async fn events(&self, id: &str) -> Result<JobEvents, Problem> {
        let state = self.0.lock();
        let job = state.job(id)?;
        let (mut states, previews) = (job.shown.subscribe(), job.previews.subscribe());
        drop(state);
        states.mark_changed();
        let events = futures::stream::unfold(Some((states, previews)), |followed| async move {
            let (mut states, mut previews) = followed?;
            loop {
                tokio::select! {
                    biased;
                    preview = previews.recv() => match preview {
                        Ok(preview) => {
                            return Some((JobEvent::Preview(preview), Some((states, previews))));
                        }
                        Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(broadcast::error::RecvError::Closed) => return None,
                    },
                    changed = states.changed() => {
                        changed.ok()?;
                        let (number, view) = states.borrow_and_update().clone();
                        let rest = (!view.status.is_final()).then_some((states, previews));
                        let view = Box::new(view);
                        return Some((JobEvent::State { number, view }, rest));
                    }
                }
            }
        });
        Ok(Box::pin(events))
    }

    async fn pull(
        &self,
        models: &[String],
        wait: Duration,
    ) -> Result<Option<Box<dyn Claim>>, Problem> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            // Registered before the look, so that a job that comes right after it wakes this call.
            let mut woken = std::pin::pin!(self.0.work.notified());
            woken.as_mut().enable();
            if let Some(claim) = self.0.take(models) {
                return Ok(Some(claim));
            }
            if self.0.lock().closed {
                return Ok(None);
            }
            if tokio::time::timeout_at(deadline, woken).await.is_err() {
                return Ok(None);
            }
        }
    }

    async fn heartbeat(&self, worker: &WorkerStatus) {
        let mut state = self.0.lock();
        state
            .workers
            .insert(worker.id.clone(), (Instant::now(), worker.clone()));
        state
            .workers
            .retain(|_, (seen, _)| seen.elapsed() < WORKER_GONE);
    }

    async fn leave(&self, worker: &str) {
        self.0.lock().workers.remove(worker);
    }

    async fn status(&self) -> QueueStatus {
        let state = self.0.lock();
        QueueStatus {
            reachable: true,
            workers: state
                .workers
                .values()
                .filter(|(seen, _)| seen.elapsed() < WORKER_GONE)
                .count(),
            workers_optional: false,
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
