//! `manifest.json`: everything about a model package except the bytes of its files.

mod check;
mod first;
mod graph;
mod lora;
mod sizes;
mod wiring;

use std::collections::{BTreeMap, BTreeSet};

use protocol::{ModelDefaults, ModelLimits, ModelNeeds, ModelSummary, Paper};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::first::First;
pub use self::graph::{Bindings, Dim, Graph, Port, PortType, Symbol};
pub use self::lora::LoraEntry;
pub use self::sizes::{ImageSize, Sizes};
pub use self::wiring::{
    Coder, Denoiser, Feed, Guidance, Interval, Latents, TextInput, TextRun, TimeUnit,
};
use crate::error::{Error, Result};
use crate::scheduler::SchedulerKind;
use crate::tokenizer::{Emphasis, TextSettings};

/// The newest manifest format that this crate reads; it reads all before it.
pub const FORMAT: u32 = 2;

/// Largest manifest accepted, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;

/// A file of the package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Plain file name; the file lies beside the manifest.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, 64 lower-case hex digits.
    pub sha256: String,
}

/// How text becomes token ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerSettings {
    /// A Hugging Face `tokenizer.json`.
    pub file: String,
    /// Tokens per text, special tokens included; longer texts are cut, shorter ones padded on the right.
    pub max_length: usize,
    /// Id of the padding token.
    pub pad_id: u32,
    /// The padding token.
    pub pad_token: String,
}

/// A parsed and checked `manifest.json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format that it was read in, at most [`FORMAT`].
    pub format: u32,
    /// `owner/name`.
    pub id: String,
    /// Human name.
    pub name: String,
    /// Creator: the part of `id` before the slash.
    pub creator: String,
    /// Version of the weights.
    pub version: String,
    /// One sentence for lists.
    pub summary: String,
    /// SPDX expression of the weights' licence.
    pub license: String,
    /// Paper that the method comes from.
    #[serde(default)]
    pub paper: Option<Paper>,
    /// Prompts that show what the model can do.
    pub example_prompts: Vec<String>,
    /// The ONNX graphs by name.
    pub graphs: BTreeMap<String, Graph>,
    /// How a prompt becomes token ids, for each tokenizer, by name.
    pub texts: BTreeMap<String, TextSettings>,
    /// What is run on a prompt, in this order.
    pub conditioning: Vec<TextRun>,
    /// The latents.
    pub latents: Latents,
    /// The denoiser.
    pub denoiser: Denoiser,
    /// What the guidance scale does.
    pub guidance: Guidance,
    /// Steps at which classifier-free guidance acts (Kynkäänniemi et al., arXiv:2404.07724); absent: all. At the others the
    /// denoiser is asked about the prompt alone.
    #[serde(default)]
    pub guidance_interval: Option<Interval>,
    /// How the steps are taken.
    pub scheduler: SchedulerKind,
    /// From latents to the picture in [-1, 1].
    pub decoder: Coder,
    /// From a picture in [-1, 1] to its latents, or to their mean and the logarithm of their variance, one behind the other
    /// along the channels; for models that begin with pictures.
    #[serde(default)]
    pub encoder: Option<Coder>,
    /// LoRAs that prompts may choose.
    #[serde(default)]
    pub loras: Vec<LoraEntry>,
    /// Sizes of pictures.
    pub sizes: Sizes,
    /// Whether the negative prompt has an effect; false for models whose guidance was distilled into one evaluation.
    #[serde(default = "yes")]
    pub negative_prompt: bool,
    /// Values where a request leaves them open.
    pub defaults: ModelDefaults,
    /// Ranges that a request may ask for.
    pub limits: ModelLimits,
    /// What a GPU must offer for a picture of the default size.
    pub needs: ModelNeeds,
    /// What it must offer for the largest one, where there are other sizes.
    #[serde(default)]
    pub needs_of_largest: Option<ModelNeeds>,
    /// Every file of the package but the manifest.
    files: Vec<FileEntry>,
    /// SHA-256 of the manifest's bytes in hex.
    #[serde(skip)]
    digest: String,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidPackage`] naming the first thing that is wrong.
    pub fn parse(json: &[u8]) -> Result<Self> {
        if json.len() > MAX_MANIFEST_BYTES {
            return Err(Error::package(format!(
                "the manifest has {} bytes; at most {MAX_MANIFEST_BYTES} are read",
                json.len()
            )));
        }
        let unreadable = |e| Error::package(format!("the manifest is not readable: {e}"));
        let Stated { format, kind } = serde_json::from_slice(json).map_err(unreadable)?;
        if let Some(kind) = kind {
            return Err(Error::package(format!(
                "the package is of the kind {kind:?}, which makes no pictures from prompts"
            )));
        }
        let mut manifest = match format {
            first::FORMAT => serde_json::from_slice::<First>(json)
                .map_err(unreadable)?
                .upgrade()?,
            FORMAT => serde_json::from_slice(json).map_err(unreadable)?,
            other => {
                return Err(Error::package(format!(
                    "the manifest has format {other}; this version reads 1 to {FORMAT}"
                )));
            }
        };
        manifest.digest = hex::encode(Sha256::digest(json));
        manifest.check()?;
        Ok(manifest)
    }

    /// The files to fetch, in the manifest's order.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        self.files.iter()
    }

    /// SHA-256 (hex) of the manifest; it names the digest of every file, so it pins them all.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The model as catalogue and request checks need it; `package_url` is where the manifest is served.
    pub fn summary(&self, package_url: &str) -> ModelSummary {
        ModelSummary {
            id: self.id.clone(),
            name: self.name.clone(),
            creator: self.creator.clone(),
            summary: self.summary.clone(),
            license: self.license.clone(),
            paper: self.paper.clone(),
            package_url: Some(package_url.to_owned()),
            weights_digest: self.digest.clone(),
            download_bytes: self.files.iter().map(|f| f.bytes).sum(),
            width: self.sizes.default.width,
            height: self.sizes.default.height,
            sizes: self.sizes.others.clone(),
            weighted_prompts: self.conditioning.iter().all(|run| {
                let text = self.texts.get(&run.text);
                text.is_some_and(|text| text.emphasis == Emphasis::A1111)
            }),
            max_clip_skip: self.max_clip_skip(),
            loras: self.loras.iter().map(LoraEntry::summary).collect(),
            samplers: self.scheduler.choices(),
            begins_with_pictures: self.encoder.is_some(),
            negative_prompt: self.negative_prompt,
            limits: self.limits.clone(),
            defaults: self.defaults.clone(),
            needs: self.needs,
            needs_of_largest: self.needs_of_largest,
            work: None,
            example_prompts: self.example_prompts.clone(),
        }
    }

    /// Largest clip skip of a request; 1 where there is nothing to choose.
    pub fn max_clip_skip(&self) -> u32 {
        let skips = self.conditioning.iter().map(|run| run.skips.len());
        1 + skips.max().unwrap_or(0) as u32
    }

    /// Channels, height and width of the latents of a picture.
    pub fn latents_of(&self, size: ImageSize) -> [usize; 3] {
        self.latents.shape(size)
    }

    /// The graph of that name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidPackage`] where there is none.
    pub fn graph(&self, name: &str) -> Result<&Graph> {
        let graph = self.graphs.get(name);
        graph.ok_or_else(|| Error::package(format!("the package has no graph {name}")))
    }

    /// The graphs in the order in which a picture needs them: text encoders, denoiser, decoder, and the others.
    pub fn in_order(&self) -> Vec<(&str, &Graph)> {
        let texts = self.conditioning.iter().map(|run| &*run.graph);
        let wanted = texts.chain([&*self.denoiser.graph, &*self.decoder.graph]);
        let all = wanted.chain(self.graphs.keys().map(String::as_str));
        let mut order: Vec<(&str, &Graph)> = Vec::with_capacity(self.graphs.len());
        for name in all {
            if let Some((name, graph)) = self.graphs.get_key_value(name)
                && !order.iter().any(|(known, _)| known == name)
            {
                order.push((name, graph));
            }
        }
        order
    }

    fn check(&self) -> Result<()> {
        check_id(&self.id, &self.creator)?;
        let graphs = self.graphs.values().flat_map(Graph::files);
        let loras = self
            .loras
            .iter()
            .flat_map(|lora| [&*lora.file, &*lora.bindings]);
        let used = graphs
            .chain(self.texts.values().map(|text| &*text.file))
            .chain(loras);
        check_files(&self.files, used)?;
        self.check_ranges()?;
        self.check_loras()?;
        self.check_wiring()
    }

    fn check_ranges(&self) -> Result<()> {
        if let Some(fault) = self.scheduler.fault() {
            return Err(Error::package(fault));
        }
        let (limits, defaults) = (&self.limits, &self.defaults);
        ensure(
            limits.min_steps >= 1
                && (limits.min_steps..=limits.max_steps).contains(&defaults.num_inference_steps),
            || "limits and default of the steps contradict each other".to_owned(),
        )?;
        ensure(
            (limits.min_guidance..=limits.max_guidance).contains(&defaults.guidance_scale),
            || "limits and default of the guidance contradict each other".to_owned(),
        )
    }
}

