//! Pictures as server-sent events.

use std::convert::Infallible;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use protocol::{JobPreview, Problem};

use super::answer::{StreamEvent, Usage};
use super::error::OpenAiError;
use super::followed::{Followed, News};
use super::jobs::{self, Jobs};
use super::request::Plan;
use super::unix_seconds;
use crate::api::Hub;

/// What one job's events become.
struct Follower {
    followed: Followed,
    hub: Hub,
    size: String,
    partial_images: u32,
    events: &'static str,
    sent: u32,
    ended: bool,
}

/// Streams the pictures of `jobs`. While the server stops, those that are being made are waited for.
pub fn respond(jobs: Jobs, plan: Plan) -> Response {
    Sse::new(all(jobs, plan))
        .keep_alive(KeepAlive::new().interval(crate::api::jobs::KEEP_ALIVE))
        .into_response()
}

fn all(jobs: Jobs, plan: Plan) -> impl Stream<Item = Result<Event, Infallible>> {
    let begin = async move {
        let mut followers: Vec<BoxStream<'static, Event>> = Vec::new();
        for id in &jobs.ids {
            match Followed::new(&jobs.hub, id).await {
                Ok(followed) => followers.push(
                    Follower {
                        followed,
                        hub: jobs.hub.clone(),
                        size: plan.size(),
                        partial_images: plan.partial_images,
                        events: plan.events,
                        sent: 0,
                        ended: false,
                    }
                    .stream(),
                ),
                Err(problem) => followers.push(stream::iter(error(problem)).boxed()),
            }
        }
        // Held until the last event, so that a client that leaves earlier ends the jobs. Those that are not finished
        // by then were given up.
        let last = stream::once(async move {
            let mut jobs = jobs;
            jobs.give_up().await;
        })
        .filter_map(|()| async { None });
        stream::select_all(followers).chain(last)
    };
    stream::once(begin).flatten().map(Ok)
}

impl Follower {
    fn stream(self) -> BoxStream<'static, Event> {
        stream::unfold(self, |mut follower| async move {
            let event = follower.next().await?;
            Some((event, follower))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Event> {
        while !self.ended {
            let event = match self.followed.next().await {
                Ok(News::Preview(preview)) => self.partial(&preview),
                Ok(News::Ended(view)) => {
                    self.ended = true;
                    match jobs::picture(&self.hub, &view).await {
                        Ok((_, base64)) => self.event("completed", base64, None),
                        Err(problem) => error(problem),
                    }
                }
                Err(problem) => {
                    self.ended = true;
                    error(problem)
                }
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// The previews nearest after the even divisions of the steps.
    fn partial(&mut self, preview: &JobPreview) -> Option<Event> {
        let (step, total) = (preview.progress.step, preview.progress.total_steps);
        if self.sent >= self.partial_images
            || step * (self.partial_images + 1) < total * (self.sent + 1)
        {
            return None;
        }
        let (_, base64) = preview.image.split_once(";base64,")?;
        let event = self.event("partial_image", base64.to_owned(), Some(self.sent));
        self.sent += 1;
        event
    }

    fn event(&self, what: &str, b64_json: String, partial: Option<u32>) -> Option<Event> {
        let kind = format!("{}.{what}", self.events);
        let data = StreamEvent {
            kind: kind.clone(),
            b64_json,
            created_at: unix_seconds(),
            size: self.size.clone(),
            quality: "auto",
            background: "opaque",
            output_format: "png",
            partial_image_index: partial,
            usage: partial.is_none().then(Usage::default),
        };
        written(Event::default().event(kind).json_data(data))
    }
}

fn error(problem: Problem) -> Option<Event> {
    let body = OpenAiError::from(problem).body();
    written(Event::default().event("error").json_data(body))
}

fn written(event: Result<Event, axum::Error>) -> Option<Event> {
    event
        .inspect_err(|error| tracing::error!(%error, "event"))
        .ok()
}
