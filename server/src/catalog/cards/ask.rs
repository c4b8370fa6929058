//! What the hub and arXiv are asked, through the caches.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use protocol::{Author, ModelCard, PaperRecord, Provenance, Source, Trouble, TroubleKind};
use tokio::time::Instant;

use super::super::arxiv::{self, ArxivPaper};
use super::super::cache::{Cache, Known};
use super::super::hub::{self, Citations, HubList, HubModel, HubPaper, HubQuery};
use super::super::local::fill;
use super::super::upstream::{Upstream, UpstreamOptions};
use super::{Local, take};
use crate::config::CatalogConfig;

/// The hub and arXiv.
#[derive(Clone)]
pub(super) struct Ask(Arc<Hosts>);

struct Hosts {
    hub: Upstream,
    arxiv: Upstream,
    models: Cache<HubModel>,
    lists: Cache<HubList>,
    papers: Cache<HubPaper>,
    citations: Cache<Citations>,
    feeds: Cache<Vec<ArxivPaper>>,
}

impl Ask {
    pub fn new(config: &CatalogConfig, dir: &Path) -> anyhow::Result<Self> {
        let hub = UpstreamOptions {
            base: config.hub.hub_url.clone(),
            token: config.hub.hub_token.clone(),
            timeout: config.timeout(),
            max_bytes: config.catalog_max_bytes,
            concurrency: config.catalog_concurrency,
            interval: Duration::ZERO,
        };
        let arxiv = UpstreamOptions {
            base: config.arxiv_url.clone(),
            token: None,
            concurrency: 1,
            interval: config.arxiv_interval(),
            ..hub.clone()
        };
        Ok(Self(Arc::new(Hosts {
            hub: Upstream::new(hub)?,
            arxiv: Upstream::new(arxiv)?,
            models: Cache::new(dir, "models", config.ttl()),
            lists: Cache::new(dir, "lists", config.ttl()),
            papers: Cache::new(dir, "papers", config.ttl()),
            citations: Cache::new(dir, "citations", config.ttl()),
            feeds: Cache::new(dir, "arxiv", config.ttl()),
        })))
    }

    /// The hub's page of a creator or a model.
    pub fn hub_page(&self, owner: &str, name: Option<&str>) -> String {
        let path: Vec<&str> = std::iter::once(owner).chain(name).collect();
        self.0.hub.address(&path).into()
    }

    /// The card of a model of the hub; where there is no answer, it says so and is empty otherwise.
    pub async fn model(&self, owner: &str, name: &str, deadline: Instant) -> ModelCard {
        let known = self.known_model(owner, name, deadline).await;
        let mut card = self.bare(owner, name);
        if let Some(model) = &known.value {
            take(&mut card, model);
        }
        card.provenance.push(provenance(Source::Hub, &known));
        self.papers(&mut card, deadline).await;
        self.base_paper(&mut card, owner, name, deadline).await;
        card
    }

    /// The card of a model that runs here with what is known about it by now; nothing is waited for.
    pub async fn freshen(&self, mut card: ModelCard, local: &Local) -> ModelCard {
        let now = Instant::now();
        if let Some((owner, name)) = &local.hub_id {
            card.hub_url = Some(self.hub_page(owner, Some(name)));
            let mut known = self.known_model(owner, name, now).await;
            if let (None, Some((model, fetched_at))) = (&known.value, &local.snapshot) {
                known.value = Some(Arc::new(model.clone()));
                known.fetched_at = Some(*fetched_at);
                known.stale = true;
            }
            if let Some(model) = &known.value {
                take(&mut card, model);
            }
            card.provenance.push(provenance(Source::Hub, &known));
        }
        self.papers(&mut card, now).await;
        if let Some((owner, name)) = &local.hub_id {
            self.base_paper(&mut card, owner, name, now).await;
        }
        card
    }

    /// A page of the hub's models.
    pub async fn list(&self, query: HubQuery, deadline: Instant) -> (Known<HubList>, Provenance) {
        let key = format!("{query:?}");
        let hosts = Arc::clone(&self.0);
        let fetch = || async move { hub::list(&hosts.hub, &query).await };
        let known = self.0.lists.get(&key, deadline, fetch).await;
        let provenance = provenance(Source::Hub, &known);
        (known, provenance)
    }

    /// The card of an element of a list.
    pub fn listed(&self, model: &HubModel) -> ModelCard {
        let mut card = self.bare(&model.owner, &model.name);
        take(&mut card, model);
        card
    }

    fn bare(&self, owner: &str, name: &str) -> ModelCard {
        ModelCard {
            id: format!("{owner}/{name}"),
            owner: owner.to_owned(),
            name: name.to_owned(),
            title: name.to_owned(),
            hub_url: Some(self.hub_page(owner, Some(name))),
            ..ModelCard::default()
        }
    }

