//! Bringing what a job begins with from the store.

use diffusion::{Begun, StartFiles};
use futures::future::OptionFuture;
use protocol::{Problem, ProblemCode};
use tokio::time::{MissedTickBehavior, interval};

use super::{Made, Worker};
use crate::grace::Grace;
use crate::jobs::claim::Claim;
use crate::jobs::queue::{HandBack, Outcome, WorkerStatus};
use crate::jobs::start::JobStart;

impl Worker {
    /// The picture that the job begins with, if it begins with one, or what becomes of a job that cannot have it.
    pub(super) async fn begun(
        &self,
        claim: &dyn Claim,
        status: &WorkerStatus,
        grace: &Grace,
    ) -> Result<Option<Begun>, Box<Made>> {
        let Some(start) = claim.start() else {
            return Ok(None);
        };
        let fetching = async {
            tokio::select! {
                begun = self.fetch(claim, start) => begun.map(Some).map_err(|problem| Box::new(end(problem))),
                () = grace.over() => Err(Box::new(Made::Back(HandBack::Draining))),
            }
        };
        let mut fetching = std::pin::pin!(self.beating(status, fetching));
        let mut keep = interval(claim.keep_interval());
        keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                begun = &mut fetching => return begun,
                _ = keep.tick() => claim.keep().await,
            }
        }
    }

    async fn fetch(&self, claim: &dyn Claim, start: &JobStart) -> Result<Begun, Problem> {
        let mask = OptionFuture::from(start.mask.as_ref().map(|mask| self.images.input_file(mask)));
        let files = StartFiles {
            image: self.images.input_file(&start.image).await?,
            mask: mask.await.transpose()?,
            mask_by: start.mask_by,
            strength: start.strength,
        };
        let request = claim.request();
        let (Some(width), Some(height)) = (request.width, request.height) else {
            return Err(Problem::new(
                ProblemCode::Internal,
                "the job does not say how large its picture is",
            ));
        };
        let read = tokio::task::spawn_blocking(move || files.read(width, height)).await;
        read.map_err(|error| {
            tracing::error!(id = claim.id(), %error, "reading what the job begins with");
            Problem::new(ProblemCode::Internal, "the picture could not be read")
        })?
        .map_err(|why| Problem::new(ProblemCode::UnreadablePicture, why))
    }
}

/// A store that is away costs no attempt: nothing was begun. What is gone, or no picture, stays so.
fn end(problem: Problem) -> Made {
    if problem.status >= 500 {
        Made::Back(HandBack::Refused(problem))
    } else {
        Made::Outcome(Outcome::Failed(problem))
    }
}
