//! The state machine of a job, the same for every queue.

use std::time::Duration;

use protocol::{
    GenerationRequest, JobStatus, JobView, Postponed, Problem, ProblemCode, Progress, Resume,
    steps_taken,
};
use serde::{Deserialize, Serialize};

use super::format;
use super::queue::{HandBack, Holder, Outcome};
use super::redelivery;
use super::start::JobStart;
use crate::images::Keeping;
use crate::limits::{ClientKey, Network};

/// Times that a job is tried before it is given up.
pub const MAX_ATTEMPTS: u32 = 3;
/// Times that a job is given back with a problem before it is given up, those included that count as no attempt.
pub const MAX_RETURNS: u32 = 10;
/// Workers that fail for reasons of their own at one job before the job counts as the reason.
pub const MAX_FAULTY_WORKERS: usize = 3;
/// A job that is due within this time is due.
const SOON: Duration = Duration::from_millis(50);

/// A job as a queue keeps it. Every change raises `number` by one; a final state never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// [`format::FORMAT`] of the version that wrote it.
    #[serde(default = "format::first")]
    pub format: u32,
    /// Number of the state.
    pub number: u64,
    /// What clients see, except for position and estimate.
    pub view: JobView,
    /// Whose picture it will be, and whether it will be listed; clients do not see it.
    #[serde(default)]
    pub keeping: Keeping,
    /// Whose turn it takes; unknown in records of older versions, and where a newer one has other kinds of clients.
    #[serde(default, deserialize_with = "format::or_default")]
    pub client: ClientKey,
    /// Where the client is; absent: not known.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "format::or_default"
    )]
    pub network: Option<Network>,
    /// See [`super::fair`]; absent in records of older versions, whose turn is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<u64>,
    /// What was done before the job came here; forgotten when the job ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// What it begins with, if not with noise; forgotten when the job ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<JobStart>,
    /// A client asked for the end.
    pub cancel_requested: bool,
    /// Counts the claims; only the holder of the latest one may change the job.
    pub claim: u64,
    /// Why the latest attempt was given up.
    pub last_failure: Option<Problem>,
    /// Times that the job was given back with a problem.
    #[serde(default)]
    pub returns: u32,
    /// Workers that failed at it for reasons of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faulty_workers: Vec<String>,
    /// When it ended, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
    /// `traceparent` of the request (W3C Trace Context), where it is traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// What its `Idempotency-Key` is kept under, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What a worker that was handed a job shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Make the picture.
    Run,
    /// Nothing: the job has ended, perhaps just now.
    Ended,
    /// Nothing yet: it is tried again only after that time.
    NotYet(Duration),
}

/// When and among whom a job is given back.
#[derive(Clone, Copy, Debug)]
pub struct Occasion {
    /// Milliseconds since the Unix epoch.
    pub now: u64,
    /// Uniform in [0, 1): spreads those that are given back together.
    pub spread: f64,
    /// Whether another worker that is well takes jobs of this model.
    pub others: bool,
}

impl Occasion {
    /// Now, by this machine's clock.
    pub fn now(others: bool) -> Self {
        Self {
            now: redelivery::now_ms(),
            spread: crate::random::fraction(),
            others,
        }
    }
}

impl JobRecord {
    /// A queued job of `steps` steps; `request` is a resolved one as it is stored.
    pub fn new(
        id: String,
        request: GenerationRequest,
        steps: u32,
        keeping: Keeping,
        resume: Option<Resume>,
    ) -> Self {
        Self {
            format: format::FORMAT,
            number: 1,
            view: JobView {
                id,
                request,
                status: JobStatus::Queued,
                queue_position: None,
                eta_ms: None,
                progress: Progress {
                    step: resume.as_ref().map_or(0, |resume| resume.step),
                    total_steps: steps,
                },
                attempt: 0,
                image: None,
                error: None,
                backend: None,
                postponed: None,
            },
            keeping,
            client: ClientKey::Unknown,
            network: None,
            turn: None,
            resume,
            start: None,
            cancel_requested: false,
            claim: 0,
            last_failure: None,
            returns: 0,
            faulty_workers: Vec::new(),
            ended_at: None,
            trace: None,
            key: None,
        }
    }

