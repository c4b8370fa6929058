//! The state machine of a job, the same for every queue.

use protocol::{GenerationRequest, JobStatus, JobView, Problem, ProblemCode, Progress, Resume};
use serde::{Deserialize, Serialize};

use super::queue::{HandBack, Outcome};
use crate::images::Keeping;
use crate::limits::{ClientKey, Network};

/// Times that a job is tried before it is given up.
pub const MAX_ATTEMPTS: u32 = 3;

/// A job as a queue keeps it. Every change raises `number` by one; a final state never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Number of the state.
    pub number: u64,
    /// What clients see, except for position and estimate.
    pub view: JobView,
    /// Whose picture it will be, and whether it will be listed; clients do not see it.
    #[serde(default)]
    pub keeping: Keeping,
    /// Whose turn it takes; unknown in records of older versions.
    #[serde(default)]
    pub client: ClientKey,
    /// Where the client is; absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// What was done before the job came here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// A client asked for the end.
    pub cancel_requested: bool,
    /// Counts the claims; only the holder of the latest one may change the job.
    pub claim: u64,
    /// Why the latest attempt was given up.
    pub last_failure: Option<Problem>,
}

/// What a worker that was handed a job shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Make the picture.
    Run,
    /// Nothing: the job has ended, perhaps just now.
    Ended,
}

impl JobRecord {
    /// A queued job; `request` is resolved and has a seed.
    pub fn new(
        id: String,
        request: GenerationRequest,
        keeping: Keeping,
        resume: Option<Resume>,
    ) -> Self {
        let total_steps = request.num_inference_steps.unwrap_or_default();
        Self {
            number: 1,
            view: JobView {
                id,
                request,
                status: JobStatus::Queued,
                queue_position: None,
                eta_ms: None,
                progress: Progress {
                    step: resume.as_ref().map_or(0, |resume| resume.step),
                    total_steps,
                },
                attempt: 0,
                image: None,
                error: None,
                backend: None,
            },
            keeping,
            client: ClientKey::Unknown,
            network: None,
            resume,
            cancel_requested: false,
            claim: 0,
            last_failure: None,
        }
    }

    /// Gives the job to a worker, or ends it where that is all that is left to do.
    pub fn claim(&mut self) -> Claimed {
        if self.view.status.is_final() {
            return Claimed::Ended;
        }
        if self.cancel_requested {
            self.end(Outcome::Cancelled);
            return Claimed::Ended;
        }
        if self.view.attempt >= MAX_ATTEMPTS {
            let problem = self.given_up();
            self.end(Outcome::Failed(problem));
            return Claimed::Ended;
        }
        self.claim += 1;
        self.view.attempt += 1;
        self.view.status = JobStatus::Generating;
        self.restart();
        Claimed::Run
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
    pub fn finish(&mut self, claim: u64, outcome: Outcome) -> bool {
        let held = self.is_held(claim);
        if held {
            self.end(outcome);
        }
        held
    }

    /// Puts the job back into the queue, or ends it after the last attempt. `false`: the claim is lost.
    pub fn hand_back(&mut self, claim: u64, reason: HandBack) -> bool {
        if !self.is_held(claim) {
            return false;
        }
        match reason {
            HandBack::Draining => self.view.attempt = self.view.attempt.saturating_sub(1),
            HandBack::Retry(problem) => self.last_failure = Some(problem),
        }
        if self.cancel_requested {
            self.end(Outcome::Cancelled);
        } else if self.view.attempt >= MAX_ATTEMPTS {
            let problem = self.given_up();
            self.end(Outcome::Failed(problem));
        } else {
            self.view.status = JobStatus::Queued;
            self.restart();
        }
        true
    }

    /// Cancels a queued job at once and notes the wish on a running one. `false`: it changed nothing.
    pub fn cancel(&mut self) -> bool {
        match self.view.status {
            JobStatus::Queued => self.end(Outcome::Cancelled),
            JobStatus::Generating if !self.cancel_requested => {
                self.cancel_requested = true;
                self.number += 1;
            }
            _ => return false,
        }
        true
    }

    /// Ends the job, whoever holds it; a final state stays.
    pub fn end(&mut self, outcome: Outcome) {
        if self.view.status.is_final() {
            return;
        }
        self.number += 1;
        self.view.queue_position = None;
        self.view.eta_ms = None;
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

    fn restart(&mut self) {
        self.number += 1;
        self.view.progress.step = self.resume.as_ref().map_or(0, |resume| resume.step);
        self.view.queue_position = None;
        self.view.eta_ms = None;
    }

    fn given_up(&self) -> Problem {
        let reason = self.last_failure.as_ref().map_or(
            "each time the worker died or went silent while it made this picture",
            |problem| problem.detail.as_str(),
        );
        Problem::new(
            ProblemCode::GenerationFailed,
            format!("it was tried {MAX_ATTEMPTS} times; {reason}"),
        )
        .with_hint("Try other settings, or make the picture in your browser.")
    }
}

#[cfg(test)]
mod tests;
