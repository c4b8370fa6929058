//! Cards, lists and creators, put together from packages, the hub and arXiv, within a deadline.

mod ask;
mod list;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::{
    CreatorPage, ModelCard, ModelPage, ModelQuery, Problem, ProblemCode, Provenance, Source,
    TroubleKind,
};
use tokio::time::Instant;

use super::hub::{HubModel, is_name};
use super::{Catalog, Live, hub, local};
use crate::config::CatalogConfig;
use ask::Ask;

/// The catalogue as pages and API read it.
#[derive(Clone)]
pub struct Cards(Arc<Inner>);

struct Inner {
    catalog: Live,
    /// What was made of a catalogue, until there is another one.
    local: Mutex<Option<Made>>,
    ask: Option<Ask>,
    deadline: Duration,
}

/// Cards, and the catalogue that they were made of.
type Made = (Arc<Catalog>, Arc<Vec<Local>>);

/// A model that runs here.
struct Local {
    card: ModelCard,
    hub_id: Option<(String, String)>,
    snapshot: Option<(HubModel, u64)>,
}

impl Cards {
    /// The catalogue of `packages`; answers of others are kept below `data`.
    ///
    /// # Errors
    /// When an address is not usable.
    pub fn new(catalog: &Live, config: &CatalogConfig, data: &Path) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Inner {
            catalog: catalog.clone(),
            local: Mutex::default(),
            ask: config
                .catalog_online
                .then(|| Ask::new(config, &data.join("catalog")))
                .transpose()?,
            deadline: config.deadline(),
        })))
    }

    /// Everything about a model. One that runs here is answered at once, from what is known; for another the hub is
    /// waited for, until the deadline.
    ///
    /// # Errors
    /// [`ProblemCode::UnknownModel`] when it neither runs here nor is known to the hub.
    pub async fn card(&self, owner: &str, name: &str) -> Result<ModelCard, Problem> {
        let deadline = Instant::now() + self.0.deadline;
        let here = |l: &&Local| l.card.owner == owner && l.card.name == name;
        if let Some(local) = self.0.local().iter().find(here) {
            let card = local.card.clone();
            return Ok(match &self.0.ask {
                Some(ask) => ask.freshen(card, local).await,
                None => offline(card, local),
            });
        }
        let known = self.0.catalog.now().known();
        let known = known.find(&format!("{owner}/{name}"));
        let ask = self
            .0
            .ask
            .as_ref()
            .filter(|_| is_name(owner) && is_name(name));
        let Some(ask) = ask else {
            return known
                .map(local::known)
                .ok_or_else(|| unknown_model(owner, name));
        };
        let mut card = ask.model(owner, name, deadline).await;
        if let Some(known) = known {
            local::lend(&mut card, known);
            return Ok(card);
        }
        let is_unknown = card.provenance.iter().any(|p| {
            let trouble = p.trouble.as_ref().map(|trouble| trouble.kind);
            p.source == Source::Hub
                && p.fetched_at.is_none()
                && trouble == Some(TroubleKind::NotFound)
        });
        if is_unknown {
            return Err(unknown_model(owner, name));
        }
        Ok(card)
    }

    /// A page of models: those that run here first, then the hub's.
    ///
    /// # Errors
    /// [`ProblemCode::OutOfRange`] or [`ProblemCode::MalformedRequest`] on what the query says.
    pub async fn search(&self, query: &ModelQuery) -> Result<ModelPage, Problem> {
        list::page(&self.0, query).await
    }

    /// A page of a creator's models.
    ///
    /// # Errors
    /// Those of [`Self::search`], and [`ProblemCode::NotFound`] when the creator has none.
    pub async fn creator(
        &self,
        owner: &str,
        limit: Option<u32>,
        cursor: Option<String>,
    ) -> Result<CreatorPage, Problem> {
        let nobody = || {
            let owner: String = owner.chars().take(80).collect();
            Problem::new(
                ProblemCode::NotFound,
                format!("no model by {owner} is known"),
            )
            .with_hint("GET /api/v1/models/search finds models by name.")
        };
        if !is_name(owner) {
            return Err(nobody());
        }
        let first = cursor.is_none();
        let query = ModelQuery {
            owner: Some(owner.to_owned()),
            limit,
            cursor,
            ..ModelQuery::default()
        };
        let page = self.search(&query).await?;
        let in_trouble = page.provenance.iter().any(|p| p.trouble.is_some());
        if first && page.items.is_empty() && !in_trouble {
            return Err(nobody());
        }
        let on_hub = page.items.iter().any(|card| card.hub_url.is_some());
        Ok(CreatorPage {
            owner: owner.to_owned(),
            hub_url: self
                .0
                .ask
                .as_ref()
                .filter(|_| on_hub)
                .map(|ask| ask.hub_page(owner, None)),
            items: page.items,
            next_cursor: page.next_cursor,
            provenance: page.provenance,
        })
    }
}

