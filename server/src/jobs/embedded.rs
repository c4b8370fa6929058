//! The queue of a single process, kept in a file: accepted jobs outlive the process, however it ends.
//!
//! The state lies in memory; what matters of each change goes to the [`journal`](self::journal) and is on the disk
//! before anybody is told. Steps and previews are not kept: a job that ran when the process died is made from the
//! start.

mod claim;
mod file;
mod journal;
mod state;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use async_trait::async_trait;
use protocol::{JobCreated, JobView, Problem, ProblemCode};
use tokio::sync::{Notify, broadcast};

use self::claim::EmbeddedClaim;
use self::file::Contents;
use self::journal::{Journal, Written};
use self::state::{Job, State};
use super::admission::admit;
use super::claim::Claim;
use super::key::JobKey;
use super::queue::{
    Depth, Holder, JobEvent, JobEvents, Queue, QueueStatus, Submission, WorkerStatus, key_reused,
    new_id, no_such_job,
};
use super::record::{Claimed, JobRecord};
use super::redelivery::now_ms;
use super::start::JobStart;
use crate::telemetry::metrics::submitted;
use crate::telemetry::traces;

pub use self::file::{OpenError, dead};

/// Name of the file in the data folder.
pub const FILE: &str = "jobs.redb";

/// A bounded queue in this process and a file.
#[derive(Clone)]
pub struct EmbeddedQueue(Arc<Shared>);

struct Shared {
    capacity: usize,
    retention: Duration,
    state: Mutex<State>,
    journal: Journal,
    work: Notify,
}

