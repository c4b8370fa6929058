//! What the pages read: from the server's data while rendering there, from the API in the browser.

use protocol::{GalleryPage, ImageRecord, ModelSummary, Problem};

/// Pictures on one page of the gallery.
pub(crate) const GALLERY_PAGE: usize = 24;

#[cfg(feature = "ssr")]
mod source {
    use super::*;
    use crate::ssr::SsrContext;
    use leptos::prelude::use_context;
    use protocol::ProblemCode;

    fn context() -> Result<SsrContext, Problem> {
        use_context::<SsrContext>().ok_or_else(|| {
            Problem::new(
                ProblemCode::Internal,
                "the page was rendered without its data",
            )
        })
    }

    pub(crate) async fn models() -> Result<Vec<ModelSummary>, Problem> {
        Ok(context()?.data.models().await)
    }

    pub(crate) async fn gallery(
        cursor: Option<String>,
        limit: usize,
    ) -> Result<GalleryPage, Problem> {
        context()?.data.gallery(cursor, limit).await
    }

    pub(crate) async fn image(id: String) -> Result<ImageRecord, Problem> {
        context()?.data.image(&id).await
    }

    /// Origin of the hub without a trailing slash.
    pub(crate) fn origin() -> String {
        context().map(|c| c.public_url).unwrap_or_default()
    }
}

#[cfg(all(not(feature = "ssr"), target_arch = "wasm32"))]
mod source {
    use super::*;
    use crate::{api, settings::encode};
    use send_wrapper::SendWrapper;

    pub(crate) async fn models() -> Result<Vec<ModelSummary>, Problem> {
        SendWrapper::new(api::get("/api/v1/models")).await
    }

    pub(crate) async fn gallery(
        cursor: Option<String>,
        limit: usize,
    ) -> Result<GalleryPage, Problem> {
        let cursor = cursor
            .map(|c| format!("&cursor={}", encode(&c)))
            .unwrap_or_default();
        let url = format!("/api/v1/images?limit={limit}{cursor}");
        SendWrapper::new(api::get(&url)).await
    }

    pub(crate) async fn image(id: String) -> Result<ImageRecord, Problem> {
        let url = format!("/api/v1/images/{}", encode(&id));
        SendWrapper::new(api::get(&url)).await
    }

    /// Origin of the hub without a trailing slash.
    pub(crate) fn origin() -> String {
        web_sys::window()
            .and_then(|w| w.location().origin().ok())
            .unwrap_or_default()
    }
}

#[cfg(all(not(feature = "ssr"), not(target_arch = "wasm32")))]
mod source {
    //! A native build for hydration alone has neither a server nor a browser to ask.
    use super::*;
    use protocol::ProblemCode;

    fn nowhere<T>() -> Result<T, Problem> {
        Err(Problem::new(
            ProblemCode::Internal,
            "this build reads no data",
        ))
    }

    pub(crate) async fn models() -> Result<Vec<ModelSummary>, Problem> {
        nowhere()
    }

    pub(crate) async fn gallery(_: Option<String>, _: usize) -> Result<GalleryPage, Problem> {
        nowhere()
    }

    pub(crate) async fn image(_: String) -> Result<ImageRecord, Problem> {
        nowhere()
    }

    pub(crate) fn origin() -> String {
        String::new()
    }
}

pub(crate) use source::{gallery, image, models, origin};
