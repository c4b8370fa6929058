//! What the pages read: from the server's data while rendering there, from the API in the browser.

use protocol::{
    AddingPage, AdditionRequest, CreatorPage, GalleryPage, GalleryQuery, ImageRecord, ModelCard,
    ModelPage, ModelQuery, ModelSummary, Problem,
};

use crate::measured::{Made, sum_up};

/// Pictures on one page of the gallery.
pub(crate) const GALLERY_PAGE: usize = 24;
/// Newest pictures that a model's speed is taken from.
pub(crate) const MEASURED: usize = 60;
/// Name of the `meta` element of pages that are shown to who looks after the hub.
pub(crate) const OPERATOR: &str = "hub-operator";
/// Newest pictures that a model's page shows.
const SHOWN: usize = 6;

/// What the newest pictures of a model tell of it.
pub(crate) async fn made(model: String) -> Result<Made, Problem> {
    let page = gallery(GalleryQuery {
        limit: Some(MEASURED),
        model: Some(model.clone()),
        ..GalleryQuery::default()
    })
    .await?;
    let of_model = page
        .items
        .into_iter()
        .filter(|record| record.recipe.request.model == model)
        .collect();
    Ok(sum_up(of_model, SHOWN))
}

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

    pub(crate) async fn gallery(query: GalleryQuery) -> Result<GalleryPage, Problem> {
        context()?.data.gallery(query, cookies()).await
    }

    pub(crate) async fn image(id: String) -> Result<ImageRecord, Problem> {
        context()?.data.image(&id, cookies()).await
    }

    /// The `Cookie` header of the request that is answered.
    fn cookies() -> Option<String> {
        let parts = use_context::<axum::http::request::Parts>()?;
        let cookies = parts.headers.get(axum::http::header::COOKIE)?;
        cookies.to_str().ok().map(str::to_owned)
    }

    pub(crate) async fn search(query: ModelQuery) -> Result<ModelPage, Problem> {
        context()?.data.search(query).await
    }

    pub(crate) async fn card(id: String) -> Result<ModelCard, Problem> {
        context()?.data.card(&id).await
    }

    pub(crate) async fn creator(
        owner: String,
        cursor: Option<String>,
    ) -> Result<CreatorPage, Problem> {
        context()?.data.creator(&owner, cursor).await
    }

    pub(crate) async fn adding(asked: Option<AdditionRequest>) -> Result<AddingPage, Problem> {
        context()?.data.adding(asked, cookies()).await
    }

    /// Whether the page is for who looks after the hub.
    pub(crate) fn is_operator() -> bool {
        let context = context();
        context.is_ok_and(|context| context.data.is_operator(cookies().as_deref()))
    }

    /// Keeps the page out of every cache.
    pub(crate) fn keep_private() {
        crate::ssr::keep_private();
    }

    /// Origin of the hub without a trailing slash.
    pub(crate) fn origin() -> String {
        context().map(|c| c.public_url).unwrap_or_default()
    }
}

#[cfg(all(not(feature = "ssr"), target_arch = "wasm32"))]
mod source {
    use super::*;
    use crate::catalog::to_query;
    use crate::{api, settings::encode};
    use protocol::{PackageHere, ProblemCode};
    use send_wrapper::SendWrapper;

    pub(crate) async fn models() -> Result<Vec<ModelSummary>, Problem> {
        SendWrapper::new(api::get("/api/v1/models")).await
    }

    pub(crate) async fn gallery(query: GalleryQuery) -> Result<GalleryPage, Problem> {
        let pairs = query.pairs();
        let query: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        let url = format!("/api/v1/images?{}", query.join("&"));
        SendWrapper::new(api::get(&url)).await
    }

    pub(crate) async fn image(id: String) -> Result<ImageRecord, Problem> {
        let url = format!("/api/v1/images/{}", encode(&id));
        SendWrapper::new(api::get(&url)).await
    }

    pub(crate) async fn search(query: ModelQuery) -> Result<ModelPage, Problem> {
        let url = format!("/api/v1/models/search?{}", to_query(&query));
        SendWrapper::new(api::get(&url)).await
    }

    pub(crate) async fn card(id: String) -> Result<ModelCard, Problem> {
        let (owner, name) = id.split_once('/').unwrap_or((&id, ""));
        let url = format!("/api/v1/models/{}/{}", encode(owner), encode(name));
        SendWrapper::new(api::get(&url)).await
    }

    pub(crate) async fn creator(
        owner: String,
        cursor: Option<String>,
    ) -> Result<CreatorPage, Problem> {
        let query = to_query(&ModelQuery {
            cursor,
            ..ModelQuery::default()
        });
        let url = format!("/api/v1/creators/{}/models?{query}", encode(&owner));
        SendWrapper::new(api::get(&url)).await
    }

    pub(crate) async fn adding(asked: Option<AdditionRequest>) -> Result<AddingPage, Problem> {
        let asking = async {
            let additions = match api::get("/api/v1/operator/additions").await {
                Ok(additions) => additions,
                Err(problem) if problem.code == ProblemCode::NotSignedIn => {
                    return Ok(AddingPage::default());
                }
                Err(problem) => return Err(problem),
            };
            let models: Vec<ModelSummary> = api::get("/api/v1/models").await?;
            let here = models
                .into_iter()
                .filter(|model| model.package_url.is_some());
            let packages = here.map(|model| PackageHere {
                id: model.id,
                name: model.name,
                bytes: model.download_bytes,
            });
            let look = match asked {
                Some(AdditionRequest { id, revision, .. }) => {
                    let revision = revision.map(|at| format!("&revision={}", encode(&at)));
                    let (id, revision) = (encode(&id), revision.unwrap_or_default());
                    let url = format!("/api/v1/operator/look?id={id}{revision}");
                    Some(api::get(&url).await)
                }
                None => None,
            };
            Ok(AddingPage {
                signed_in: true,
                look,
                additions,
                packages: packages.collect(),
            })
        };
        SendWrapper::new(asking).await
    }

    /// Whether the page that was loaded is for who looks after the hub.
    pub(crate) fn is_operator() -> bool {
        let document = web_sys::window().and_then(|window| window.document());
        let name = format!("meta[name={OPERATOR}]");
        let found = document.and_then(|document| document.query_selector(&name).ok());
        found.flatten().is_some()
    }

    /// The server says so of its pages.
    pub(crate) fn keep_private() {}

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

    pub(crate) async fn gallery(_: GalleryQuery) -> Result<GalleryPage, Problem> {
        nowhere()
    }

    pub(crate) async fn image(_: String) -> Result<ImageRecord, Problem> {
        nowhere()
    }

    pub(crate) async fn search(_: ModelQuery) -> Result<ModelPage, Problem> {
        nowhere()
    }

    pub(crate) async fn card(_: String) -> Result<ModelCard, Problem> {
        nowhere()
    }

    pub(crate) async fn creator(_: String, _: Option<String>) -> Result<CreatorPage, Problem> {
        nowhere()
    }

    pub(crate) async fn adding(_: Option<AdditionRequest>) -> Result<AddingPage, Problem> {
        nowhere()
    }

    pub(crate) fn is_operator() -> bool {
        false
    }

    pub(crate) fn keep_private() {}

    pub(crate) fn origin() -> String {
        String::new()
    }
}

pub(crate) use source::{
    adding, card, creator, gallery, image, is_operator, keep_private, models, origin, search,
};
