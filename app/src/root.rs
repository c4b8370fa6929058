//! The application: routes and page frame.

use leptos::prelude::*;
use leptos_meta::{Title, provide_meta_context};
use leptos_router::SsrMode;
use leptos_router::components::{Route, Router, Routes};
use leptos_router::path;

use crate::pages::NotFound;

/// Every page of the hub.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    view! {
        <Title formatter=|title: String| {
            if title.is_empty() { "Demo Hub".to_owned() } else { format!("{title} · Demo Hub") }
        } />
        <Router>
            <Routes fallback=NotFound>
                <Route path=path!("/") view=NotFound ssr=SsrMode::Async />
                <Route path=path!("/gallery") view=NotFound ssr=SsrMode::Async />
                <Route path=path!("/i/:id") view=NotFound ssr=SsrMode::Async />
                <Route path=path!("/models/:owner/:name") view=NotFound ssr=SsrMode::Async />
            </Routes>
        </Router>
    }
}
