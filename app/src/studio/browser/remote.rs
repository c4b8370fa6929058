//! A run on the server: a job, followed by server-sent events and, where these fail, by asking.

use futures::StreamExt;
use futures::future::{Either, select};
use gloo_net::eventsource::futures::{EventSource, EventSourceSubscription};
use protocol::{JobCreated, JobStatus, JobView, Problem, ProblemCode};

use super::{Cancelled, Stop, Task, time};
use crate::api;
use crate::studio::run::{Finished, Phase};

/// Without an event for this long the job is asked for.
const SILENCE_MS: i32 = 15_000;
/// Pause before asking again where events do not come.
const PAUSE_MS: i32 = 1_000;
/// Unanswered questions in a row after which the server counts as gone.
const ATTEMPTS: u32 = 5;

/// Makes the picture on the server.
pub(super) async fn render(task: &Task, cancelled: &mut Cancelled) -> Result<Finished, Stop> {
    let job: JobCreated = api::post("/api/v1/jobs", &task.request)
        .await
        .map_err(Stop::Failed)?;
    let url = format!("/api/v1/jobs/{}", job.id);
    let mut follow = Follow::new(url.clone());
    loop {
        let view = match select(std::pin::pin!(follow.next()), &mut *cancelled).await {
            Either::Left((view, _)) => Some(view.map_err(Stop::Failed)?),
            Either::Right(_) => None,
        };
        let Some(view) = view else {
            return Err(match api::delete(&url).await {
                Ok(()) => Stop::Cancelled,
                // It finished first; the picture stays listed, but was not wanted.
                Err(problem) if problem.code == ProblemCode::Conflict => Stop::Cancelled,
                Err(problem) => Stop::Failed(problem),
            });
        };
        if let Some(done) = apply(task, view)? {
            return Ok(done);
        }
    }
}

/// Shows a state; gives the picture when there is one.
fn apply(task: &Task, view: JobView) -> Result<Option<Finished>, Stop> {
    match view.status {
        JobStatus::Queued => task.update(|r| {
            r.phase = Phase::Queued {
                ahead: view.queue_position,
            };
        }),
        JobStatus::Generating => task.update(|r| {
            r.step(
                view.progress.step,
                view.progress.total_steps,
                time::now_ms(),
            );
        }),
        JobStatus::Cancelled => return Err(Stop::Cancelled),
        JobStatus::Failed => {
            return Err(Stop::Failed(view.error.unwrap_or_else(|| {
                Problem::new(ProblemCode::GenerationFailed, "the server gave no reason")
            })));
        }
        JobStatus::Completed => {
            let image = view.image.ok_or_else(|| {
                Stop::Failed(Problem::new(
                    ProblemCode::Internal,
                    "the server finished without a picture",
                ))
            })?;
            return Ok(Some(Finished {
                url: image.url,
                width: task.model.width,
                height: task.model.height,
                backend: view.backend.unwrap_or_default(),
                adapter: String::new(),
                duration_ms: None,
                made_here: None,
                permalink: Some(image.permalink),
            }));
        }
    }
    Ok(None)
}

/// The states of a job, one after the other.
struct Follow {
    url: String,
    events: Option<(EventSource, EventSourceSubscription)>,
    unanswered: u32,
}

impl Follow {
    fn new(url: String) -> Self {
        let events = EventSource::new(&format!("{url}/events"))
            .and_then(|mut source| source.subscribe("state").map(|events| (source, events)));
        Self {
            url,
            // Without events the job is asked for, which is slower but sees the same.
            events: events.ok(),
            unanswered: 0,
        }
    }

    async fn next(&mut self) -> Result<JobView, Problem> {
        if let Some((_, events)) = &mut self.events {
            match time::within(SILENCE_MS, events.next()).await {
                Some(Some(Ok((_, event)))) => {
                    let json = event.data().as_string().unwrap_or_default();
                    if let Ok(view) = serde_json::from_str(&json) {
                        return Ok(view);
                    }
                    self.events = None;
                }
                Some(Some(Err(_)) | None) => {
                    self.events = None;
                    time::sleep(PAUSE_MS).await;
                }
                None => {}
            }
        } else {
            time::sleep(PAUSE_MS).await;
        }
        loop {
            match api::get(&self.url).await {
                Ok(view) => {
                    self.unanswered = 0;
                    return Ok(view);
                }
                Err(problem) if problem.code == ProblemCode::NotFound => return Err(problem),
                Err(problem) => {
                    self.unanswered += 1;
                    if self.unanswered >= ATTEMPTS {
                        return Err(problem);
                    }
                    time::sleep(PAUSE_MS).await;
                }
            }
        }
    }
}