    /// Seed of the picture.
    ///
    /// # Errors
    /// [`ProblemCode::Internal`] for a stored job that lacks it.
    pub fn seed(&self) -> Result<u64, Problem> {
        let seed = self.view.request.seed;
        seed.ok_or_else(|| Problem::new(ProblemCode::Internal, "the stored job has no seed"))
    }

    /// The same job, begun with a picture.
    #[must_use]
    pub fn beginning_with(mut self, start: Option<JobStart>) -> Self {
        if let (Some(start), Some(steps)) = (&start, self.view.request.num_inference_steps) {
            self.view.progress.total_steps = steps_taken(steps, start.strength);
        }
        self.start = start;
        self.format = self.own_format();
        self
    }

    /// The format that it is to be written in.
    fn own_format(&self) -> u32 {
        if self.start.is_some() {
            format::WITH_START
        } else {
            format::FORMAT
        }
    }

    /// Whose the job is.
    pub fn holder(&self) -> Holder {
        Holder {
            owner: self.keeping.owner.clone(),
            client: self.client.clone(),
        }
    }

    /// Time until the job is tried again; zero where it may be tried now.
    pub fn wait(&self, now: u64) -> Duration {
        let until = self.view.postponed.as_ref().map_or(0, |later| later.until);
        Duration::from_millis(until.saturating_sub(now))
    }

    /// Gives the job to a worker, or ends it where that is all that is left to do.
    pub fn claim(&mut self, now: u64) -> Claimed {
        if self.view.status.is_final() {
            return Claimed::Ended;
        }
        let wait = self.wait(now);
        if wait > SOON && !self.cancel_requested {
            return Claimed::NotYet(wait);
        }
        if self.end_if_over(now) {
            return Claimed::Ended;
        }
        self.claim += 1;
        self.view.attempt += 1;
        self.view.status = JobStatus::Generating;
        self.restart();
        Claimed::Run
    }

    /// Puts a job back whose worker died with the process, or ends it. The attempt counts. `false`: it did not run.
    pub fn orphaned(&mut self, now: u64) -> bool {
        if self.view.status != JobStatus::Generating {
            return false;
        }
        if !self.end_if_over(now) {
            self.view.status = JobStatus::Queued;
            self.restart();
        }
        true
    }

    /// Whether `claim` is the latest one and the job still runs.
    pub fn is_held(&self, claim: u64) -> bool {
        self.claim == claim && self.view.status == JobStatus::Generating
    }

    /// Notes what the job runs on. `false`: the claim is lost.
    pub fn backend(&mut self, claim: u64, backend: &str) -> bool {
        self.held(claim, |record| {
            record.view.backend = Some(backend.to_owned())
        })
    }

    /// Notes a step. `false`: the claim is lost.
    pub fn step(&mut self, claim: u64, progress: Progress) -> bool {
        self.held(claim, |record| record.view.progress = progress)
    }

    /// Ends the job. `false`: the claim is lost and nothing has changed.
    pub fn finish(&mut self, claim: u64, outcome: Outcome, now: u64) -> bool {
        let held = self.is_held(claim);
        if held {
            self.end(outcome, now);
        }
        held
    }

