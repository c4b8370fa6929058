//! Pictures that the server makes.

pub mod submit;

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use protocol::{JobCreated, JobRequest, JobView, Problem, Visibility};
use serde::Deserialize;
use tracing::Instrument;

use super::Hub;
use super::error::{ApiError, ApiResult};
use super::extract::{Json, Path, Query};
use super::visitor::{Visitor, set_cookie};
use crate::images::Keeping;
use crate::jobs::key::fingerprint;
use crate::jobs::queue::no_such_job;
use crate::jobs::{JobEvent, JobEvents, JobKey, Submission};
use crate::limits::ClientKey;

use submit::Beginning;
pub(super) use submit::MAX_KEY_BYTES;

/// Comment lines keep proxies from closing a quiet stream.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
pub struct Choice {
    visibility: Option<Visibility>,
    unlisted: Option<bool>,
}

impl Choice {
    /// Who is to see the picture, where that was asked for.
    fn visibility(&self) -> Option<Visibility> {
        let unlisted = self.unlisted == Some(true);
        self.visibility.or(unlisted.then_some(Visibility::Unlisted))
    }
}

/// Have a picture made. It belongs to the client's owner cookie, which a client without one gets.
///
/// Unless `visibility` says otherwise, only its owner sees the picture, and it expires unless it is saved by a PATCH of
/// its visibility.
///
/// With an `Idempotency-Key` header, repeating the request gives the same job, whatever has become of it. Keys belong to
/// the client that sends them: the API key, else the owner cookie; who has neither is a new client. `resume` hands a
/// picture over that was begun elsewhere: only the steps after `resume.step` are made. `start` names a picture to begin
/// with, announced at `/api/v1/inputs` before or one of the hub's.
#[utoipa::path(
    post,
    path = "/api/v1/jobs",
    operation_id = "createJob",
    tag = "jobs",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 ASCII characters, a new one for every new request"),
        ("visibility" = Option<Visibility>, Query, description = "Keep the picture, for these to see"),
        ("unlisted" = Option<bool>, Query, description = "`true` stands for `visibility=unlisted`"),
    ),
    request_body = JobRequest,
    responses(
        (status = 202, description = "Queued", body = JobCreated, headers(("location" = String, description = "Address of the job"))),
        ApiError,
    )
)]
pub async fn create(
    State(hub): State<Hub>,
    visitor: Visitor,
    Query(choice): Query<Choice>,
    headers: HeaderMap,
    Json(JobRequest {
        request,
        resume,
        start,
    }): Json<JobRequest>,
) -> ApiResult<Response> {
    let key = submit::idempotency_key(&headers)?;
    let told = (&request, &resume, choice.visibility());
    let fingerprint = match &start {
        // As versions wrote it that knew no pictures to begin with.
        None => fingerprint("/api/v1/jobs", &told)?,
        Some(start) => fingerprint("/api/v1/jobs", &(told, start))?,
    };
    let beginning = start
        .map(|start| Beginning::named(start, &hub, &request.model, &visitor))
        .transpose()?;
    let asking = visitor.asking();
    let (client, cookie) = visitor.client(&hub)?;
    // A client that is told apart from now on has keys of its own from now on.
    let scope = match &asking.client {
        ClientKey::ApiKey(name) => ClientKey::ApiKey(name.clone()),
        _ => ClientKey::Owner(client.owner.clone()),
    };
    let drawn = crate::random::seed().map_err(internal)?;
    let catalog = hub.catalog.now();
    let request = catalog.resolve(request, drawn)?;
    catalog.runs_on_servers(&request.model)?;
    if let Some(resume) = &resume {
        let strength = beginning.as_ref().map(|beginning| beginning.strength);
        catalog.check_resume(&request, resume, strength)?;
    }
    let submission = Submission {
        request,
        resume,
        start: None,
        fingerprint,
        idempotency_key: key.map(|key| JobKey::new(&scope, &key, None)),
        keeping: Keeping {
            owner: Some(client.owner),
            visibility: choice.visibility(),
        },
        client: asking.client.clone(),
        network: asking.network,
        allowance: Some(hub.limits.allowance(&asking)),
    };
    // A task of its own, so that a client that leaves half-way leaves nothing half-done.
    let submitting = tokio::spawn(
        async move { submit::submit(&hub, &asking, vec![submission], beginning).await }
            .in_current_span(),
    );
    let created = submitting
        .await
        .map_err(internal)??
        .pop()
        .ok_or_else(|| internal("the queue did not say what it took"))?;
    let location = format!("/api/v1/jobs/{}", created.id);
    let mut response = (
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        axum::Json(created),
    )
        .into_response();
    set_cookie(response.headers_mut(), cookie);
    Ok(response)
}

