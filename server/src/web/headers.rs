//! Headers that every response carries.

use axum::extract::Request;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

/// Adds the security headers; a response's own Content-Security-Policy wins.
pub async fn secure(request: Request, next: Next) -> Response {
    let is_data = is_data(request.uri().path());
    let mut response = next.run(request).await;
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
    // A worker obeys the policy of its script, so client files get none here.
    if is_data && !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
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

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
