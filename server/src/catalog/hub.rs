//! The Hugging Face Hub: models, models by creator, papers.
//!
//! Shapes: <https://huggingface.co/docs/hub/api>. Members that are missing, null or of another type count as unknown, and
//! members that are new are passed over; an answer without an identifier is no answer.

mod components;
mod model;
mod papers;

use std::collections::BTreeMap;

use protocol::{License, TroubleKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

pub use model::{HubFile, HubLicense, HubModel, files};
pub use papers::{Citations, is_boilerplate};

use super::text::{self, plain};
use super::upstream::{Failure, Upstream};

/// Most models that are read of one list.
const MAX_LIST: usize = 100;
/// Most authors that are read of one paper.
const MAX_AUTHORS: usize = 10_000;
const JSON: &str = "application/json";

/// One page of a list of models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HubList {
    /// The models.
    pub models: Vec<HubModel>,
    /// The hub's cursor of the next page.
    pub cursor: Option<String>,
}

/// What a list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubQuery {
    /// Creator.
    pub author: Option<String>,
    /// Words in the name.
    pub search: Option<String>,
    /// Identifier of a licence.
    pub license: Option<String>,
    /// Most models.
    pub limit: u32,
    /// Cursor of the page.
    pub cursor: Option<String>,
}

/// A paper as the hub has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HubPaper {
    /// Title.
    pub title: Option<String>,
    /// Abstract.
    pub abstract_text: Option<String>,
    /// Authors in order, with the account that claimed the paper.
    pub authors: Vec<(String, Option<String>)>,
    /// Day of publication.
    pub published: Option<String>,
}

impl HubPaper {
    /// Accounts by author's name.
    pub fn accounts(&self) -> BTreeMap<&str, &str> {
        self.authors
            .iter()
            .filter_map(|(name, user)| Some((name.as_str(), user.as_deref()?)))
            .collect()
    }
}

impl HubQuery {
    fn address(&self, hub: &Upstream) -> Url {
        let mut url = hub.address(&["api", "models"]);
        let limit = self.limit.to_string();
        let license = self
            .license
            .as_ref()
            .map(|id| format!("license:{}", id.to_lowercase()));
        let pairs = [
            ("pipeline_tag", Some("text-to-image")),
            ("sort", Some("downloads")),
            ("direction", Some("-1")),
            ("full", Some("true")),
            ("limit", Some(limit.as_str())),
            ("author", self.author.as_deref()),
            ("search", self.search.as_deref()),
            ("filter", license.as_deref()),
            ("cursor", self.cursor.as_deref()),
        ];
        url.query_pairs_mut()
            .extend_pairs(pairs.into_iter().filter_map(|(k, v)| Some((k, v?))));
        url
    }
}

/// Asks for a model, sizes of its files included.
///
/// # Errors
/// Why there is no answer.
pub async fn model(hub: &Upstream, owner: &str, name: &str) -> Result<HubModel, Failure> {
    HubModel::read(&model_json(hub, owner, name, None).await?)
        .ok_or_else(|| malformed(hub, "model"))
}

/// The hub's own JSON on a model.
///
/// # Errors
/// Why there is no answer.
pub async fn model_json(
    hub: &Upstream,
    owner: &str,
    name: &str,
    revision: Option<&str>,
) -> Result<Value, Failure> {
    let mut path = vec!["api", "models", owner, name];
    path.extend(revision.into_iter().flat_map(|at| ["revision", at]));
    let mut url = hub.address(&path);
    url.set_query(Some("blobs=true"));
    json(hub, &hub.get(url, JSON).await?.body)
}

/// Asks for a model's README, for what it is to be cited by.
///
/// # Errors
/// Why there is no answer.
pub async fn citations(hub: &Upstream, owner: &str, name: &str) -> Result<Citations, Failure> {
    let url = hub.address(&[owner, name, "raw", "main", "README.md"]);
    let answer = hub.get(url, "text/plain").await?;
    Ok(Citations::read(&String::from_utf8_lossy(&answer.body)))
}

/// Asks for a page of text-to-image models, most downloaded first.
///
/// # Errors
/// Why there is no answer.
pub async fn list(hub: &Upstream, query: &HubQuery) -> Result<HubList, Failure> {
    let answer = hub.get(query.address(hub), JSON).await?;
    let Value::Array(items) = json(hub, &answer.body)? else {
        return Err(malformed(hub, "list of models"));
    };
    let cursor = answer.next.and_then(|url| {
        let pair = url.query_pairs().find(|(name, _)| name == "cursor")?;
        Some(pair.1.into_owned())
    });
    Ok(HubList {
        models: items
            .iter()
            .take(MAX_LIST)
            .filter_map(HubModel::read)
            .collect(),
        cursor: cursor.filter(|c| c.len() <= 1000),
    })
}

/// Asks for a paper by its arXiv identifier.
///
/// # Errors
/// Why there is no answer.
pub async fn paper(hub: &Upstream, arxiv_id: &str) -> Result<HubPaper, Failure> {
    let answer = hub
        .get(hub.address(&["api", "papers", arxiv_id]), JSON)
        .await?;
    let paper = json(hub, &answer.body)?;
    let text = |name: &str, max| plain(paper.get(name)?.as_str()?, max);
    let title = text("title", text::TITLE).ok_or_else(|| malformed(hub, "paper"))?;
    let authors = paper.get("authors").and_then(Value::as_array);
    let author = |author: &Value| {
        // Hidden authors asked the hub not to show the link to their account.
        let user = author.pointer("/user/user").and_then(Value::as_str);
        let user = user.filter(|user| is_name(user)).map(str::to_owned);
        Some((plain(author.get("name")?.as_str()?, text::NAME)?, user))
    };
    Ok(HubPaper {
        title: Some(title),
        abstract_text: text("summary", text::ABSTRACT),
        authors: authors
            .into_iter()
            .flatten()
            .take(MAX_AUTHORS)
            .filter_map(author)
            .collect(),
        published: paper
            .get("publishedAt")
            .and_then(Value::as_str)
            .and_then(text::day),
    })
}

/// A creator's or model's name on the hub.
pub fn is_name(name: &str) -> bool {
    (1..=96).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The licence in plain words.
pub fn license(stated: &HubLicense, hub_url: &str) -> License {
    // Licences of their own are named beside "other".
    let id = match (&*stated.id, &stated.name) {
        ("other", Some(name)) => name.as_str(),
        (id, _) => id,
    };
    let mut license = super::licenses::describe(id);
    if let Some(link) = &stated.link {
        let page = format!("{hub_url}/blob/main/");
        let file = || text::web_address(&format!("{page}{}", link.trim_start_matches('/')));
        let relative = !link.contains(':');
        license.url = text::web_address(link).or_else(|| relative.then(file).flatten());
    }
    license
}

fn json(hub: &Upstream, body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let what = if error.is_eof() {
            "sent half an answer"
        } else {
            "sent something else than JSON"
        };
        Failure::new(TroubleKind::Malformed, format!("{} {what}", hub.host()))
    })
}

fn malformed(hub: &Upstream, what: &str) -> Failure {
    Failure::new(
        TroubleKind::Malformed,
        format!("{} sent no {what}", hub.host()),
    )
}
