//! What is counted and traced of each attempt at a job.

use std::time::Instant;

use metrics::{counter, histogram};
use tracing::Span;

use super::Made;
use crate::images::ImageId;
use crate::jobs::claim::Claim;
use crate::jobs::queue::{HandBack, Outcome};
use crate::jobs::redelivery::now_ms;
use crate::telemetry::metrics::{code, names};
use crate::telemetry::traces;

/// The span of an attempt, below that of the request where it is traced.
pub(super) fn span(claim: &dyn Claim, worker: &str) -> Span {
    let span = tracing::info_span!(
        "job",
        id = claim.id(),
        model = claim.request().model,
        attempt = claim.history().attempt,
        worker,
        otel.kind = "consumer",
    );
    if let Some(trace) = &claim.history().trace {
        traces::continue_from(&span, trace);
    }
    span
}

/// An attempt under way.
pub(super) struct Attempt {
    model: String,
    begun: Instant,
}

/// Counts an attempt, and the wait before the first.
pub(super) fn begin(claim: &dyn Claim) -> Attempt {
    let model = claim.request().model.clone();
    counter!(names::JOB_ATTEMPTS, "model" => model.clone()).increment(1);
    // The id has the time of the submission in it.
    if claim.history().attempt == 1
        && let Ok(id) = claim.id().parse::<ImageId>()
    {
        let waited = now_ms().saturating_sub(id.created_at());
        histogram!(names::JOB_WAIT_SECONDS, "model" => model.clone()).record(waited as f64 / 1e3);
    }
    Attempt {
        model,
        begun: Instant::now(),
    }
}

impl Attempt {
    /// Counts how it ended, and how long it took.
    pub(super) fn end(self, made: &Made) {
        let (outcome, code) = match made {
            Made::Outcome(Outcome::Completed(_)) => ("completed", String::new()),
            Made::Outcome(Outcome::Cancelled) => ("cancelled", String::new()),
            Made::Outcome(Outcome::Failed(problem)) => ("failed", code(problem)),
            Made::Back(HandBack::Draining) => ("drained", String::new()),
            Made::Back(HandBack::Retry(problem)) => ("retried", code(problem)),
            Made::Back(HandBack::Refused(problem)) => ("refused", code(problem)),
            Made::Back(HandBack::WorkerFault { problem, .. }) => ("worker_fault", code(problem)),
        };
        counter!(
            names::JOB_ENDS,
            "model" => self.model.clone(),
            "outcome" => outcome,
            "code" => code
        )
        .increment(1);
        histogram!(names::JOB_SECONDS, "model" => self.model, "outcome" => outcome)
            .record(self.begun.elapsed().as_secs_f64());
    }
}