impl EmbeddedQueue {
    /// The queue in the file at `path`, which is created where it is missing: `capacity` jobs may wait or be made;
    /// finished ones can be asked for during `retention` from their end.
    ///
    /// Jobs that waited wait again, in their order; one that ran waits in its old place.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(path: &Path, capacity: usize, retention: Duration) -> anyhow::Result<Self> {
        let path = path.to_owned();
        let (journal, contents) = tokio::task::spawn_blocking(move || Journal::open(&path))
            .await
            .context("opening the job queue")??;
        Ok(Self::over(journal, contents, capacity, retention))
    }

    fn over(journal: Journal, contents: Contents, capacity: usize, retention: Duration) -> Self {
        if contents.dead > 0 {
            tracing::error!(
                jobs = contents.dead,
                "jobs that this version cannot read are set aside: `demo-hub jobs dead` lists them"
            );
        }
        let shared = Arc::new(Shared {
            capacity,
            retention,
            state: Mutex::new(State::default()),
            journal,
            work: Notify::new(),
        });
        {
            let mut state = shared.lock();
            let orphaned = state.take_over(contents, now_ms());
            state.forget_old(&shared, now_ms());
            for id in &orphaned {
                state.keep(&shared, id, |_| {});
            }
            let (waiting, orphaned) = (state.waiting(), orphaned.len());
            if waiting > 0 || orphaned > 0 {
                tracing::info!(waiting, orphaned, "jobs of before the start go on");
            }
        }
        Self(shared)
    }

    /// Hands no more jobs out; what waits stays for the next start, as does what is still submitted.
    pub fn stop(&self) {
        self.0.lock().stop();
        self.0.work.notify_waiters();
    }

    /// [`Self::stop`], and takes none in. Returns when all is on the disk and the file is closed.
    pub async fn close(&self) {
        self.stop();
        self.0.lock().close();
        let shared = Arc::clone(&self.0);
        if tokio::task::spawn_blocking(move || shared.journal.close())
            .await
            .is_err()
        {
            tracing::error!("the job queue could not be closed");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job of one of `models` that is due, once its claim is on the disk: whoever dies over it has tried it.
    fn take(self: &Arc<Self>, models: &[String]) -> Taken {
        let mut state = self.lock();
        let now = now_ms();
        state.forget_old(self, now);
        loop {
            if state.is_stopped() {
                return Taken::Closed;
            }
            let Some(id) = state.next(models, now) else {
                return Taken::Nothing(state.next_due(models, now));
            };
            let claimed = state.claim(&id, now);
            let shared = Arc::clone(self);
            let shown = id.clone();
            let written = state.keep(self, &id, move |_| {
                shared.lock().show(&shown);
            });
            if claimed == Claimed::Run
                && let Some(job) = state.job(&id)
            {
                let claim = Box::new(EmbeddedClaim::new(Arc::clone(self), job));
                return Taken::Job(claim, written);
            }
        }
    }
}

impl Shared {
    /// Puts jobs into the line, all or none, and sends them to the disk.
    fn take_in(
        self: &Arc<Self>,
        submissions: Vec<Submission>,
    ) -> Result<(Vec<JobCreated>, Vec<Written>), Problem> {
        let mut state = self.lock();
        state.forget_old(self, now_ms());
        let known = submissions
            .iter()
            .map(|submission| match &submission.idempotency_key {
                Some(key) => state.known_key(key, &submission.fingerprint),
                None => Ok(None),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let new = known.iter().filter(|known| known.is_none()).count();
        if let (Some(first), true) = (submissions.first(), new > 0) {
            if state.is_closed() {
                return Err(stopping());
            }
            let standing = state.standing(&first.client, first.network.as_ref());
            admit(new, self.capacity, standing, first.allowance).map_err(|refusal| {
                refusal.problem(state.load(&first.request.model).retry_after())
            })?;
        }
        let mut ids = (0..new)
            .map(|_| new_id())
            .collect::<Result<Vec<_>, _>>()?
            .into_iter();
        let (mut created, mut written, mut entered) = (Vec::new(), Vec::new(), Vec::new());
        for (submission, known) in submissions.into_iter().zip(known) {
            match known {
                Some((job, on_disk)) => {
                    if !on_disk {
                        written.push(state.keep(self, &job.id, |_| {}));
                    }
                    created.push(job);
                }
                None => {
                    let Some(id) = ids.next() else { continue };
                    created.push(JobCreated {
                        id: id.clone(),
                        seed: submission.request.seed,
                    });
                    state.enter_new(id.clone(), submission);
                    entered.push(id);
                }
            }
        }
        // In one change, so that a crash leaves all or none.
        let entries = entered.iter().flat_map(|id| state.entries(id)).collect();
        let shared = Arc::clone(self);
        let then = move |on_disk| {
            let mut state = shared.lock();
            for id in &entered {
                if on_disk {
                    state.entered(id);
                } else {
                    state.take_back(&shared, id);
                }
            }
            drop(state);
            shared.work.notify_waiters();
        };
        written.push(self.journal.write(entries, Box::new(then)));
        Ok((created, written))
    }
}

enum Taken {
    Job(Box<EmbeddedClaim>, Written),
    /// None; the next one is due after that time, if one waits for its time.
    Nothing(Option<Duration>),
    /// None, and none will be.
    Closed,
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn submit_all(&self, submissions: Vec<Submission>) -> Result<Vec<JobCreated>, Problem> {
        let (created, written) = self.0.take_in(submissions)?;
        // All were sent to the disk before the first one is waited for.
        for written in written {
            if !written.done().await {
                return Err(unwritten());
            }
        }
        // The submission that this one repeats may have failed meanwhile.
        let state = self.0.lock();
        if created.iter().all(|job| state.job(&job.id).is_some()) {
            Ok(created)
        } else {
            Err(unwritten())
        }
    }

    async fn known(
        &self,
        key: &JobKey,
        fingerprint: &[u8; 32],
    ) -> Result<Option<JobCreated>, Problem> {
        // One that is still on its way to the disk is not known yet.
        let known = self.0.lock().known_key(key, fingerprint)?;
        Ok(known.filter(|(_, entered)| *entered).map(|(job, _)| job))
    }

    async fn unfinished(&self) -> Result<HashMap<String, usize>, Problem> {
        let mut unfinished = HashMap::new();
        for record in self.0.lock().unfinished() {
            let model = record.view.request.model.clone();
            *unfinished.entry(model).or_default() += 1;
        }
        Ok(unfinished)
    }

    async fn inputs(&self) -> Result<HashSet<String>, Problem> {
        let state = self.0.lock();
        let starts = state
            .unfinished()
            .filter_map(|record| record.start.as_ref());
        Ok(starts.flat_map(JobStart::inputs).cloned().collect())
    }

    async fn holder(&self, id: &str) -> Result<Holder, Problem> {
        Ok(self.0.lock().known(id)?.record.holder())
    }

    async fn get(&self, id: &str) -> Result<JobView, Problem> {
        self.0.lock().view(id).ok_or_else(no_such_job)
    }

    async fn cancel(&self, id: &str) -> Result<JobView, Problem> {
        let written = {
            let mut state = self.0.lock();
            state.known(id)?;
            if !state.cancel(id, now_ms()) {
                return state.view(id).ok_or_else(no_such_job);
            }
            let (shared, shown) = (Arc::clone(&self.0), id.to_owned());
            state.keep(&self.0, id, move |_| shared.lock().show(&shown))
        };
        if !written.done().await {
            return Err(unwritten());
        }
        self.get(id).await
    }

    async fn events(&self, id: &str) -> Result<JobEvents, Problem> {
        let state = self.0.lock();
        let job = state.known(id)?;
        let (mut states, previews) = job.subscribe();
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
            let due = match self.0.take(models) {
                Taken::Job(claim, written) => {
                    if !written.done().await {
                        tracing::warn!(id = claim.id(), "an attempt that is not on the disk");
                    }
                    return Ok(Some(claim));
                }
                Taken::Closed => return Ok(None),
                Taken::Nothing(due) => due,
            };
            let now = tokio::time::Instant::now();
            if now >= deadline {
                return Ok(None);
            }
            let until = due.map_or(deadline, |due| deadline.min(now + due));
            // Woken or not, the line is looked at again.
            let _ = tokio::time::timeout_at(until, woken).await;
        }
    }

    async fn heartbeat(&self, worker: &WorkerStatus) {
        self.0.lock().heard_of(worker, Instant::now());
    }

    async fn leave(&self, worker: &str) {
        self.0.lock().left(worker);
    }

    async fn depth(&self, models: &[String]) -> Vec<Depth> {
        let state = self.0.lock();
        models.iter().map(|model| state.depth(model)).collect()
    }

    fn goes_on(&self) -> bool {
        false
    }

    async fn status(&self) -> QueueStatus {
        QueueStatus {
            reachable: self.0.journal.is_healthy(),
            workers: self.0.lock().workers(),
            workers_optional: false,
        }
    }
}

impl State {
    fn known(&self, id: &str) -> Result<&Job, Problem> {
        self.job(id).ok_or_else(no_such_job)
    }

    /// Puts a job that was admitted into the line.
    fn enter_new(&mut self, id: String, submission: Submission) {
        let Submission {
            request,
            resume,
            start,
            fingerprint,
            idempotency_key,
            keeping,
            client,
            network,
            ..
        } = submission;
        let steps = request.num_inference_steps;
        let turn = self.turn(&request.model, &client, network.as_ref());
        let record = JobRecord {
            client,
            network,
            turn: Some(turn),
            trace: traces::current(),
            ..JobRecord::new(id, request.into(), steps, keeping, resume).beginning_with(start)
        };
        submitted(&record);
        let key = idempotency_key.map(|key| key.as_str().to_owned());
        self.enter(record, fingerprint, key);
    }

    /// The job that a key stands for, and whether it is on the disk.
    fn known_key(
        &self,
        key: &JobKey,
        fingerprint: &[u8; 32],
    ) -> Result<Option<(JobCreated, bool)>, Problem> {
        let Some(job) = self.job_of_key(key.as_str()) else {
            return Ok(None);
        };
        if job.fingerprint != *fingerprint {
            return Err(key_reused());
        }
        let created = JobCreated {
            id: job.record.view.id.clone(),
            seed: job.record.seed()?,
        };
        Ok(Some((created, job.is_entered())))
    }

    /// Sends the job's state, or its absence, to the disk; `then` is called from there, without this state's lock.
    fn keep(&self, shared: &Shared, id: &str, then: impl FnOnce(bool) + Send + 'static) -> Written {
        shared.journal.write(self.entries(id), Box::new(then))
    }

    /// Forgets what ended longer ago than the retention.
    fn forget_old(&mut self, shared: &Shared, now: u64) {
        for id in self.expire(now, shared.retention) {
            self.keep(shared, &id, |_| {});
        }
    }

    /// Forgets a job that nobody was told of, since it could not be written.
    fn take_back(&mut self, shared: &Shared, id: &str) {
        self.remove(id);
        self.keep(shared, id, |_| {});
    }
}

fn stopping() -> Problem {
    let mut problem = Problem::new(ProblemCode::QueueUnavailable, "the server is stopping")
        .with_hint("Try again in a moment; what was accepted before is made after the restart.");
    problem.retry_after = Some(5);
    problem
}

fn unwritten() -> Problem {
    let mut problem = Problem::new(
        ProblemCode::QueueUnavailable,
        "the job queue cannot write to its disk",
    )
    .with_hint("Try again in a moment, or make the picture in your browser.");
    problem.retry_after = Some(5);
    problem
}

#[cfg(test)]
mod tests;