    async fn known_model(&self, owner: &str, name: &str, deadline: Instant) -> Known<HubModel> {
        let (hosts, owner, name) = (Arc::clone(&self.0), owner.to_owned(), name.to_owned());
        let key = format!("{owner}/{name}");
        let fetch = || async move { hub::model(&hosts.hub, &owner, &name).await };
        self.0.models.get(&key, deadline, fetch).await
    }

    /// Completes the card's papers. arXiv lets few requests through, so it is asked for all of them at once, and waited
    /// for only where the hub does not know them.
    async fn papers(&self, card: &mut ModelCard, deadline: Instant) {
        let ids: Vec<String> = card
            .papers
            .iter()
            .filter_map(|p| p.arxiv_id.clone())
            .collect();
        if ids.is_empty() {
            return;
        }
        let now = Instant::now();
        self.feed(&ids, now).await;
        let papers = join_all(ids.iter().map(|id| self.paper(id, deadline))).await;
        let all = papers.iter().all(|paper| paper.value.is_some());
        let feed = self.feed(&ids, if all { now } else { deadline }).await;
        for record in &mut card.papers {
            let Some(index) = ids
                .iter()
                .position(|id| record.arxiv_id.as_ref() == Some(id))
            else {
                continue;
            };
            let mut feed = feed.value.iter().flat_map(|papers| papers.iter());
            if let Some(paper) = feed.find(|paper| paper.id == ids[index]) {
                fill(record, &of_arxiv(paper));
            }
            if let Some(paper) = &papers[index].value {
                fill(record, &of_hub(paper));
                let accounts = paper.accounts();
                for author in &mut record.authors {
                    author.hub_user = accounts.get(&*author.name).map(|user| (*user).to_owned());
                }
            }
        }
        if !card.provenance.iter().any(|p| p.source == Source::Hub) {
            card.provenance.push(together(&papers));
        }
        card.provenance.push(provenance(Source::Arxiv, &feed));
    }

    /// Finds out which of several papers the model comes from, if its README says so; without one, none is marked.
    async fn base_paper(&self, card: &mut ModelCard, owner: &str, name: &str, deadline: Instant) {
        if card.papers.len() < 2 || card.papers.iter().any(|paper| paper.base) {
            return;
        }
        let (hosts, key) = (Arc::clone(&self.0), format!("{owner}/{name}"));
        let (owner, name) = (owner.to_owned(), name.to_owned());
        let fetch = || async move { hub::citations(&hosts.hub, &owner, &name).await };
        let known = self.0.citations.get(&key, deadline, fetch).await;
        if let Some(citations) = known.value {
            citations.mark(&mut card.papers);
        }
    }

    async fn paper(&self, id: &str, deadline: Instant) -> Known<HubPaper> {
        let (hosts, arxiv_id) = (Arc::clone(&self.0), id.to_owned());
        let fetch = || async move { hub::paper(&hosts.hub, &arxiv_id).await };
        self.0.papers.get(id, deadline, fetch).await
    }

    async fn feed(&self, ids: &[String], deadline: Instant) -> Known<Vec<ArxivPaper>> {
        let mut ids = ids.to_vec();
        ids.sort();
        let (hosts, key) = (Arc::clone(&self.0), ids.join(","));
        let fetch = || async move { arxiv::papers(&hosts.arxiv, &ids).await };
        self.0.feeds.get(&key, deadline, fetch).await
    }
}

fn of_arxiv(paper: &ArxivPaper) -> PaperRecord {
    PaperRecord {
        doi: paper.doi.clone(),
        title: paper.title.clone(),
        abstract_text: paper.abstract_text.clone(),
        authors: paper.authors.iter().map(Author::named).collect(),
        published: paper.published.clone(),
        source: Some(Source::Arxiv),
        ..PaperRecord::default()
    }
}

fn of_hub(paper: &HubPaper) -> PaperRecord {
    PaperRecord {
        title: paper.title.clone(),
        abstract_text: paper.abstract_text.clone(),
        authors: paper
            .authors
            .iter()
            .map(|(name, _)| Author::named(name))
            .collect(),
        published: paper.published.clone(),
        source: Some(Source::Hub),
        ..PaperRecord::default()
    }
}

fn provenance<T>(source: Source, known: &Known<T>) -> Provenance {
    Provenance {
        source,
        fetched_at: known.fetched_at,
        stale: known.stale,
        trouble: known.trouble.clone(),
    }
}

/// The provenance of several answers. A paper that the hub does not have is no trouble: arXiv has it.
fn together<T>(known: &[Known<T>]) -> Provenance {
    let real = |trouble: &&Trouble| trouble.kind != TroubleKind::NotFound;
    Provenance {
        source: Source::Hub,
        fetched_at: known.iter().filter_map(|k| k.fetched_at).min(),
        stale: known.iter().any(|k| k.stale),
        trouble: known
            .iter()
            .filter_map(|k| k.trouble.as_ref())
            .find(real)
            .cloned(),
    }
}