impl Inner {
    /// The models that run here now.
    fn local(&self) -> Arc<Vec<Local>> {
        let now = self.catalog.now();
        let mut known = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((catalog, local)) if Arc::ptr_eq(catalog, &now) => Arc::clone(local),
            _ => {
                let local = Arc::new(Local::all(&now));
                *known = Some((now, Arc::clone(&local)));
                local
            }
        }
    }
}

impl Local {
    /// Whether it is the model of this name on the hub, or was made of that.
    fn is_of(&self, id: &str) -> bool {
        let of_hub = self.hub_id.as_ref();
        self.card.id == id
            || of_hub.is_some_and(|(owner, name)| id.split_once('/') == Some((owner, name)))
    }

    fn all(catalog: &Catalog) -> Vec<Self> {
        let here = catalog.entries().map(|entry| Self {
            card: local::packaged(entry),
            hub_id: entry.card.hub_id.as_deref().and_then(split),
            snapshot: entry
                .card
                .hub
                .clone()
                .map(|hub| (hub.model, hub.fetched_at)),
        });
        let hosted = catalog.hosted().iter().map(|hosted| Self {
            card: local::hosted(hosted),
            hub_id: None,
            snapshot: None,
        });
        here.chain(hosted).collect()
    }
}

/// The card of a package whose hub is not asked: what the hub said when the package was made.
fn offline(mut card: ModelCard, local: &Local) -> ModelCard {
    if let Some((model, fetched_at)) = &local.snapshot {
        take(&mut card, model);
        card.provenance.push(Provenance {
            source: Source::Hub,
            fetched_at: Some(*fetched_at),
            stale: true,
            trouble: Some(protocol::Trouble {
                kind: TroubleKind::Disabled,
                detail: "this server is set up not to ask the hub".to_owned(),
            }),
        });
    }
    card
}

/// Adds what the hub knows and `card` lacks; what changes is the hub's.
fn take(card: &mut ModelCard, model: &HubModel) {
    card.downloads = model.downloads;
    card.likes = model.likes;
    card.last_modified = model.last_modified;
    card.gated = model.gated;
    if card.tags.is_empty() {
        card.tags.clone_from(&model.tags);
    }
    if card.components.is_empty() {
        card.components.clone_from(&model.components);
        let bytes = model.components.iter().map(|part| part.bytes);
        card.total_bytes = bytes
            .sum::<Option<u64>>()
            .filter(|_| !model.components.is_empty());
    }
    // Answers that were kept, and snapshots in packages, may be older than this rule.
    for id in model.papers.iter().filter(|id| !hub::is_boilerplate(id)) {
        if !card.papers.iter().any(|p| p.arxiv_id.as_ref() == Some(id)) {
            card.papers.push(protocol::PaperRecord::of_arxiv(id));
        }
    }
    if card.license.is_none() {
        let page = card.hub_url.clone().unwrap_or_default();
        card.license = model
            .license
            .as_ref()
            .map(|stated| hub::license(stated, &page));
    }
}

fn split(id: &str) -> Option<(String, String)> {
    let (owner, name) = id.split_once('/')?;
    (is_name(owner) && is_name(name)).then(|| (owner.to_owned(), name.to_owned()))
}

fn unknown_model(owner: &str, name: &str) -> Problem {
    let id: String = format!("{owner}/{name}").chars().take(120).collect();
    Problem::new(
        ProblemCode::UnknownModel,
        format!("no model {id:?} is known"),
    )
    .with_hint(
        "GET /api/v1/models lists the models that run here, GET /api/v1/models/search all others.",
    )
}
