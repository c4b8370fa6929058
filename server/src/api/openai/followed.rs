//! What a request learns of its job, also while the server stops.

use futures::StreamExt;
use protocol::{JobPreview, JobStatus, JobView, Problem, ProblemCode};

use crate::api::Hub;
use crate::jobs::{JobEvent, JobEvents};

/// When a client may send its request again, in seconds: a server that is replaced is there by then.
const AGAIN: u32 = 5;

/// A job that a request waits for.
pub struct Followed {
    hub: Hub,
    id: String,
    events: JobEvents,
    status: JobStatus,
    stopping: bool,
}

/// What becomes known of it.
pub enum News {
    /// What the picture looks like so far.
    Preview(JobPreview),
    /// Its end.
    Ended(Box<JobView>),
}

impl Followed {
    /// Follows a job.
    pub async fn new(hub: &Hub, id: &str) -> Result<Self, Problem> {
        Ok(Self {
            hub: hub.clone(),
            id: id.to_owned(),
            events: hub.queue.events(id).await?,
            status: JobStatus::Queued,
            stopping: false,
        })
    }

    /// The next news. While the server stops, a picture that is being made is waited for as long as its worker has.
    ///
    /// # Errors
    /// [`ProblemCode::QueueUnavailable`] when the picture will not be made here any more; what the queue reports.
    pub async fn next(&mut self) -> Result<News, Problem> {
        loop {
            let event = tokio::select! {
                biased;
                event = self.events.next() => event,
                () = self.hub.stopping.begun(), if !self.stopping => {
                    self.stopping = true;
                    self.check_hope()?;
                    continue;
                }
                () = self.hub.stopping.over(), if self.stopping => return Err(stops()),
            };
            match event {
                Some(JobEvent::Preview(preview)) => return Ok(News::Preview(preview)),
                Some(JobEvent::State { view, .. }) if view.status.is_final() => {
                    return Ok(News::Ended(view));
                }
                Some(JobEvent::State { view, .. }) => {
                    self.status = view.status;
                    self.check_hope()?;
                }
                None => {
                    let view = self.hub.queue.get(&self.id).await?;
                    if view.status.is_final() {
                        return Ok(News::Ended(Box::new(view)));
                    }
                    return Err(stops());
                }
            }
        }
    }

    /// A job that waits in this process's own queue, or was given back to it, is not begun any more.
    fn check_hope(&self) -> Result<(), Problem> {
        if self.stopping && self.status == JobStatus::Queued && !self.hub.queue.goes_on() {
            return Err(stops());
        }
        Ok(())
    }
}

fn stops() -> Problem {
    let mut problem = Problem::new(
        ProblemCode::QueueUnavailable,
        "the server stops before the picture is finished",
    )
    .with_hint(
        "Send the request again in a moment. With the same Idempotency-Key as before it is answered with the pictures \
         that are made meanwhile.",
    );
    problem.retry_after = Some(AGAIN);
    problem
}