    /// Puts the job back into the queue, to be tried again after a while where there was a problem, or ends it where it
    /// was tried often enough or the while would be too long. `false`: the claim is lost.
    pub fn hand_back(&mut self, claim: u64, reason: HandBack, occasion: Occasion) -> bool {
        if !self.is_held(claim) {
            return false;
        }
        let counts = match &reason {
            HandBack::Draining | HandBack::Refused(_) => false,
            HandBack::Retry(_) => true,
            HandBack::WorkerFault { worker, .. } => {
                if !self.faulty_workers.contains(worker) {
                    self.faulty_workers.push(worker.clone());
                }
                !occasion.others
            }
        };
        if !counts {
            self.view.attempt = self.view.attempt.saturating_sub(1);
        }
        let problem = match reason {
            HandBack::Draining => None,
            HandBack::Refused(problem)
            | HandBack::Retry(problem)
            | HandBack::WorkerFault { problem, .. } => Some(problem),
        };
        if let Some(problem) = &problem {
            self.returns += 1;
            self.last_failure = Some(problem.clone());
        }
        let too_long = |asked: u32| asked > redelivery::LONGEST_ASKED;
        if self.end_if_over(occasion.now) {
            return true;
        }
        if let Some(problem) = &problem
            && problem.retry_after.is_some_and(too_long)
        {
            self.end(Outcome::Failed(problem.clone()), occasion.now);
            return true;
        }
        self.view.status = JobStatus::Queued;
        self.restart();
        self.view.postponed = problem.map(|reason| {
            let delay = redelivery::delay(self.returns, reason.retry_after, occasion.spread);
            let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            Postponed {
                until: occasion.now.saturating_add(delay),
                reason,
            }
        });
        true
    }

    /// Cancels a queued job at once and notes the wish on a running one. `false`: it changed nothing.
    pub fn cancel(&mut self, now: u64) -> bool {
        match self.view.status {
            JobStatus::Queued => self.end(Outcome::Cancelled, now),
            JobStatus::Generating if !self.cancel_requested => {
                self.cancel_requested = true;
                self.number += 1;
            }
            _ => return false,
        }
        true
    }

    /// Ends the job, whoever holds it; a final state stays.
    pub fn end(&mut self, outcome: Outcome, now: u64) {
        if self.view.status.is_final() {
            return;
        }
        self.number += 1;
        self.ended_at = Some(now);
        self.resume = None;
        self.start = None;
        self.format = self.own_format();
        self.view.queue_position = None;
        self.view.eta_ms = None;
        self.view.postponed = None;
        match outcome {
            Outcome::Completed(image) => {
                self.view.status = JobStatus::Completed;
                self.view.image = Some(image);
            }
            Outcome::Failed(problem) => {
                self.view.status = JobStatus::Failed;
                self.view.error = Some(problem);
            }
            Outcome::Cancelled => self.view.status = JobStatus::Cancelled,
        }
    }

    fn held(&mut self, claim: u64, change: impl FnOnce(&mut Self)) -> bool {
        let held = self.is_held(claim);
        if held {
            change(self);
            self.number += 1;
        }
        held
    }

    /// Ends a job that nobody shall work at again: it was cancelled, or tried often enough.
    fn end_if_over(&mut self, now: u64) -> bool {
        if self.cancel_requested {
            self.end(Outcome::Cancelled, now);
        } else if self.view.attempt >= MAX_ATTEMPTS
            || self.returns >= MAX_RETURNS
            || self.faulty_workers.len() >= MAX_FAULTY_WORKERS
        {
            let problem = self.given_up();
            self.end(Outcome::Failed(problem), now);
        } else {
            return false;
        }
        true
    }

    fn restart(&mut self) {
        self.format = self.own_format();
        self.number += 1;
        self.view.progress.step = self.resume.as_ref().map_or(0, |resume| resume.step);
        self.view.queue_position = None;
        self.view.eta_ms = None;
        self.view.postponed = None;
    }

    fn given_up(&self) -> Problem {
        let times = self.view.attempt.max(self.returns);
        let (code, reason) = match &self.last_failure {
            Some(problem) => (problem.code, problem.detail.as_str()),
            None => (
                ProblemCode::GenerationFailed,
                "each time the worker died or went silent while it made this picture",
            ),
        };
        Problem::new(code, format!("it was tried {times} times; {reason}"))
            .with_hint("Try other settings, or make the picture in your browser.")
    }
}

#[cfg(test)]
mod tests;
