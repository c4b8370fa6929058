//! Cards of the models that run here, from their packages.

use std::collections::BTreeSet;
use std::path::Path;

use onnx_gpu::proto::{Contents, Model};
use protocol::{
    ComponentSize, Gated, KnownModel, ModelCard, ModelSummary, PaperRecord, Provenance, Runs,
    SamplePicture, Source,
};
use sha2::{Digest, Sha256};

use super::{CatalogEntry, hub, licenses, read_capped};

/// Largest sample picture that is served, in bytes.
const MAX_SAMPLE_BYTES: u64 = 4 << 20;

pub(super) struct Sample {
    pub sha256: String,
    pub size: (u32, u32),
}

/// The sample picture of a package, if it is a PNG of reasonable size beside the manifest.
pub(super) fn sample(dir: &Path, file: &str) -> Option<Sample> {
    let plain = hub::is_name(file) && file.ends_with(".png");
    let bytes = plain.then(|| read_capped(&dir.join(file), MAX_SAMPLE_BYTES).ok())??;
    let reader = png::Decoder::new(std::io::Cursor::new(&bytes))
        .read_info()
        .ok()?;
    Some(Sample {
        sha256: hex::encode(Sha256::digest(&bytes)),
        size: reader.info().size(),
    })
}

/// The card of a model that an endpoint elsewhere runs.
pub(super) fn hosted(summary: &ModelSummary) -> ModelCard {
    ModelCard {
        runs: Runs {
            browser: false,
            server: true,
        },
        ..common(summary)
    }
}

/// The card of a package.
pub(super) fn packaged(entry: &CatalogEntry) -> ModelCard {
    let summary = &entry.summary;
    let mut card = ModelCard {
        weights_digest: Some(summary.weights_digest.clone()),
        total_bytes: Some(summary.download_bytes),
        needs: Some(summary.needs),
        runs: Runs {
            browser: true,
            server: entry.elsewhere.is_whole(),
        },
        tags: entry.card.tags.clone(),
        components: entry.components.clone(),
        revision: entry.card.hub.as_ref().and_then(|hub| hub.revision.clone()),
        files: entry.authors.clone(),
        sample: entry.sample_size.zip(entry.card.sample.as_ref()).map(
            |((width, height), sample)| SamplePicture {
                url: format!("/models/{}/{}", entry.slug, sample.file),
                width,
                height,
                prompt: sample.prompt.clone(),
                permalink: None,
            },
        ),
        ..common(summary)
    };
    for paper in &entry.card.papers {
        match card
            .papers
            .iter_mut()
            .find(|p| p.arxiv_id.is_some() && p.arxiv_id == paper.arxiv_id)
        {
            Some(known) => fill(known, paper),
            None => card.papers.push(paper.clone()),
        }
    }
    if let (Some(license), Some(url)) = (&mut card.license, &entry.card.license_url) {
        license.url = Some(url.clone());
    }
    card
}

fn common(summary: &ModelSummary) -> ModelCard {
    let (owner, name) = summary.id.split_once('/').unwrap_or(("", &summary.id));
    ModelCard {
        id: summary.id.clone(),
        owner: owner.to_owned(),
        name: name.to_owned(),
        title: summary.name.clone(),
        summary: (!summary.summary.is_empty()).then(|| summary.summary.clone()),
        license: (!summary.license.is_empty()).then(|| licenses::describe(&summary.license)),
        papers: summary.paper.iter().map(PaperRecord::from).collect(),
        runnable: Some(summary.clone()),
        provenance: vec![of_package()],
        ..ModelCard::default()
    }
}

/// The card of a model that this hub could hold, where its hub is not asked.
pub(super) fn known(known: &KnownModel) -> ModelCard {
    let (owner, name) = known.id.split_once('/').unwrap_or(("", &known.id));
    let mut card = ModelCard {
        id: known.id.clone(),
        owner: owner.to_owned(),
        name: name.to_owned(),
        provenance: vec![of_package()],
        ..ModelCard::default()
    };
    lend(&mut card, known);
    card
}

/// Adds what is known of a model to the hub's card of it.
pub(super) fn lend(card: &mut ModelCard, known: &KnownModel) {
    card.title.clone_from(&known.title);
    card.summary.get_or_insert_with(|| known.summary.clone());
    if card.license.is_none() {
        card.license.clone_from(&known.license);
    }
    if card.papers.is_empty() {
        card.papers.extend(known.paper.clone());
    }
    if known.gated {
        card.gated.get_or_insert(Gated::Manual);
    }
    card.known = Some(Box::new(known.clone()));
}

fn of_package() -> Provenance {
    Provenance {
        source: Source::Package,
        fetched_at: None,
        stale: false,
        trouble: None,
    }
}

/// Adds to `known` what it lacks and `other` has.
pub(super) fn fill(known: &mut PaperRecord, other: &PaperRecord) {
    let lend = |mine: &mut Option<String>, theirs: &Option<String>| {
        if mine.is_none() {
            mine.clone_from(theirs);
        }
    };
    lend(&mut known.doi, &other.doi);
    lend(&mut known.title, &other.title);
    lend(&mut known.abstract_text, &other.abstract_text);
    lend(&mut known.url, &other.url);
    lend(&mut known.published, &other.published);
    if known.authors.is_empty() {
        known.authors.clone_from(&other.authors);
    }
    known.source = known.source.or(other.source);
}

/// A graph of a package: its size, and the element type that most of its weights are stored in.
/// Its weights lie in other files of `external` bytes, which may hold those of other graphs too.
pub(super) fn component(name: &str, onnx: &[u8], external: u64) -> ComponentSize {
    ComponentSize {
        name: name.to_owned(),
        bytes: Some(onnx.len() as u64 + external.min(outside(onnx))),
        dtype: main_storage(onnx),
        smaller: None,
    }
}

/// Bytes of the weights that a graph reads of other files.
fn outside(onnx: &[u8]) -> u64 {
    let Ok(model) = Model::parse(onnx) else {
        return u64::MAX;
    };
    let weights = model.graph.initializers.iter();
    let places = weights.filter_map(|weight| match &weight.contents {
        Contents::Stored(place) if place.file.is_some() => {
            Some((place.file.clone(), place.offset, place.length))
        }
        _ => None,
    });
    let places: BTreeSet<_> = places.collect();
    places.iter().map(|(_, _, length)| *length).sum()
}

fn main_storage(onnx: &[u8]) -> Option<String> {
    let model = Model::parse(onnx).ok()?;
    let mut sums: Vec<(String, u64)> = Vec::new();
    for weight in &model.graph.initializers {
        let name = format!("{:?}", weight.storage).to_lowercase();
        match sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, bytes)) => *bytes += weight.bytes(),
            None => sums.push((name, weight.bytes())),
        }
    }
    let (name, _) = sums.into_iter().max_by_key(|(_, bytes)| *bytes)?;
    Some(match &*name {
        "f16" => "float16".to_owned(),
        "f32" => "float32".to_owned(),
        "f64" => "float64".to_owned(),
        "i8" => "int8".to_owned(),
        "u8" => "uint8".to_owned(),
        "i4" => "int4".to_owned(),
        "u4" => "uint4".to_owned(),
        _ => name,
    })
}
