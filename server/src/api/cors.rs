//! Which pages of other origins may use the API from a browser (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! `/v1` is for programs with a key, as OpenAI's is, and reading what is public hurts nobody. Everything else of
//! `/api/v1` acts for the owner of a cookie and is kept to the hub's own pages; no answer here allows credentials.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;

/// Seconds that a browser may keep the answer to a preflight; Chromium keeps it no longer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
/// Headers that pages may read beside the harmless ones.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("x-request-id, retry-after, location, etag, content-length");

/// Whose pages may use `/v1`: `*`, or origins separated by commas.
#[derive(Clone, Debug)]
pub enum Origins {
    /// Anybody's.
    Any,
    /// Of these.
    Listed(Arc<[String]>),
}

impl FromStr for Origins {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let mut origins = text.split(',').map(str::trim);
        if origins.clone().any(|origin| origin == "*") {
            return Ok(Self::Any);
        }
        let origins = origins
            .by_ref()
            .map(|origin| origin.trim_end_matches('/').to_ascii_lowercase())
            .filter(|origin| !origin.is_empty());
        Ok(Self::Listed(origins.collect()))
    }
}

impl Origins {
    /// What is allowed of a page of `origin`.
    pub(super) fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Listed(origins) => {
                let text = origin.to_str().ok()?.to_ascii_lowercase();
                origins.contains(&text).then(|| origin.clone())
            }
        }
    }
}

/// What pages of other origins may do with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// Those of [`Origins`] may do what the address takes.
    Use,
    /// All may read.
    Read,
    /// Nothing.
    Closed,
}

impl Policy {
    fn of(path: &str) -> Self {
        if path.starts_with("/v1/") {
            return Self::Use;
        }
        let read = [
            "/api/v1/models",
            "/api/v1/creators/",
            "/api/v1/images",
            "/api/openapi.json",
            "/images/",
            "/thumbnails/",
        ];
        let own = ["/api/v1/images/export"];
        let begins = |prefix: &&str| {
            path.strip_prefix(*prefix).is_some_and(|rest| {
                prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/')
            })
        };
        if read.iter().any(begins) && !own.contains(&path) {
            Self::Read
        } else {
            Self::Closed
        }
    }
}

/// Answers preflights and marks answers that pages of other origins may read.
pub async fn allow(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let policy = Policy::of(request.uri().path());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let preflight = (request.method() == Method::OPTIONS)
        .then(|| {
            request
                .headers()
                .get(header::ACCESS_CONTROL_REQUEST_METHOD)
                .cloned()
        })
        .flatten();
    let asked = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .cloned();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let allowed = match policy {
        Policy::Closed => return response,
        Policy::Read => Some(HeaderValue::from_static("*")),
        Policy::Use => {
            if matches!(origins, Origins::Listed(_)) {
                headers.append(header::VARY, HeaderValue::from_static("origin"));
            }
            origin.and_then(|origin| origins.allowed(&origin))
        }
    };
    let Some(allowed) = allowed else {
        return response;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if preflight.is_some() {
        let methods = match policy {
            Policy::Use => "GET, HEAD, POST",
            _ => "GET, HEAD",
        };
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(methods),
        );
        // Clients of OpenAI's API send a dozen `x-stainless-` headers; a list of them would age.
        if let Some(asked) = asked {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
        }
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        let vary = "access-control-request-method, access-control-request-headers";
        headers.append(header::VARY, HeaderValue::from_static(vary));
    } else {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_acts_for_an_owner_is_closed() {
        for (path, policy) in [
            ("/v1/images/generations", Policy::Use),
            ("/api/v1/models", Policy::Read),
            ("/api/v1/models/a/b", Policy::Read),
            ("/api/v1/modelsx", Policy::Closed),
            ("/api/v1/creators/a/models", Policy::Read),
            ("/api/v1/images", Policy::Read),
            ("/api/v1/images/7abc", Policy::Read),
            ("/api/v1/images/export", Policy::Closed),
            ("/images/0.png", Policy::Read),
            ("/api/v1/jobs", Policy::Closed),
            ("/api/v1/jobs/7abc/events", Policy::Closed),
            ("/api/v1/uploads", Policy::Closed),
            ("/readyz", Policy::Closed),
        ] {
            assert_eq!(Policy::of(path), policy, "{path}");
        }
    }

    #[test]
    fn a_list_names_whole_origins() {
        let listed: Origins = "https://app.example/, http://localhost:8000"
            .parse()
            .unwrap();
        for (origin, allowed) in [
            ("https://app.example", true),
            ("HTTPS://App.example", true),
            ("http://localhost:8000", true),
            ("http://localhost", false),
            ("https://app.example.evil.example", false),
            ("null", false),
        ] {
            let origin = HeaderValue::from_static(origin);
            assert_eq!(listed.allowed(&origin).is_some(), allowed, "{origin:?}");
        }
        let none: Origins = "".parse().unwrap();
        assert!(none.allowed(&HeaderValue::from_static("null")).is_none());
        let any: Origins = "*".parse().unwrap();
        assert_eq!(any.allowed(&HeaderValue::from_static("null")).unwrap(), "*");
    }
}