/// The members that say how to read the others.
#[derive(Deserialize)]
struct Stated {
    format: u32,
    /// What the package is for, where it is not a model that makes pictures from prompts.
    #[serde(default)]
    kind: Option<String>,
}

/// The kind that a manifest states: none for models that make pictures from prompts.
///
/// # Errors
/// [`crate::ErrorKind::InvalidPackage`] where it is no manifest.
pub fn stated_kind(json: &[u8]) -> Result<Option<String>> {
    let stated = serde_json::from_slice(json);
    let Stated { kind, .. } =
        stated.map_err(|e| Error::package(format!("the manifest is not readable: {e}")))?;
    Ok(kind)
}

/// Whether `id` is `creator/name`.
pub(crate) fn check_id(id: &str, creator: &str) -> Result<()> {
    let fits = id.split_once('/').is_some_and(|(owner, name)| {
        owner == creator && is_plain_name(owner) && is_plain_name(name)
    });
    ensure(fits, || {
        format!("the id {id:?} is not \"creator/name\" of creator {creator:?}")
    })
}

/// Whether files are listed as they should be, and those that are `used` are among them.
pub(crate) fn check_files<'f>(
    files: &[FileEntry],
    used: impl IntoIterator<Item = &'f str>,
) -> Result<()> {
    let mut names = BTreeSet::new();
    for file in files {
        ensure(is_plain_name(&file.name), || {
            format!("{:?} is not a plain file name", file.name)
        })?;
        ensure(protocol::is_sha256_hex(&file.sha256), || {
            format!("{} has no SHA-256 of 64 lower-case hex digits", file.name)
        })?;
        ensure(names.insert(file.name.as_str()), || {
            format!("{} is listed twice", file.name)
        })?;
    }
    for file in used {
        ensure(names.contains(file), || {
            format!("{file:?} is used but not listed under \"files\"")
        })?;
    }
    Ok(())
}

fn yes() -> bool {
    true
}

fn one() -> f32 {
    1.0
}

pub(crate) fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(Error::package(message()))
    }
}

/// Letters, digits, `.`, `_`, `-`, not starting with a dot: safe as a file name and in a URL path.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
