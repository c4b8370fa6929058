//! `POST /v1/images/generations`: the OpenAI images API over the same jobs
//! (<https://platform.openai.com/docs/api-reference/images/create>).

mod answer;
pub mod edits;
mod error;
mod followed;
mod form;
mod jobs;
mod members;
mod request;
mod stream;

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use protocol::{Problem, ProblemCode};
use tracing::Instrument;

use super::Hub;
use super::error::internal;
use super::jobs::submit::{Beginning, idempotency_key};
use super::visitor::Visitor;
use answer::{ErrorBody, ImagesResponse, StreamEvent};
pub use error::OpenAiError;
use form::Form;
use jobs::Jobs;
use request::{ImagesRequest, Plan};

/// Make pictures, as the OpenAI images API does.
///
/// Each picture is a job of its own; picture i has the seed `seed + i`. The answer comes when all are done, or, with
/// `stream`, as server-sent events `image_generation.partial_image` and `image_generation.completed`. All pictures are
/// accepted or none. Those that are not yet made when the client leaves are not made, unless it sent an
/// `Idempotency-Key`.
#[utoipa::path(
    post,
    path = "/v1/images/generations",
    operation_id = "createImages",
    tag = "openai",
    request_body = ImagesRequest,
    responses(
        (status = 200, description = "The pictures", content(
            (ImagesResponse = "application/json"),
            (StreamEvent = "text/event-stream"),
        )),
        (status = "default", description = "An error in OpenAI's form", body = ErrorBody),
    )
)]
pub async fn create(
    State(hub): State<Hub>,
    visitor: Visitor,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, OpenAiError> {
    let request = ImagesRequest::parse(&super::extract::read(request).await?.0)?;
    let plan = Plan::new(request, &hub.catalog.now())?;
    let key = idempotency_key(&headers)?;
    answer(hub, visitor, plan, None, key).await
}

/// Has the pictures of a plan made. What they begin with comes with the form that it was in, which is held until it is
/// stored.
async fn answer(
    hub: Hub,
    visitor: Visitor,
    plan: Plan,
    begun: Option<(Beginning, Form)>,
    key: Option<String>,
) -> Result<Response, OpenAiError> {
    // A task of its own, so that a client that leaves half-way leaves nothing half-done: what it began is taken in whole,
    // and cancelled with the answer that nobody waits for.
    let submitting = tokio::spawn(
        async move {
            let (beginning, _form) = begun.unzip();
            let jobs = Jobs::submit(&hub, &visitor, &plan, beginning, key).await?;
            Ok::<_, Problem>((jobs, plan))
        }
        .in_current_span(),
    );
    let (jobs, plan) = submitting.await.map_err(internal)??;
    if plan.stream {
        return Ok(stream::respond(jobs, plan));
    }
    let data = jobs.wait(plan.format).await?;
    let answer = ImagesResponse {
        created: unix_seconds(),
        data,
        background: "opaque",
        output_format: "png",
        size: plan.size(),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(answer)).into_response())
}

/// A browser sends forms without asking first, also for pages of origins that may not use this address.
fn from_here(hub: &Hub, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let own = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "same-origin")
        || origin == hub.public_url.as_str();
    if own || hub.api_origins.allowed(origin).is_some() {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::MalformedRequest,
        "pages of this origin may not use this address",
    ))
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}
