//! A run on the server: a job, followed by server-sent events and, where these fail, by asking.

use futures::future::{Either, select};
use futures::stream::{Select, StreamExt, select as merge};
use gloo_net::eventsource::futures::{EventSource, EventSourceSubscription};
use protocol::{Decision, JobCreated, JobPreview, JobStatus, JobView, Problem, ProblemCode};

use super::drive::Drive;
use super::kept::{self, KeptJob};
use super::steering::Steering;
use super::{Order, Stop};
use crate::browser::{api, time};
use crate::runs::picture::Picture;
use crate::runs::run::{Finished, Kept};

/// Without an event for this long the job is asked for.
const SILENCE_MS: i32 = 15_000;
/// Pause before asking again where events do not come.
const PAUSE_MS: i32 = 1_000;
/// Unanswered questions in a row after which the server counts as gone.
const ATTEMPTS: u32 = 30;

/// Makes the picture on the server.
pub(super) async fn render(
    drive: &Drive,
    decision: Decision,
    steering: &mut Steering,
) -> Result<Finished, Stop> {
    let id = submit(drive).await.map_err(Stop::Failed)?;
    kept::keep(&KeptJob {
        id: id.clone(),
        decision,
    });
    follow(drive, &id, steering).await
}

/// Hands the job over; sent again under the same key where the answer was lost, it is still one job.
async fn submit(drive: &Drive) -> Result<String, Problem> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| {
        Problem::new(
            ProblemCode::Internal,
            format!("the browser gave no random number: {error}"),
        )
    })?;
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let job = drive.job().await?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        match api::post_once::<JobCreated>("/api/v1/jobs", &key, &job).await {
            Ok(job) => return Ok(job.id),
            Err(problem) if attempt < 3 && may_pass(&problem) => time::sleep(PAUSE_MS).await,
            Err(problem) => return Err(problem),
        }
    }
}

/// No answer, or one that says nothing about the request.
fn may_pass(problem: &Problem) -> bool {
    matches!(
        problem.code,
        ProblemCode::Internal | ProblemCode::QueueUnavailable
    )
}

/// The state of a job; `None` when the server no longer knows it.
pub(super) async fn find(id: &str) -> Result<Option<JobView>, Problem> {
    let url = format!("/api/v1/jobs/{id}");
    let mut unanswered = 0;
    loop {
        match api::get(&url).await {
            Ok(view) => return Ok(Some(view)),
            Err(problem) if problem.code == ProblemCode::NotFound => return Ok(None),
            Err(problem) => {
                unanswered += 1;
                if unanswered >= ATTEMPTS {
                    return Err(problem);
                }
                time::sleep(PAUSE_MS).await;
            }
        }
    }
}

/// Follows a job to its picture.
pub(super) async fn follow(
    drive: &Drive,
    id: &str,
    steering: &mut Steering,
) -> Result<Finished, Stop> {
    let url = format!("/api/v1/jobs/{id}");
    let mut follow = Follow::new(url.clone());
    let ended = loop {
        let told = match select(
            std::pin::pin!(follow.next()),
            std::pin::pin!(steering.cancelled()),
        )
        .await
        {
            Either::Left((told, _)) => told,
            Either::Right(_) => {
                break Err(match api::delete(&url).await {
                    Ok(()) => Stop::Cancelled,
                    Err(problem) => Stop::Failed(problem),
                });
            }
        };
        match told {
            Ok(Told::State(view)) => match apply(drive, *view) {
                Ok(None) => {}
                Ok(Some(done)) => break Ok(done),
                Err(stop) => break Err(stop),
            },
            Ok(Told::Preview(preview)) => drive.update(|r| r.preview = Some(preview.image)),
            // The job may still be made: a reload looks for it once more.
            Err(problem) if problem.code != ProblemCode::NotFound => {
                return Err(Stop::Failed(problem));
            }
            Err(problem) => break Err(Stop::Failed(problem)),
        }
    };
    kept::forget(id);
    ended
}

/// Shows a state; gives the picture when there is one.
fn apply(drive: &Drive, view: JobView) -> Result<Option<Finished>, Stop> {
    match view.status {
        JobStatus::Queued => {
            let eta_ms = view.eta_ms.map(|ms| ms as f64);
            drive.update(|r| match view.postponed {
                Some(postponed) => r.postpone(postponed.reason.detail, eta_ms),
                None => r.queue(view.queue_position, eta_ms),
            });
        }
        JobStatus::Generating => drive.update(|r| {
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
            let Order { model, request, .. } = &drive.order;
            let (width, height) = model.size_of(&request.clone().into());
            return Ok(Some(Finished {
                picture: Picture::Stored(image.url),
                width,
                height,
                backend: view.backend.unwrap_or_default(),
                adapter: String::new(),
                duration_ms: None,
                made_here: None,
                kept: Some(Kept {
                    id: view.id,
                    expires_at: image.expires_at,
                }),
            }));
        }
    }
    Ok(None)
}

/// What is told of a job.
enum Told {
    State(Box<JobView>),
    Preview(JobPreview),
}

/// The states of a job, one after the other, and its previews.
struct Follow {
    url: String,
    events: Option<Events>,
    unanswered: u32,
}

/// An open stream of events; dropping the source closes it.
struct Events {
    _source: EventSource,
    events: Select<EventSourceSubscription, EventSourceSubscription>,
}

impl Events {
    /// `None`: without events the job is asked for, which is slower but sees the same.
    fn open(url: &str) -> Option<Self> {
        let mut source = EventSource::new(&format!("{url}/events")).ok()?;
        let states = source.subscribe("state").ok()?;
        let previews = source.subscribe("preview").ok()?;
        Some(Self {
            _source: source,
            events: merge(states, previews),
        })
    }
}

impl Follow {
    fn new(url: String) -> Self {
        Self {
            events: Events::open(&url),
            url,
            unanswered: 0,
        }
    }

    async fn next(&mut self) -> Result<Told, Problem> {
        if let Some(open) = &mut self.events {
            match time::within(SILENCE_MS, open.events.next()).await {
                Some(Some(Ok((name, event)))) => {
                    let json = event.data().as_string().unwrap_or_default();
                    let told = if name == "preview" {
                        serde_json::from_str(&json).map(Told::Preview)
                    } else {
                        serde_json::from_str(&json).map(Told::State)
                    };
                    if let Ok(told) = told {
                        self.unanswered = 0;
                        return Ok(told);
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
                    // Whoever answers can tell of events too, such as another replica.
                    if self.events.is_none() {
                        self.events = Events::open(&self.url);
                    }
                    return Ok(Told::State(view));
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
