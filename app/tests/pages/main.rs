//! The pages as the server sends them: status, policy, and text that needs no JavaScript.

#![cfg(feature = "ssr")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adding;
mod create;
mod hub;
mod models;
mod pictures;

use std::sync::Arc;

use app::ssr::{Assets, SsrContext, fallback, pages};
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use tower::ServiceExt;

use hub::Fixed;

struct Page {
    status: StatusCode,
    policy: String,
    caching: Option<String>,
    html: String,
}

async fn page_of(data: Fixed, path: &str) -> Page {
    page_for(data, path, None).await
}

/// A page for who sends a cookie.
async fn page_for(data: Fixed, path: &str, cookie: Option<&str>) -> Page {
    let context = SsrContext {
        data: Arc::new(data),
        assets: Assets {
            client_js: "/client-0.js".into(),
            client_wasm: "/client-0_bg.wasm".into(),
            worker_js: "/render-worker-0.js".into(),
            worker_wasm: "/render-worker-0_bg.wasm".into(),
            cpu_worker_js: "/cpu-worker-0.js".into(),
            cpu_worker_wasm: "/cpu-worker-0_bg.wasm".into(),
            css: "/style-0.css".into(),
        },
        storage_origin: "http://127.0.0.1:9000".into(),
        public_url: "https://hub.example".into(),
    };
    let mut request = Request::get(path);
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let response = pages(context.clone())
        .fallback_service(fallback(context))
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let status = response.status();
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    let caching = response.headers().get("cache-control");
    let caching = caching.map(|value| value.to_str().unwrap().to_owned());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    Page {
        status,
        policy,
        caching,
        // Without the empty comments that tell hydration where a text ends.
        html: String::from_utf8(body.to_vec()).unwrap().replace("<!>", ""),
    }
}

async fn page(path: &str) -> Page {
    page_of(
        Fixed {
            storage_down: false,
        },
        path,
    )
    .await
}
