//! What the hub's operator does by the API: models looked at, added and removed.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use protocol::{Addition, AdditionRequest, ModelLook, Problem, ProblemCode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Hub;
use super::error::{ApiError, ApiResult};
use super::extract::{Json, Path, Query};
use super::jobs::KEEP_ALIVE;
use super::visitor::Visitor;
use crate::operator::additions::AdditionId;
use crate::operator::{Operator, read_request};

/// Where the API of operators lies; a bearer token there is theirs.
pub(super) const PREFIX: &str = "/api/v1/operator/";

/// A request of the operator's: it carries the token or a session, and comes from where it may.
pub struct SignedIn(pub Arc<Operator>);

impl FromRequestParts<Hub> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Response> {
        let Some(operator) = &hub.operator else {
            let detail = "models are not added by the pages or the API of this hub";
            let problem = Problem::new(ProblemCode::NotFound, detail)
                .with_hint("Start it with --admin-token to add models from here.");
            return Err(ApiError(problem).into_response());
        };
        let visitor = match Visitor::from_request_parts(parts, hub).await {
            Ok(visitor) => visitor,
            Err(infallible) => match infallible {},
        };
        match operator.let_in(&parts.method, &parts.headers, visitor.network()) {
            Ok(()) => Ok(Self(Arc::clone(operator))),
            Err(problem) => Err(refused(problem)),
        }
    }
}

fn refused(problem: Problem) -> Response {
    let challenges = problem.code == ProblemCode::NotSignedIn;
    let mut response = ApiError(problem).into_response();
    if challenges {
        let bearer = HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, bearer);
    }
    response
}

/// The model to look at.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Looked {
    /// `owner/name`, `owner/name@revision`, or the address of its page on the hub.
    id: String,
    /// Commit, tag or branch; absent: the newest of the main branch.
    revision: Option<String>,
}

/// What adding a model of the hub would take; for the operator.
///
/// Its small files and the headers of its weights are fetched, nothing else.
#[utoipa::path(
    get,
    path = "/api/v1/operator/look",
    operation_id = "lookAtModel",
    tag = "operator",
    security(("operator" = [])),
    params(Looked),
    responses((status = 200, description = "What is known; `refusal` says why it cannot be added", body = ModelLook), ApiError)
)]
pub async fn look(
    SignedIn(operator): SignedIn,
    State(hub): State<Hub>,
    Query(Looked { id, revision }): Query<Looked>,
) -> ApiResult<Response> {
    let request = read_request(AdditionRequest {
        id,
        revision,
        ..AdditionRequest::default()
    })?;
    let look = operator.look(&request, &hub.catalog.now()).await?;
    Ok(uncached(StatusCode::OK, look))
}

/// Models that are, were or could not be added, the newest first; for the operator.
#[utoipa::path(
    get,
    path = "/api/v1/operator/additions",
    operation_id = "listAdditions",
    tag = "operator",
    security(("operator" = [])),
    responses((status = 200, description = "All that are kept", body = [Addition]), ApiError)
)]
pub async fn list(SignedIn(operator): SignedIn) -> ApiResult<Response> {
    Ok(uncached(StatusCode::OK, operator.additions().list().await?))
}

