//! The built client files, and what is left when no other route takes a request.

use std::path::Path;

use anyhow::Context;
use app::ssr::{Assets, SsrContext, TAG};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tower_http::services::ServeDir;
use url::form_urlencoded;

use crate::api;
use crate::serving::representation;

/// The list of the client files.
const ASSETS: &str = "assets.json";
/// The policy of pages that are files: they ask nobody but this hub.
const PAGE_POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' data:; object-src 'none'; \
     base-uri 'self'; form-action 'self'; frame-ancestors 'none'";

/// Reads the addresses of the client files that the build wrote.
///
/// # Errors
/// When the client was not built or the file is damaged.
pub fn load_assets(site_dir: &Path) -> anyhow::Result<Assets> {
    let path = site_dir.join(ASSETS);
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
    let page = Router::new().fallback_service(app::ssr::fallback(context.clone()));
    let files = ServeDir::new(site_dir)
        .precompressed_br()
        .precompressed_gzip()
        .append_index_html_on_directories(false)
        .fallback(page);
    let list = get(|State(context): State<SsrContext>| async move {
        Json(context.connections().bind(&context.assets))
    });
    Router::new()
        .route(&format!("/{ASSETS}"), list)
        .fallback_service(files)
        .layer(middleware::from_fn(representation::of_files))
        .layer(middleware::from_fn_with_state(context.clone(), finish))
        .with_state(context)
}

async fn finish(State(context): State<SsrContext>, request: Request, next: Next) -> Response {
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
        let connections = context.connections();
        let value = if is_of_another_policy(&uri, &connections.tag()) {
            "no-store"
        } else if is_content_addressed(uri.path(), uri.query()) {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(value));
        bind(uri.path(), headers, &connections.script());
    }
    response
}

/// Whether a script is asked for with the policy of an earlier moment, or of another replica.
fn is_of_another_policy(uri: &Uri, tag: &str) -> bool {
    let query = uri.query().unwrap_or_default().as_bytes();
    let mut asked = form_urlencoded::parse(query).filter(|(name, _)| name == TAG);
    asked.any(|(_, value)| value != tag)
}

/// Gives scripts and pages their policy; by the name, since an answer without content has no type.
fn bind(path: &str, headers: &mut HeaderMap, script: &str) {
    let policy = match Path::new(path).extension().and_then(|end| end.to_str()) {
        Some("js" | "mjs") => HeaderValue::try_from(script),
        Some("html") => Ok(HeaderValue::from_static(PAGE_POLICY)),
        _ => return,
    };
    match policy {
        Ok(policy) => {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        Err(error) => tracing::error!(%error, script, "no Content-Security-Policy sent"),
    }
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
