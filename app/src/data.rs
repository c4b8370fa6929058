//! What the pages read: from the server's data while rendering there, from its API in the browser.

pub(crate) mod catalog;

use std::sync::Arc;

use async_trait::async_trait;
use protocol::{
    AddingPage, AdditionRequest, CreatorPage, GalleryPage, GalleryQuery, ImageRecord, ModelCard,
    ModelPage, ModelQuery, ModelSummary, Problem, ProblemCode,
};

#[cfg(all(browser, not(feature = "ssr")))]
#[path = "data/from_api.rs"]
mod here;
#[cfg(feature = "ssr")]
#[path = "data/from_server.rs"]
mod here;
#[cfg(not(any(browser, feature = "ssr")))]
#[path = "data/nowhere.rs"]
mod here;

#[cfg(feature = "ssr")]
pub(crate) use here::Served;
pub(crate) use here::origin;

/// Pictures on one page of the gallery.
pub(crate) const GALLERY_PAGE: usize = 24;
/// Name of the `meta` element of pages that are shown to who looks after the hub.
pub(crate) const OPERATOR: &str = "hub-operator";

/// What the pages read. The server implements it; in a browser its API does.
///
/// `cookies` are the `Cookie` header of the request for a page, which tells whose pictures are the visitor's own; a browser
/// sends them by itself.
#[async_trait]
pub trait HubData: Send + Sync {
    /// The runnable models, the default one first.
    async fn models(&self) -> Result<Vec<ModelSummary>, Problem>;
    /// One page of the gallery, newest first.
    async fn gallery(
        &self,
        query: GalleryQuery,
        cookies: Option<String>,
    ) -> Result<GalleryPage, Problem>;
    /// The record of one picture.
    async fn image(&self, id: &str, cookies: Option<String>) -> Result<ImageRecord, Problem>;
    /// One page of the models that pass the filters, those that run here first.
    async fn search(&self, query: ModelQuery) -> Result<ModelPage, Problem>;
    /// Everything that is known about the model `owner/name`.
    async fn card(&self, id: &str) -> Result<ModelCard, Problem>;
    /// Whether these cookies are those of who looks after the hub.
    fn is_operator(&self, cookies: Option<&str>) -> bool;
    /// What `/models/add` shows; `asked`: the model to look at.
    ///
    /// # Errors
    /// `not_found` on a hub that nobody looks after by its pages.
    async fn adding(
        &self,
        asked: Option<AdditionRequest>,
        cookies: Option<String>,
    ) -> Result<AddingPage, Problem>;
    /// One page of a creator's models.
    async fn creator(&self, owner: &str, cursor: Option<String>) -> Result<CreatorPage, Problem>;
    /// Other hosts that weights of the models are fetched from, as sources of a Content-Security-Policy.
    #[cfg(feature = "ssr")]
    fn weight_hosts(&self) -> Vec<String> {
        Vec::new()
    }
}

fn hub() -> Result<Arc<dyn HubData>, Problem> {
    here::hub().ok_or_else(|| {
        Problem::new(
            ProblemCode::Internal,
            "the page was rendered without its data",
        )
    })
}

pub(crate) async fn models() -> Result<Vec<ModelSummary>, Problem> {
    hub()?.models().await
}

pub(crate) async fn gallery(query: GalleryQuery) -> Result<GalleryPage, Problem> {
    hub()?.gallery(query, here::cookies()).await
}

pub(crate) async fn image(id: String) -> Result<ImageRecord, Problem> {
    hub()?.image(&id, here::cookies()).await
}

pub(crate) async fn search(query: ModelQuery) -> Result<ModelPage, Problem> {
    hub()?.search(query).await
}

pub(crate) async fn card(id: String) -> Result<ModelCard, Problem> {
    hub()?.card(&id).await
}

pub(crate) async fn creator(owner: String, cursor: Option<String>) -> Result<CreatorPage, Problem> {
    hub()?.creator(&owner, cursor).await
}

pub(crate) async fn adding(asked: Option<AdditionRequest>) -> Result<AddingPage, Problem> {
    hub()?.adding(asked, here::cookies()).await
}

/// Whether the page is for who looks after the hub.
pub(crate) fn is_operator() -> bool {
    hub().is_ok_and(|hub| hub.is_operator(here::cookies().as_deref()))
}