/// Add a model of the hub; for the operator.
///
/// One is added at a time, by one of the servers that share the models folder; the others wait in their order. Stopping and starting
/// servers does not end it.
#[utoipa::path(
    post,
    path = "/api/v1/operator/additions",
    operation_id = "addModel",
    tag = "operator",
    security(("operator" = [])),
    request_body = AdditionRequest,
    responses(
        (status = 202, description = "It waits or is worked on", body = Addition, headers(("location" = String, description = "Address of the addition"))),
        ApiError,
    )
)]
pub async fn add(
    SignedIn(operator): SignedIn,
    State(hub): State<Hub>,
    Json(request): Json<AdditionRequest>,
) -> ApiResult<Response> {
    let catalog = hub.catalog.now();
    let addition = operator.additions().ask(request, &catalog).await?;
    let location = format!("{PREFIX}additions/{}", addition.id);
    let mut response = uncached(StatusCode::ACCEPTED, addition);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// One of the additions; for the operator.
#[utoipa::path(
    get,
    path = "/api/v1/operator/additions/{id}",
    operation_id = "getAddition",
    tag = "operator",
    security(("operator" = [])),
    params(("id" = String, Path, description = "Id of the addition")),
    responses((status = 200, description = "How far it is", body = Addition), ApiError)
)]
pub async fn show(SignedIn(operator): SignedIn, Path(id): Path) -> ApiResult<Response> {
    let addition = operator.additions().get(named(&id)?).await?;
    Ok(uncached(StatusCode::OK, addition))
}

/// Cancel an addition, or forget one that has ended; for the operator.
///
/// Nothing of a cancelled one gets among the models; what was downloaded stays for the next time.
#[utoipa::path(
    delete,
    path = "/api/v1/operator/additions/{id}",
    operation_id = "cancelAddition",
    tag = "operator",
    security(("operator" = [])),
    params(("id" = String, Path, description = "Id of the addition")),
    responses(
        (status = 200, description = "It had ended and is forgotten", body = Addition),
        (status = 202, description = "It ends within a moment", body = Addition),
        ApiError,
    )
)]
pub async fn cancel(SignedIn(operator): SignedIn, Path(id): Path) -> ApiResult<Response> {
    let addition = operator.additions().cancel(named(&id)?).await?;
    let status = match addition.status.is_final() {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    Ok(uncached(status, addition))
}

/// Follow the additions; for the operator.
///
/// Server-sent events `additions`, whose data is the list, now and whenever it has changed.
#[utoipa::path(
    get,
    path = "/api/v1/operator/additions/events",
    operation_id = "followAdditions",
    tag = "operator",
    security(("operator" = [])),
    responses(
        (status = 200, description = "Events, whose data is a list of `Addition`", body = [Addition], content_type = "text/event-stream"),
        ApiError,
    )
)]
pub async fn events(
    SignedIn(operator): SignedIn,
    State(hub): State<Hub>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let lists = Arc::clone(operator.additions()).changes();
    let events = lists.filter_map(async |list| {
        let event = Event::default().event("additions").json_data(list);
        let event = event.inspect_err(|error| tracing::error!(%error, "event"));
        event.ok().map(Ok)
    });
    let stream = events.take_until(hub.stopping.clone().begun_owned());
    Sse::new(stream.boxed()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// Remove a model's package with its files; for the operator.
#[utoipa::path(
    delete,
    path = "/api/v1/operator/models/{owner}/{name}",
    operation_id = "removeModel",
    tag = "operator",
    security(("operator" = [])),
    params(("owner" = String, Path, description = "Creator"), ("name" = String, Path, description = "Name")),
    responses((status = 204, description = "Its files are gone; servers and workers notice within seconds"), ApiError)
)]
pub async fn remove(
    SignedIn(operator): SignedIn,
    State(hub): State<Hub>,
    axum::extract::Path((owner, name)): axum::extract::Path<(String, String)>,
) -> ApiResult<StatusCode> {
    let id = format!("{owner}/{name}");
    if hub.catalog.now().get(&id).is_none() {
        let detail = format!("this hub has no package of {id:?}");
        return Err(Problem::new(ProblemCode::UnknownModel, detail).into());
    }
    operator.remove(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An addition's name.
pub(crate) fn named(id: &str) -> Result<AdditionId, Problem> {
    id.parse()
        .map_err(|()| Problem::new(ProblemCode::NotFound, "there is no such addition"))
}

fn uncached(status: StatusCode, body: impl serde::Serialize) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store")];
    (status, headers, axum::Json(body)).into_response()
}
