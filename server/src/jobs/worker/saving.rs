//! Storing a finished picture, which is held until the store takes it.

use std::time::Duration;

use protocol::{ImageRecord, ImageRef, Problem, ProblemCode};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Made, Worker};
use crate::grace::Grace;
use crate::images::ImageId;
use crate::jobs::claim::Claim;
use crate::jobs::queue::{HandBack, Outcome, WorkerStatus};
use crate::jobs::redelivery::Backoff;
use crate::render::Rendered;

/// Pauses between attempts to store a picture.
const PAUSES: Backoff = Backoff {
    first: Duration::from_millis(250),
    longest: Duration::from_secs(10),
};
/// Pauses while the worker is asked to stop.
const HURRIED: Duration = Duration::from_millis(200);
/// How often a wait looks whether the job was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(50);

impl Worker {
    /// Stores the picture. While the store is away it is tried again; the claim is kept meanwhile.
    #[tracing::instrument(skip_all)]
    pub(super) async fn save(
        &self,
        claim: &dyn Claim,
        status: &WorkerStatus,
        grace: &Grace,
        rendered: Rendered,
    ) -> Made {
        let saving = async {
            tokio::select! {
                made = self.save_patiently(claim, grace, rendered) => made,
                // What was written so far is found by whoever makes the picture again.
                () = grace.over() => Made::Back(HandBack::Draining),
            }
        };
        let mut saving = std::pin::pin!(self.beating(status, saving));
        let mut keep = interval(claim.keep_interval());
        keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                made = &mut saving => return made,
                _ = keep.tick() => claim.keep().await,
            }
        }
    }

    async fn save_patiently(&self, claim: &dyn Claim, grace: &Grace, rendered: Rendered) -> Made {
        let Ok(id) = claim.id().parse::<ImageId>() else {
            return Made::Outcome(Outcome::Failed(Problem::new(
                ProblemCode::Internal,
                "the job's id cannot name a picture",
            )));
        };
        let patience = Instant::now() + self.options.save_patience;
        let mut failures = 0;
        loop {
            let Rendered { png, recipe } = rendered.clone();
            let saved = self
                .images
                .save(id.clone(), png, recipe, claim.keeping().clone())
                .await;
            let problem = match saved {
                Ok(record) => return Made::Outcome(Outcome::Completed(image(record))),
                Err(problem) => problem,
            };
            // A job that was cancelled, or is another worker's by now, needs no further attempt.
            if claim.cancel().is_cancelled() {
                return Made::Outcome(Outcome::Cancelled);
            }
            if !may_pass(&problem) {
                return Made::Outcome(Outcome::Failed(problem));
            }
            failures += 1;
            metrics::counter!("demo_hub_save_retries_total").increment(1);
            let left = patience.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Made::Back(HandBack::Retry(problem));
            }
            let pause = PAUSES.pause(failures, crate::random::fraction()).min(left);
            tracing::warn!(id = claim.id(), %problem, failures, ?pause, "the picture is held and stored again");
            if wait(claim, grace, pause).await.is_err() {
                return Made::Outcome(Outcome::Cancelled);
            }
        }
    }
}

/// The job was cancelled.
struct Cancelled;

/// Waits for `pause`, or for less once the worker is asked to stop.
async fn wait(claim: &dyn Claim, grace: &Grace, pause: Duration) -> Result<(), Cancelled> {
    let paused = async {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = grace.begun() => tokio::time::sleep(HURRIED.min(pause)).await,
        }
    };
    let mut paused = std::pin::pin!(paused);
    loop {
        tokio::select! {
            () = &mut paused => return Ok(()),
            () = tokio::time::sleep(CANCEL_POLL) => if claim.cancel().is_cancelled() {
                return Err(Cancelled);
            },
        }
    }
}

/// Whether the store may take the same picture later. What it, or the hub's own rules, refuse for good is told apart
/// by its status: that of a mistake in what was sent.
fn may_pass(problem: &Problem) -> bool {
    problem.status >= 500
        || matches!(
            problem.code,
            ProblemCode::UploadMissing | ProblemCode::Conflict | ProblemCode::RateLimited
        )
}

fn image(record: ImageRecord) -> ImageRef {
    ImageRef {
        url: record.url,
        permalink: record.permalink,
        expires_at: record.expires_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        use ProblemCode::{
            Conflict, Internal, NotFound, NotOwner, StorageUnavailable, UploadMismatch,
            UploadMissing,
        };
        for (code, passes) in [
            (StorageUnavailable, true),
            (Internal, true),
            (UploadMissing, true),
            (Conflict, true),
            (UploadMismatch, false),
            (NotFound, false),
            (NotOwner, false),
        ] {
            assert_eq!(may_pass(&Problem::new(code, "x")), passes, "{code:?}");
        }
    }
}
