//! The server's own data.

use std::sync::Arc;

use leptos::prelude::use_context;

use super::HubData;

/// What the pages read on the server; a context of every render.
#[derive(Clone)]
pub(crate) struct Served {
    /// Models and pictures.
    pub(crate) data: Arc<dyn HubData>,
    /// Origin of this hub as visitors see it, without a trailing slash.
    pub(crate) public_url: String,
}

pub(super) fn hub() -> Option<Arc<dyn HubData>> {
    Some(use_context::<Served>()?.data)
}

/// The `Cookie` header of the request that is answered.
pub(super) fn cookies() -> Option<String> {
    let parts = use_context::<axum::http::request::Parts>()?;
    let cookies = parts.headers.get(axum::http::header::COOKIE)?;
    cookies.to_str().ok().map(str::to_owned)
}

/// Origin of the hub without a trailing slash.
pub(crate) fn origin() -> String {
    use_context::<Served>()
        .map(|served| served.public_url)
        .unwrap_or_default()
}
