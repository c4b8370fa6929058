//! What the server needs to render the pages.

mod policy;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use axum::routing::{MethodRouter, get};
use leptos::config::LeptosOptions;
use leptos::prelude::*;
use leptos_axum::{AxumRouteListing, LeptosRoutes, ResponseOptions, generate_route_list};
use leptos_meta::MetaTags;
use serde::{Deserialize, Serialize};

use crate::App;
use crate::data::{self, Served};

pub use crate::data::HubData;
pub use policy::{Connections, TAG};

/// Addresses of the built client files, absolute paths such as `/client-0f3a.js`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assets {
    /// Module that loads the client.
    pub client_js: String,
    /// WebAssembly of the client.
    pub client_wasm: String,
    /// Script that the render worker is started from.
    pub worker_js: String,
    /// WebAssembly of the render worker.
    pub worker_wasm: String,
    /// Script that the worker without a GPU is started from.
    pub cpu_worker_js: String,
    /// WebAssembly of that worker.
    pub cpu_worker_wasm: String,
    /// Style sheet.
    pub css: String,
}

/// Everything the pages need on the server.
#[derive(Clone)]
pub struct SsrContext {
    /// Models and pictures.
    pub data: Arc<dyn HubData>,
    /// Built client files.
    pub assets: Assets,
    /// Origin of the picture store as the browser sees it, `scheme://host:port`.
    pub storage_origin: String,
    /// Origin of this hub as visitors see it, without a trailing slash.
    pub public_url: String,
}

impl SsrContext {
    /// What the pages read.
    fn served(&self) -> Served {
        Served {
            data: self.data.clone(),
            public_url: self.public_url.clone(),
        }
    }

    /// Where pages and workers may connect to now.
    pub fn connections(&self) -> Connections {
        Connections {
            storage_origin: self.storage_origin.clone(),
            hosts: self.data.weight_hosts(),
        }
    }
}

/// Routes of all pages, to be merged into the server's router.
pub fn pages(ctx: SsrContext) -> Router {
    let options = LeptosOptions::builder().output_name("client").build();
    let provided = ctx.served();
    Router::new()
        .leptos_routes_with_context(
            &options,
            route_list(),
            move || provide_context(provided.clone()),
            move || shell(ctx.clone()),
        )
        .with_state(options)
}

/// Leptos suppresses the loading of resources in the whole process while it collects routes, so a page rendered at
/// that moment would wait for ever: the routes are collected once, before the first router exists.
fn route_list() -> Vec<AxumRouteListing> {
    static ROUTES: OnceLock<Vec<AxumRouteListing>> = OnceLock::new();
    ROUTES.get_or_init(|| generate_route_list(App)).clone()
}

/// The page for addresses that nothing else answers, with status 404; for the router's fallback.
pub fn fallback(ctx: SsrContext) -> MethodRouter {
    let provided = ctx.served();
    get(leptos_axum::render_app_async_with_context(
        move || provide_context(provided.clone()),
        move || shell(ctx.clone()),
    ))
}

/// The HTML document around [`App`]; also sets the response's `Content-Security-Policy`.
pub fn shell(ctx: SsrContext) -> impl IntoView {
    let nonce = use_nonce();
    let operator =
        data::is_operator().then(|| view! { <meta name=data::OPERATOR content="yes" /> });
    let connections = ctx.connections();
    set_content_security_policy(&connections.page(nonce.as_deref()));
    let Assets {
        client_js,
        client_wasm,
        worker_js,
        worker_wasm,
        cpu_worker_js,
        cpu_worker_wasm,
        css,
    } = connections.bind(&ctx.assets);
    let start = format!(
        "import init from {client_js:?};init({{module_or_path:{client_wasm:?}}}).catch(e=>console.error('client:',e));"
    );
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <meta name="color-scheme" content="light dark" />
                <meta name="hub-worker" content=worker_js data-wasm=worker_wasm />
                <meta name="hub-cpu-worker" content=cpu_worker_js data-wasm=cpu_worker_wasm />
                {operator}
                <meta name="theme-color" content="#3d4fd6" />
                <link rel="manifest" href="/app.webmanifest" />
                <link rel="apple-touch-icon" href="/icon-192.png" />
                <link rel="stylesheet" href=css />
                <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
                <link rel="modulepreload" href=client_js />
                <link
                    rel="preload"
                    href=client_wasm
                    r#as="fetch"
                    r#type="application/wasm"
                    crossorigin="anonymous"
                />
                <MetaTags />
                <script type="module" nonce=nonce>
                    {start}
                </script>
            </head>
            <body>
                <App />
            </body>
        </html>
    }
}

fn set_content_security_policy(policy: &str) {
    let Some(response) = use_context::<ResponseOptions>() else {
        return;
    };
    match HeaderValue::from_str(policy) {
        Ok(value) => {
            response.insert_header(HeaderName::from_static("content-security-policy"), value)
        }
        Err(error) => tracing::error!(%error, policy, "no Content-Security-Policy sent"),
    }
}
