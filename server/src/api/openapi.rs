//! The OpenAPI 3.1 document and its page.

mod bounds;
mod page;

use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::OpenApi;

/// Name, tags and what else is not said at a handler.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Demo Hub",
        description = "Text-to-image models: pictures made by this server, and the gallery.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(protocol::JobPreview, protocol::LicenseUse, protocol::RunsOn)),
    tags(
        (name = "jobs", description = "Pictures that the server makes"),
        (name = "openai", description = "The same as the OpenAI images API: the base URL of its clients is `/v1` here"),
        (name = "models", description = "What can be asked for"),
        (name = "images", description = "Listed pictures"),
        (name = "uploads", description = "Pictures that visitors made in their browsers"),
        (name = "operator", description = "Models added and removed by who looks after the hub; 404 where it was started without `--admin-token`"),
        (name = "operations", description = "For load balancers, and this document")
    )
)]
pub struct Base;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document =
        serde_json::to_value(super::open_routes().into_openapi()).unwrap_or_default();
    if let Err(error) = bounds::declare(&mut document) {
        tracing::error!(error, "the OpenAPI document is not complete");
    }
    document
});
static PAGE: LazyLock<(String, HeaderValue)> = LazyLock::new(|| {
    let html = page::render(&DOCUMENT);
    let style = STANDARD.encode(Sha256::digest(page::STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::try_from(policy)
        .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"));
    (html, policy)
});

/// This document.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    operation_id = "getDocument",
    tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value))
)]
pub async fn document() -> axum::Json<&'static Value> {
    axum::Json(&DOCUMENT)
}

/// This document as a page, with the list of problem codes.
#[utoipa::path(
    get,
    path = "/api/docs",
    operation_id = "browseDocument",
    tag = "operations",
    responses((status = 200, description = "HTML", body = String, content_type = "text/html"))
)]
pub async fn browse() -> Response {
    let (html, policy) = &*PAGE;
    (
        [(header::CONTENT_SECURITY_POLICY, policy.clone())],
        Html(html.as_str()),
    )
        .into_response()
}