/// The state of a job; only for the client that asked for it.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}",
    operation_id = "getJob",
    tag = "jobs",
    params(("id" = String, Path, description = "Id of the job")),
    responses((status = 200, description = "Its state", body = JobView), ApiError)
)]
pub async fn show(State(hub): State<Hub>, visitor: Visitor, Path(id): Path) -> ApiResult<Response> {
    check_holder(&hub, &visitor, &id).await?;
    Ok(uncached(StatusCode::OK, hub.queue.get(&id).await?))
}

/// Stop a job; only for the client that asked for it.
///
/// A queued job ends at once, a running one within a step; a finished one stays as it is.
#[utoipa::path(
    delete,
    path = "/api/v1/jobs/{id}",
    operation_id = "cancelJob",
    tag = "jobs",
    params(("id" = String, Path, description = "Id of the job")),
    responses(
        (status = 200, description = "It has ended", body = JobView),
        (status = 202, description = "It will end within a step", body = JobView),
        ApiError,
    )
)]
pub async fn cancel(
    State(hub): State<Hub>,
    visitor: Visitor,
    Path(id): Path,
) -> ApiResult<Response> {
    check_holder(&hub, &visitor, &id).await?;
    let view = hub.queue.cancel(&id).await?;
    let status = if view.status.is_final() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok(uncached(status, view))
}

/// Follow a job; only for the client that asked for it.
///
/// Server-sent events: `state` with the job's state and an id, `preview` with what the picture looks like so far. The
/// current state comes first, unless `Last-Event-ID` names it; the final state ends the stream.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/events",
    operation_id = "followJob",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "Id of the job"),
        ("Last-Event-ID" = Option<String>, Header, description = "Id of the last event that was seen"),
    ),
    responses(
        (status = 200, description = "Events, whose data is `JobView` or `JobPreview`", body = JobView, content_type = "text/event-stream"),
        ApiError,
    )
)]
pub async fn events(
    State(hub): State<Hub>,
    visitor: Visitor,
    Path(id): Path,
    headers: HeaderMap,
) -> ApiResult<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    check_holder(&hub, &visitor, &id).await?;
    let seen = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok());
    let stream = event_stream(hub.queue.events(&id).await?, seen)
        .take_until(hub.stopping.clone().begun_owned());
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// The current state first, unless the client has it; the final state always, since it ends the stream.
fn event_stream(
    events: JobEvents,
    seen: Option<u64>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    events.filter_map(move |event| {
        let event = match &event {
            JobEvent::State { number, view }
                if seen == Some(*number) && !view.status.is_final() =>
            {
                None
            }
            JobEvent::State { number, view } => written(
                Event::default()
                    .event("state")
                    .id(number.to_string())
                    .json_data(view),
            ),
            JobEvent::Preview(preview) => {
                written(Event::default().event("preview").json_data(preview))
            }
        };
        std::future::ready(event.map(Ok))
    })
}

fn written(event: Result<Event, axum::Error>) -> Option<Event> {
    event
        .inspect_err(|error| tracing::error!(%error, "event"))
        .ok()
}

fn uncached(status: StatusCode, view: JobView) -> Response {
    (
        status,
        [(header::CACHE_CONTROL, "no-store")],
        axum::Json(view),
    )
        .into_response()
}

/// Answers as for a job that does not exist where it is somebody else's: its prompt and its picture are theirs alone.
async fn check_holder(hub: &Hub, visitor: &Visitor, id: &str) -> Result<(), Problem> {
    let holder = hub.queue.holder(id).await?;
    if visitor.may_follow(&holder) {
        Ok(())
    } else {
        Err(no_such_job())
    }
}

fn internal(error: impl std::fmt::Display) -> ApiError {
    tracing::error!("job: {error:#}");
    super::internal_error()
}
