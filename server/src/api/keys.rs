//! `Authorization: Bearer` with an API key.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use protocol::{Problem, ProblemCode};

use super::Hub;
use super::error::ApiError;
use super::openai::OpenAiError;
use crate::limits::ApiKey;

/// The key of a request, as the extractors find it.
#[derive(Clone)]
pub struct Known(pub Arc<ApiKey>);

/// Refuses keys that this hub does not know, in the form of the API that was asked. Without a list of keys nobody's is
/// looked at: OpenAI's clients always send one.
pub async fn check(State(hub): State<Hub>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let openai = path.starts_with("/v1/");
    let of_operator = path.starts_with(super::operator::PREFIX);
    let keyed = openai || (path.starts_with("/api/v1/") && !of_operator);
    if hub.limits.keys().is_empty() || !keyed {
        return next.run(request).await;
    }
    let Some(sent) = bearer(request.headers()) else {
        return next.run(request).await;
    };
    match sent.and_then(|sent| hub.limits.keys().find(sent)) {
        Some(key) => {
            let key = Known(Arc::clone(key));
            request.extensions_mut().insert(key);
            next.run(request).await
        }
        None => refused(openai),
    }
}

/// The bearer token; `Some(None)` where it is no text.
fn bearer(headers: &HeaderMap) -> Option<Option<&str>> {
    let value = headers.get(header::AUTHORIZATION)?;
    let Ok(text) = value.to_str() else {
        return Some(None);
    };
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    // Names of schemes are the same in capitals (RFC 9110, 11.1).
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| Some(token.trim()))
}

fn refused(openai: bool) -> Response {
    let problem = Problem::new(
        ProblemCode::InvalidApiKey,
        "this hub does not know the API key that was sent",
    )
    .with_hint("Ask the operator for a key, or send the request without one.");
    let mut response = if openai {
        OpenAiError::from(problem).into_response()
    } else {
        ApiError(problem).into_response()
    };
    let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_is_found_behind_its_scheme() {
        let found = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::AUTHORIZATION,
                HeaderValue::from_bytes(value).unwrap(),
            );
            bearer(&headers).map(|token| token.map(str::to_owned))
        };
        let token = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(found(b"Bearer abc"), token("abc"));
        assert_eq!(found(b"bearer  abc "), token("abc"));
        assert_eq!(found(b"Bearer"), token(""));
        assert_eq!(found(b"Basic abc"), None);
        assert_eq!(found(b"Bearer \xff"), Some(None));
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
