//! Extractors whose rejections are problems.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use protocol::{Problem, ProblemCode};
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// A JSON body.
pub struct Json<T>(pub T);

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(ApiError(json_problem(&rejection))),
        }
    }
}

pub(super) fn json_problem(rejection: &JsonRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(
            ProblemCode::BodyTooLarge,
            "the body has more bytes than this address accepts",
        )
        .with_hint("Shorten the prompt.");
    }
    if matches!(rejection, JsonRejection::MissingJsonContentType(_)) {
        return Problem::new(
            ProblemCode::UnsupportedType,
            "the body is not marked as JSON",
        )
        .with_hint("Send it with content-type: application/json.");
    }
    // The text may quote the body.
    let detail: String = rejection.body_text().chars().take(300).collect();
    Problem::new(ProblemCode::MalformedRequest, detail)
}

/// The query string.
pub struct Query<T>(pub T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let detail: String = rejection.body_text().chars().take(300).collect();
                Err(ApiError(Problem::new(
                    ProblemCode::MalformedRequest,
                    detail,
                )))
            }
        }
    }
}

/// The one parameter of the path.
pub struct Path(pub String);

impl<S> FromRequestParts<S> for Path
where
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::<String>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(super::error::not_found(&parts.uri)),
        }
    }
}
