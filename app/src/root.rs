//! The application: routes and page frame.

use leptos::prelude::*;
use leptos_meta::{Title, provide_meta_context};
use leptos_router::SsrMode;
use leptos_router::components::{A, Route, Router, Routes};
use leptos_router::path;

use crate::add::AddModel;
use crate::capability::Capability;
use crate::compare::Compare;
use crate::create::{Create, Studio};
use crate::format::escape;
use crate::gallery::{Gallery, Shelf};
use crate::image::ImagePage;
use crate::models::{CreatorPage, ModelPage, Models};
use crate::parts::NotFound;
use crate::saving::{Outbox, OutboxNote};
use crate::storage::StoragePage;

/// Every page of the hub.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    let outbox = Outbox::new();
    let studio = Studio::new(outbox);
    provide_context(outbox);
    provide_context(studio);
    provide_context(Shelf::new());
    provide_context(Capability::new(studio.accepts_software()));
    view! {
        <Title formatter=title />
        <Router>
            <a class="skip" href="#main">
                "Skip to the content"
            </a>
            <header class="masthead">
                <a class="wordmark" href="/">
                    <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
                        <rect class="mark-a" x="0" y="0" width="9" height="9" rx="2" />
                        <rect class="mark-b" x="11" y="0" width="9" height="9" rx="4.5" />
                        <rect class="mark-b" x="0" y="11" width="9" height="9" rx="4.5" />
                        <rect class="mark-a" x="11" y="11" width="9" height="9" rx="2" />
                    </svg>
                    "Demo Hub"
                </a>
                <nav aria-label="Pages">
                    <A href="/" exact=true>
                        "Create"
                    </A>
                    <A href="/models">"Models"</A>
                    <A href="/compare">"Compare"</A>
                    <A href="/gallery">"Gallery"</A>
                </nav>
            </header>
            <OutboxNote />
            <Routes fallback=NotFound>
                <Route path=path!("/") view=Create ssr=SsrMode::Async />
                <Route path=path!("/gallery") view=Gallery ssr=SsrMode::Async />
                <Route path=path!("/compare") view=Compare ssr=SsrMode::Async />
                <Route path=path!("/i/:id") view=ImagePage ssr=SsrMode::Async />
                <Route path=path!("/models") view=Models ssr=SsrMode::Async />
                <Route path=path!("/models/add") view=AddModel ssr=SsrMode::Async />
                <Route path=path!("/creators/:owner") view=CreatorPage ssr=SsrMode::Async />
                <Route path=path!("/models/:owner/:name") view=ModelPage ssr=SsrMode::Async />
                <Route path=path!("/storage") view=StoragePage />
            </Routes>
            <footer class="footer">
                <p>
                    "Pictures are made in your browser on WebGPU where it can, else on the server. "
                    <a href="/storage">"Models in this browser"</a>
                </p>
                <p>
                    <a href="/onnx.html" rel="external">"Run an ONNX file on your GPU"</a>
                </p>
            </footer>
        </Router>
    }
}

/// The document's title. The server's renderer writes it as HTML without escaping it, the browser's sets text.
fn title(page: String) -> String {
    let title = if page.is_empty() {
        "Demo Hub".to_owned()
    } else {
        format!("{page} · Demo Hub")
    };
    if cfg!(feature = "ssr") {
        escape(&title)
    } else {
        title
    }
}
