//! What is known of a package beside its manifest: `card.json` in its folder, or its entry in `catalog.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use protocol::{PaperRecord, SmallerWeights, Source};
use serde::{Deserialize, Serialize};

use super::hub::HubModel;

/// Name of the cards' file in the models folder.
pub const CATALOG: &str = "catalog.toml";
/// Name of the file in a package's folder.
pub const CARD: &str = "card.json";
/// Largest card that is read, in bytes.
const MAX_CARD_BYTES: u64 = 1 << 20;
/// The entries of the packages that come with this program, for where the models folder has no `catalog.toml`.
const EMBEDDED: &str = include_str!("../../../models/catalog.toml");

/// Facts beside the manifest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CardFile {
    /// `owner/name`, as in the manifest.
    pub id: String,
    /// The model on the hub that the package was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub_id: Option<String>,
    /// Text of the licence, where its identifier does not lead to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license_url: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Papers, the base paper first. One that the manifest has too adds what the manifest lacks.
    pub papers: Vec<PaperRecord>,
    /// A picture that the model made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<SampleFile>,
    /// What the hub said when the package was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubSnapshot>,
    /// Weights that have fewer bits than their author's, by the names of the graphs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, SmallerWeights>,
}

/// A picture in the package's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleFile {
    /// Name of the PNG.
    pub file: String,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
}

/// An answer of the hub and when it came, milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HubSnapshot {
    /// When it came.
    pub fetched_at: u64,
    /// The answer.
    pub model: HubModel,
    /// The commit that the package's files are of; packages of before do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogFile {
    #[serde(default)]
    card: Vec<CardFile>,
}

/// The entries of `catalog.toml` in the models folder, or those that come with this program.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read_catalog(models_dir: &Path) -> anyhow::Result<Vec<CardFile>> {
    let path = models_dir.join(CATALOG);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => EMBEDDED.to_owned(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let file: CatalogFile =
        toml::from_str(&text).with_context(|| format!("{} is not readable", path.display()))?;
    Ok(file.card)
}

/// The card of the package `id` in `dir`: its own, else the entry of `catalog`, else an empty one.
///
/// # Errors
/// When its own is there and cannot be read, or is another package's.
pub fn read(dir: &Path, id: &str, catalog: &[CardFile]) -> anyhow::Result<CardFile> {
    let path = dir.join(CARD);
    let mut card = if path.is_file() {
        let json = super::read_capped(&path, MAX_CARD_BYTES)?;
        let card: CardFile = serde_json::from_slice(&json)
            .with_context(|| format!("{} is not readable", path.display()))?;
        anyhow::ensure!(
            card.id == id,
            "{} is the card of {}",
            path.display(),
            card.id
        );
        card
    } else {
        let entry = catalog.iter().find(|card| card.id == id);
        entry.cloned().unwrap_or_default()
    };
    for paper in &mut card.papers {
        if paper.title.is_some() {
            paper.source.get_or_insert(Source::Package);
        }
        if let (None, Some(id)) = (&paper.url, &paper.arxiv_id) {
            paper.url = PaperRecord::of_arxiv(id).url;
        }
    }
    Ok(card)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_embedded_catalogue_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = read_catalog(dir.path()).unwrap();
        let card = read(dir.path(), "demo-hub/glyph", &catalog).unwrap();
        assert_eq!(card.papers[1].source, Some(Source::Package));
        assert_eq!(
            card.papers[0].url.as_deref(),
            Some("https://arxiv.org/abs/2209.03003")
        );
        assert_eq!(
            read(dir.path(), "a/b", &catalog).unwrap(),
            CardFile::default()
        );
    }

    #[test]
    fn a_card_in_the_folder_comes_first_and_must_be_its_own() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(CARD), r#"{"id":"a/b","tags":["x"]}"#).unwrap();
        assert_eq!(read(dir.path(), "a/b", &[]).unwrap().tags, ["x"]);
        assert!(read(dir.path(), "a/c", &[]).is_err());
        std::fs::write(dir.path().join(CARD), "{").unwrap();
        assert!(read(dir.path(), "a/b", &[]).is_err());
        std::fs::write(dir.path().join("catalog.toml"), "[[card]]\nnonsense = 1").unwrap();
        assert!(read_catalog(dir.path()).is_err());
    }
}
