//! The hub's API, asked by the browser.

use std::sync::Arc;

use async_trait::async_trait;
use protocol::{
    AddingPage, AdditionRequest, CreatorPage, GalleryPage, GalleryQuery, ImageRecord, ModelCard,
    ModelPage, ModelQuery, ModelSummary, PackageHere, Problem, ProblemCode,
};
use send_wrapper::SendWrapper;

use super::catalog::to_query;
use super::{HubData, OPERATOR};
use crate::browser::api;
use crate::format::encode;

struct Api;

pub(super) fn hub() -> Option<Arc<dyn HubData>> {
    Some(Arc::new(Api))
}

/// The browser sends them by itself.
pub(super) fn cookies() -> Option<String> {
    None
}

/// Origin of the hub without a trailing slash.
pub(crate) fn origin() -> String {
    web_sys::window()
        .and_then(|w| w.location().origin().ok())
        .unwrap_or_default()
}

#[async_trait]
impl HubData for Api {
    async fn models(&self) -> Result<Vec<ModelSummary>, Problem> {
        SendWrapper::new(api::get("/api/v1/models")).await
    }

    async fn gallery(
        &self,
        query: GalleryQuery,
        _cookies: Option<String>,
    ) -> Result<GalleryPage, Problem> {
        let pairs = query.pairs();
        let query: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        let url = format!("/api/v1/images?{}", query.join("&"));
        SendWrapper::new(api::get(&url)).await
    }

    async fn image(&self, id: &str, _cookies: Option<String>) -> Result<ImageRecord, Problem> {
        let url = format!("/api/v1/images/{}", encode(id));
        SendWrapper::new(api::get(&url)).await
    }

    async fn search(&self, query: ModelQuery) -> Result<ModelPage, Problem> {
        let url = format!("/api/v1/models/search?{}", to_query(&query));
        SendWrapper::new(api::get(&url)).await
    }

    async fn card(&self, id: &str) -> Result<ModelCard, Problem> {
        let (owner, name) = id.split_once('/').unwrap_or((id, ""));
        let url = format!("/api/v1/models/{}/{}", encode(owner), encode(name));
        SendWrapper::new(api::get(&url)).await
    }

    /// Whether the page that was loaded is for who looks after the hub.
    fn is_operator(&self, _cookies: Option<&str>) -> bool {
        let document = web_sys::window().and_then(|window| window.document());
        let name = format!("meta[name={OPERATOR}]");
        let found = document.and_then(|document| document.query_selector(&name).ok());
        found.flatten().is_some()
    }

    async fn adding(
        &self,
        asked: Option<AdditionRequest>,
        _cookies: Option<String>,
    ) -> Result<AddingPage, Problem> {
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

    async fn creator(&self, owner: &str, cursor: Option<String>) -> Result<CreatorPage, Problem> {
        let query = to_query(&ModelQuery {
            cursor,
            ..ModelQuery::default()
        });
        let url = format!("/api/v1/creators/{}/models?{query}", encode(owner));
        SendWrapper::new(api::get(&url)).await
    }
}
