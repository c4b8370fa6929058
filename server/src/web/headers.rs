//! Headers that every response carries.

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

/// What no page of the hub uses (<https://www.w3.org/TR/permissions-policy/>).
const PERMISSIONS: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), \
     magnetometer=(), microphone=(), midi=(), payment=(), usb=()";
/// Two years; only this host, since others of its domain may be somebody else's.
const HSTS: &str = "max-age=63072000";

/// Whether visitors reach the hub by HTTPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Https(pub bool);

/// Adds the security headers; a response's own Content-Security-Policy wins.
pub async fn secure(State(Https(https)): State<Https>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let (is_data, is_shared) = (is_data(path), is_shared(path));
    let mut response = next.run(request).await;
    let status = response.status();
    let headers = response.headers_mut();
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(
        headers,
        header::REFERRER_POLICY,
        "strict-origin-when-cross-origin",
    );
    set(headers, header::X_FRAME_OPTIONS, "DENY");
    set(
        headers,
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    let from = if is_shared {
        "cross-origin"
    } else {
        "same-origin"
    };
    set(
        headers,
        HeaderName::from_static("cross-origin-resource-policy"),
        from,
    );
    set(
        headers,
        HeaderName::from_static("permissions-policy"),
        PERMISSIONS,
    );
    if https {
        set(headers, header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
    // What is no page and no script. Word that something has not changed must not change its policy.
    let unchanged = status == StatusCode::NOT_MODIFIED && !is_data;
    if !unchanged && !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        set(
            headers,
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        );
    }
    response
}

/// Addresses whose answers are never pages or scripts.
fn is_data(path: &str) -> bool {
    [
        "/api/",
        "/v1/",
        "/models/",
        "/images/",
        "/thumbnails/",
        "/healthz",
        "/readyz",
    ]
    .iter()
    .any(|prefix| path.starts_with(prefix))
}

/// Pictures, which pages elsewhere may show.
fn is_shared(path: &str) -> bool {
    path.starts_with("/images/") || path.starts_with("/thumbnails/")
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
