//! Making the picture of the job in hand.

use std::time::Duration;

use protocol::{JobPreview, Problem, ProblemCode, Progress};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::thread::Told;
use super::{Made, Worker};
use crate::grace::Grace;
use crate::jobs::claim::Claim;
use crate::jobs::queue::{HEARTBEAT, HandBack, Outcome, WorkerStatus};
use crate::render::{Blame, RenderError, Rendered};

impl Worker {
    /// Renders and stores; tells the queue of every step.
    #[tracing::instrument(skip_all)]
    pub(super) async fn make(
        &mut self,
        claim: &dyn Claim,
        status: &WorkerStatus,
        grace: &Grace,
    ) -> Made {
        let begun = match self.begun(claim, status, grace).await {
            Ok(begun) => begun,
            Err(made) => return *made,
        };
        let mut told = self.thread.render(
            claim.request().clone(),
            begun,
            claim.resume().cloned(),
            claim.cancel().clone(),
        );
        let mut keep = interval(claim.keep_interval());
        keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stalled = Instant::now() + self.options.stall;
        loop {
            tokio::select! {
                message = told.recv() => match message {
                    Some(Told::Backend(name)) => claim.backend(&name).await,
                    Some(Told::Step(progress)) => {
                        stalled = Instant::now() + self.options.stall;
                        tracing::info!(target: "server::steps", step = progress.step, of = progress.total_steps, "step");
                        claim.step(progress).await;
                    }
                    Some(Told::Preview(progress, png)) => {
                        claim.preview(preview(progress, &png)).await;
                    }
                    Some(Told::Done(result)) => {
                        return match self.rendered(claim, *result, grace) {
                            Ok(rendered) => self.save(claim, status, grace, rendered).await,
                            Err(made) => *made,
                        };
                    }
                    None => return self.own_fault(died()),
                },
                _ = keep.tick() => claim.keep().await,
                _ = beat.tick() => self.queue.heartbeat(status).await,
                () = tokio::time::sleep_until(stalled) => {
                    claim.cancel().cancel();
                    tracing::error!(id = claim.id(), "the renderer is stuck; a new one takes its place");
                    if let Err(error) = self.thread.replace() {
                        tracing::error!(%error, "no thread for a new renderer");
                    }
                    return self.own_fault(stuck(self.options.stall));
                }
                () = grace.over() => {
                    claim.cancel().cancel();
                    // The thread stops within a step; the job need not wait for it.
                    return Made::Back(HandBack::Draining);
                }
            }
        }
    }

    /// The picture, or what becomes of a job that has none.
    fn rendered(
        &self,
        claim: &dyn Claim,
        result: Result<Rendered, RenderError>,
        grace: &Grace,
    ) -> Result<Rendered, Box<Made>> {
        let rendered = match result {
            Ok(rendered) => rendered,
            Err(error) if error.is_cancelled() => {
                return Err(Box::new(Made::Outcome(Outcome::Cancelled)));
            }
            Err(error) => {
                tracing::error!(id = claim.id(), %error, "renderer");
                let problem = error.problem();
                return Err(Box::new(match error.blame() {
                    Blame::Request => Made::Outcome(Outcome::Failed(problem)),
                    Blame::Load => Made::Back(HandBack::Refused(problem)),
                    Blame::Chance => Made::Back(HandBack::Retry(problem)),
                    Blame::Worker => self.own_fault(problem),
                }));
            }
        };
        tracing::info!(
            id = claim.id(),
            backend = rendered.recipe.backend,
            milliseconds = rendered.recipe.duration_ms,
            draining = grace.has_begun(),
            "picture made"
        );
        if claim.cancel().is_cancelled() {
            return Err(Box::new(Made::Outcome(Outcome::Cancelled)));
        }
        Ok(rendered)
    }

    fn own_fault(&self, problem: Problem) -> Made {
        Made::Back(HandBack::WorkerFault {
            worker: self.options.id.clone(),
            problem,
        })
    }
}

fn preview(progress: Progress, png: &[u8]) -> JobPreview {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD.encode(png);
    JobPreview {
        progress,
        image: format!("data:{};base64,{base64}", protocol::PNG_MIME),
    }
}

fn died() -> Problem {
    Problem::new(
        ProblemCode::GenerationFailed,
        "each time the renderer crashed while it made this picture",
    )
}

fn stuck(stall: Duration) -> Problem {
    Problem::new(
        ProblemCode::GenerationFailed,
        format!("the renderer made no step within {} s", stall.as_secs()),
    )
}
