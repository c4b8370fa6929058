//! The built client files, and what is left when no other route takes a request.

use std::path::Path;

use anyhow::Context;
use app::ssr::{Assets, SsrContext};
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeDir;

use crate::api;
use crate::serving::representation;

/// Reads the addresses of the client files that the build wrote.
///
/// # Errors
/// When the client was not built or the file is damaged.
pub fn load_assets(site_dir: &Path) -> anyhow::Result<Assets> {
    let path = site_dir.join("assets.json");
    let json = std::fs::read(&path).with_context(|| {
        format!(
            "the client is not built: {} is missing; run `cargo xtask build`",
            path.display()
        )
    })?;
    serde_json::from_slice(&json).with_context(|| format!("{} is damaged", path.display()))
}

/// Files of the site folder; else the page for unknown addresses.
pub fn routes(site_dir: &Path, context: SsrContext) -> Router {
    let page = Router::new().fallback_service(app::ssr::fallback(context));
    let files = ServeDir::new(site_dir)
        .precompressed_br()
        .precompressed_gzip()
        .append_index_html_on_directories(false)
        .fallback(page);
    Router::new()
        .fallback_service(files)
        .layer(middleware::from_fn(representation::of_files))
        .layer(middleware::from_fn(finish))
}

async fn finish(request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    if ["/api", "/v1"].iter().any(|api| {
        let rest = uri.path().strip_prefix(api);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }) {
        return api::not_found(&uri).into_response();
    }
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let status = response.status();
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let mut refusal = api::method_not_allowed(method).await;
        if let Some(allow) = response.headers_mut().remove(header::ALLOW) {
            refusal.headers_mut().insert(header::ALLOW, allow);
        }
        return refusal;
    }
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        // The files lie there compressed as well.
        let vary = HeaderValue::from_static("accept-encoding");
        response.headers_mut().append(header::VARY, vary);
        let value = if is_content_addressed(uri.path(), uri.query()) {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static(value));
    }
    response
}

/// Whether the address changes with the bytes: `name-<16 hex digits>…` or `?v=<16 hex digits>`.
fn is_content_addressed(path: &str, query: Option<&str>) -> bool {
    let is_hash = |text: &str| {
        let digits = text.bytes().take_while(u8::is_ascii_hexdigit).count();
        digits >= 16
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    name.split('-').skip(1).any(is_hash)
        || query
            .and_then(|q| q.strip_prefix("v="))
            .is_some_and(is_hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hashed_names_are_immutable() {
        for (path, query, expected) in [
            ("/client-0123456789abcdef.js", None, true),
            ("/client-0123456789abcdef_bg.wasm", None, true),
            ("/render-worker.js", Some("v=0123456789abcdef"), true),
            ("/render-worker.js", None, false),
            ("/render-worker.js", Some("v=1"), false),
            ("/favicon.svg", None, false),
            ("/apple-touch-icon.png", None, false),
        ] {
            assert_eq!(is_content_addressed(path, query), expected, "{path}");
        }
    }
}
