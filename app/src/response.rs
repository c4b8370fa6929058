//! What a page says of the HTTP answer that brings it, where the server renders it; nothing in a browser.

/// Sets the HTTP status.
pub(crate) fn set_status(status: u16) {
    #[cfg(feature = "ssr")]
    served::set_status(status);
    #[cfg(not(feature = "ssr"))]
    let _ = status;
}

/// Keeps the page out of every cache.
pub(crate) fn keep_private() {
    #[cfg(feature = "ssr")]
    served::keep_private();
}

#[cfg(feature = "ssr")]
mod served {
    use axum::http::{HeaderName, HeaderValue, StatusCode};
    use leptos::prelude::use_context;
    use leptos_axum::ResponseOptions;

    pub(super) fn set_status(status: u16) {
        if let (Some(response), Ok(status)) = (
            use_context::<ResponseOptions>(),
            StatusCode::from_u16(status),
        ) {
            response.set_status(status);
        }
    }

    pub(super) fn keep_private() {
        if let Some(response) = use_context::<ResponseOptions>() {
            let name = HeaderName::from_static("cache-control");
            response.insert_header(name, HeaderValue::from_static("no-store"));
        }
    }
}
