//! One router for everything: pages, API, packages, client files.

mod headers;
mod hosts;
mod operator;
mod packages;
mod request_id;
mod site;

use std::any::Any;
use std::collections::BTreeSet;

use app::ssr::{HubData, SsrContext};
use async_trait::async_trait;
use axum::Router;
use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, StatusCode, Version, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use protocol::{
    AddingPage, AdditionRequest, CreatorPage, GalleryPage, GalleryQuery, ImageRecord, ModelCard,
    ModelPage, ModelQuery, ModelSummary, PackageHere, Problem, ProblemCode,
};
use tower::ServiceBuilder;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;

use crate::api::{self, Hub};
use crate::config::HostSource;
use crate::images::OwnerId;
use crate::operator::read_request;
use crate::telemetry::{access, traces};

pub use hosts::Hosts;
pub use site::load_assets;

use packages::Packages;

/// Brotli's and gzip's quality: pages are made anew for every visit.
const QUALITY: i32 = 4;

/// The complete router of a hub that may be asked by the names of `hosts`.
pub fn router(hub: Hub, context: SsrContext, site_dir: &std::path::Path, hosts: Hosts) -> Router {
    let https = headers::Https(hub.is_https());
    let site = site::routes(site_dir, context.clone());
    let forms = match hub.operator {
        Some(_) => operator::routes(hub.clone()),
        None => Router::new(),
    };
    Router::new()
        .merge(forms)
        .merge(
            app::ssr::pages(context)
                .method_not_allowed_fallback(api::method_not_allowed)
                .layer(from_fn_with_state(hub.clone(), api::record_or_page))
                .layer(from_fn_with_state(
                    Packages::new(&hub.catalog, hub.weights.weights_first),
                    packages::before_pages,
                )),
        )
        .merge(api::routes(hub.clone()))
        .fallback_service(site)
        .layer(
            ServiceBuilder::new()
                .layer(from_fn(request_id::only_plain))
                .layer(SetRequestIdLayer::new(request_id::HEADER, MakeRequestUuid))
                .layer(TraceLayer::new_for_http().make_span_with(span))
                .layer(from_fn(access::record))
                .layer(PropagateRequestIdLayer::new(request_id::HEADER))
                .layer(from_fn_with_state(https, headers::secure))
                .layer(from_fn_with_state(hosts, hosts::check))
                .layer(from_fn_with_state(https.0, api::renew_cookie))
                .layer(
                    CompressionLayer::new()
                        .quality(CompressionLevel::Precise(QUALITY))
                        .compress_when(is_page),
                )
                .layer(CatchPanicLayer::custom(after_panic)),
        )
}

/// Pages alone are compressed: client files are already, events have to go at once, and JSON may hold what only its owner
/// may see beside what a stranger chose, whose length would tell (BREACH). Pages hold no secret.
fn is_page(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

/// Path only: query strings may carry what visitors typed.
fn span(request: &Request) -> tracing::Span {
    let id = request
        .headers()
        .get(request_id::HEADER)
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default();
    let span = tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        id,
        status = tracing::field::Empty,
        otel.kind = "server",
    );
    let above = request.headers().get(traces::TRACEPARENT);
    if let Some(above) = above.and_then(|value| value.to_str().ok()) {
        traces::continue_from(&span, above);
    }
    span
}

fn after_panic(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    api::internal_error().into_response()
}

/// What the pages read.
pub struct PageData(pub Hub);

#[async_trait]
impl HubData for PageData {
    async fn models(&self) -> Result<Vec<ModelSummary>, Problem> {
        Ok(self.0.catalog.now().summaries())
    }

    async fn gallery(
        &self,
        query: GalleryQuery,
        cookies: Option<String>,
    ) -> Result<GalleryPage, Problem> {
        let owner = cookies.as_deref().and_then(OwnerId::from_cookies);
        self.0.images.gallery(&query, owner.as_ref()).await
    }

    async fn image(&self, id: &str, cookies: Option<String>) -> Result<ImageRecord, Problem> {
        let owner = cookies.as_deref().and_then(OwnerId::from_cookies);
        self.0.images.record(id, owner.as_ref()).await
    }

    fn is_operator(&self, cookies: Option<&str>) -> bool {
        let operator = self.0.operator.as_ref();
        operator.is_some_and(|operator| cookies.is_some_and(|sent| operator.is_session(sent)))
    }

    async fn adding(
        &self,
        asked: Option<AdditionRequest>,
        cookies: Option<String>,
    ) -> Result<AddingPage, Problem> {
        let Some(operator) = &self.0.operator else {
            return Err(Problem::new(ProblemCode::NotFound, "there is no such page"));
        };
        if !self.is_operator(cookies.as_deref()) {
            return Ok(AddingPage::default());
        }
        let additions = operator.additions().list().await?;
        let catalog = self.0.catalog.now();
        let look = async {
            let asked = match read_request(asked?) {
                Ok(asked) => asked,
                Err(problem) => return Some(Err(problem)),
            };
            Some(operator.look(&asked, &catalog).await)
        };
        let packages = catalog.entries().map(|entry| PackageHere {
            id: entry.summary.id.clone(),
            name: entry.summary.name.clone(),
            bytes: entry.summary.download_bytes,
        });
        Ok(AddingPage {
            signed_in: true,
            look: look.await,
            additions,
            packages: packages.collect(),
        })
    }

    async fn search(&self, query: ModelQuery) -> Result<ModelPage, Problem> {
        self.0.cards.search(&query).await
    }

    async fn card(&self, id: &str) -> Result<ModelCard, Problem> {
        let (owner, name) = id.split_once('/').unwrap_or((id, ""));
        self.0.cards.card(owner, name).await
    }

    async fn creator(&self, owner: &str, cursor: Option<String>) -> Result<CreatorPage, Problem> {
        self.0.cards.creator(owner, None, cursor).await
    }

    fn weight_hosts(&self) -> Vec<String> {
        let catalog = self.0.catalog.now();
        let origins = catalog
            .entries()
            .flat_map(|entry| entry.elsewhere.origins());
        let mut hosts: BTreeSet<&str> = origins.collect();
        // Where nothing is fetched from the hub, nothing leads on from there.
        if !hosts.is_empty() {
            hosts.extend(self.0.weights.weights_hosts.iter().map(HostSource::as_str));
        }
        hosts.into_iter().map(str::to_owned).collect()
    }
}
