//! Extractors whose rejections are problems.

mod reading;

use std::error::Error;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use protocol::{Problem, ProblemCode};
use serde::de::DeserializeOwned;

use super::MAX_BODY_BYTES;
use super::error::ApiError;
use crate::serving::BodyTimedOut;

/// Largest body of a route, in bytes, as an extension; [`MAX_BODY_BYTES`] where there is none.
#[derive(Clone, Copy)]
pub struct BodyLimit(pub usize);

/// A JSON body.
pub struct Json<T>(pub T);

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let JsonBytes(bytes) = read(request).await?;
        Ok(Self(reading::json(&bytes)?))
    }
}

/// The bytes of a body that says it is JSON.
pub struct JsonBytes(pub Bytes);

/// Reads a body that is marked as JSON and not too large.
pub async fn read(request: Request) -> Result<JsonBytes, Problem> {
    if !is_json(request.headers()) {
        return Err(Problem::new(
            ProblemCode::UnsupportedType,
            "the body is not marked as JSON",
        )
        .with_hint("Send it with content-type: application/json."));
    }
    let limit = request.extensions().get::<BodyLimit>();
    let limit = limit.map_or(MAX_BODY_BYTES, |limit| limit.0);
    let body: Body = request.into_body();
    // What says that it is too large is not even begun: a client that asked first is told before it sends.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(JsonBytes(collected.to_bytes())),
        Err(error) => Err(unread(&*error)),
    }
}

/// Most bytes of the texts of a form.
pub const MAX_TEXT_BYTES: usize = MAX_BODY_BYTES;

/// The body is larger than its address accepts.
pub fn too_large() -> Problem {
    Problem::new(
        ProblemCode::BodyTooLarge,
        "the body has more bytes than this address accepts",
    )
    .with_hint("Shorten the prompt, or send a smaller file.")
}

/// Why a body could not be read to its end.
pub fn unread(error: &(dyn Error + 'static)) -> Problem {
    if is_due_to::<LengthLimitError>(error) {
        return too_large();
    }
    if is_due_to::<BodyTimedOut>(error) {
        return Problem::new(
            ProblemCode::RequestTimeout,
            "the rest of the body did not come in time",
        )
        .with_hint("Send the request again.");
    }
    Problem::new(ProblemCode::MalformedRequest, "the body broke off")
}

fn is_due_to<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<E>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// `application/json` or a type that is written as JSON (RFC 6839, 3.1).
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let Some(value) = value.and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let name = value.split(';').next().unwrap_or_default().trim();
    let name = name.to_ascii_lowercase();
    name == "application/json" || (name.starts_with("application/") && name.ends_with("+json"))
}

/// The query string.
pub struct Query<T>(pub T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(reading::query(parts.uri.query().unwrap_or_default())?))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn json_is_marked_as_such() {
        for (value, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/problem+json", true),
            ("text/json", false),
            ("text/plain", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(is_json(&headers), json, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
