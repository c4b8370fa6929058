//! Errors on the wire: `application/problem+json` (RFC 9457).

use std::collections::BTreeMap;

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use protocol::{Problem, ProblemCode};
use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};

use crate::telemetry::access::Refused;

/// A problem as a response.
#[derive(Clone, Debug)]
pub struct ApiError(pub Problem);

impl IntoResponses for ApiError {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let problem = ContentBuilder::new()
            .schema(Some(RefOr::Ref(Ref::from_schema_name("Problem"))))
            .build();
        let response = ResponseBuilder::new()
            .description("A problem (RFC 9457)")
            .content("application/problem+json", problem)
            .build();
        BTreeMap::from([("default".to_owned(), response.into())])
    }
}

/// Result of a handler.
pub type ApiResult<T> = Result<T, ApiError>;

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = problem.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(limit) = problem.limit {
            response.extensions_mut().insert(Refused(limit));
        }
        response
    }
}

/// Answer to an address of the API that does not exist.
pub fn not_found(uri: &Uri) -> ApiError {
    let path: String = uri.path().chars().take(80).collect();
    ApiError(
        Problem::new(ProblemCode::NotFound, format!("there is nothing at {path}"))
            .with_hint("The API lies under /api/v1."),
    )
}

/// Answer to a method that an address does not take; `OPTIONS` asks which it does. The router adds `Allow`.
pub async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    ApiError(Problem::new(
        ProblemCode::MethodNotAllowed,
        format!("{method} is not possible here"),
    ))
    .into_response()
}

/// Notes an error that is the server's own and gives what the client may know of it.
pub fn internal(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "request");
    Problem::new(ProblemCode::Internal, "the request could not be handled")
}

/// Answer after a panic.
pub fn internal_error() -> ApiError {
    ApiError(
        Problem::new(ProblemCode::Internal, "the request could not be handled")
            .with_hint("Try again; the server has noted the failure."),
    )
}
