//! `manifest.json`: everything about a model package except the bytes of its files.

mod shapes;

use std::collections::BTreeMap;

use protocol::{ModelDefaults, ModelLimits, ModelNeeds, ModelSummary, Paper};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::preview::LatentRgb;
use crate::scheduler::SchedulerKind;

/// The manifest format that this crate reads.
pub const FORMAT: u32 = 1;

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

/// An input or output of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Name in the ONNX graph.
    pub name: String,
    /// Element type.
    pub dtype: PortType,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
}

/// Element type of a [`Port`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortType {
    /// ONNX `float`.
    Float32,
    /// ONNX `int64`.
    Int64,
    /// ONNX `int32`.
    Int32,
}

/// An ONNX graph of the package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Name of its file.
    pub file: String,
    /// Inputs of the graph.
    pub inputs: Vec<Port>,
    /// Outputs of the graph.
    pub outputs: Vec<Port>,
}

/// How the graphs are wired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wiring {
    /// Both prompts in one run, with masks, and ports of fixed names; see [`Components`].
    #[default]
    Paired,
    /// As diffusers exports Stable Diffusion 1 and 2: each prompt in a run of its own, without masks. Ports have any
    /// names, in this order: token ids -> hidden states; latents, timestep, hidden states -> answer; latents -> image.
    StableDiffusion,
}

/// The three graphs that the pipeline runs. For [`Wiring::Paired`] row 0 of a batch of two is the prompt, row 1 the
/// negative prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Components {
    /// `input_ids`, `attention_mask` `[2, length]` -> `last_hidden_state` `[2, length, width]`.
    pub text_encoder: Component,
    /// `latents` `[2, c, h, w]`, `t` `[2]`, `text`, `text_mask` -> `velocity` `[2, c, h, w]`.
    pub denoiser: Component,
    /// `latents` `[1, c, h, w]` -> `image` `[1, 3, height, width]` in [-1, 1].
    pub decoder: Component,
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

/// Size of the picture in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSize {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// A parsed and checked `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
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
    pub paper: Option<Paper>,
    /// Prompts that show what the model can do.
    pub example_prompts: Vec<String>,
    /// Size of the picture.
    pub image: ImageSize,
    /// Channels, height and width of the latents.
    pub latents: [usize; 3],
    /// How text becomes token ids.
    pub tokenizer: TokenizerSettings,
    /// How the steps are taken.
    pub scheduler: SchedulerKind,
    /// Whether the negative prompt has an effect; false for models whose guidance was distilled into one evaluation.
    #[serde(default = "yes")]
    pub negative_prompt: bool,
    /// Colours of the latents, for previews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent_rgb: Option<LatentRgb>,
    /// How the graphs are wired.
    #[serde(default)]
    pub wiring: Wiring,
    /// What latents are divided by before they are decoded.
    #[serde(default = "one")]
    pub latent_scale: f32,
    /// The ONNX graphs.
    pub components: Components,
    /// Values where a request leaves them open.
    pub defaults: ModelDefaults,
    /// Ranges that a request may ask for.
    pub limits: ModelLimits,
    /// What a GPU must offer.
    pub needs: ModelNeeds,
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
        let mut manifest: Self = serde_json::from_slice(json)
            .map_err(|e| Error::package(format!("the manifest is not readable: {e}")))?;
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
            width: self.image.width,
            height: self.image.height,
            negative_prompt: self.negative_prompt,
            limits: self.limits.clone(),
            defaults: self.defaults.clone(),
            needs: self.needs,
            work: None,
            example_prompts: self.example_prompts.clone(),
        }
    }

    /// Graphs by component name.
    pub fn components(&self) -> [(&'static str, &Component); 3] {
        [
            ("text_encoder", &self.components.text_encoder),
            ("denoiser", &self.components.denoiser),
            ("decoder", &self.components.decoder),
        ]
    }

    fn check(&self) -> Result<()> {
        ensure(self.format == FORMAT, || {
            format!(
                "the manifest has format {}; this version reads {FORMAT}",
                self.format
            )
        })?;
        ensure(
            self.id.split_once('/').is_some_and(|(owner, name)| {
                owner == self.creator && is_plain_name(owner) && is_plain_name(name)
            }),
            || {
                format!(
                    "the id {:?} is not \"creator/name\" of creator {:?}",
                    self.id, self.creator
                )
            },
        )?;
        let mut names = BTreeMap::new();
        for file in &self.files {
            ensure(is_plain_name(&file.name), || {
                format!("{:?} is not a plain file name", file.name)
            })?;
            ensure(protocol::is_sha256_hex(&file.sha256), || {
                format!("{} has no SHA-256 of 64 lower-case hex digits", file.name)
            })?;
            ensure(names.insert(file.name.as_str(), file).is_none(), || {
                format!("{} is listed twice", file.name)
            })?;
        }
        let used = self
            .components()
            .map(|(_, c)| c.file.as_str())
            .into_iter()
            .chain([self.tokenizer.file.as_str()]);
        for file in used {
            ensure(names.contains_key(file), || {
                format!("{file:?} is used but not listed under \"files\"")
            })?;
        }
        self.check_ranges()?;
        self.check_shapes()
    }

    fn check_ranges(&self) -> Result<()> {
        ensure(
            self.latent_scale.is_finite() && self.latent_scale > 0.0,
            || format!("latent_scale is {}", self.latent_scale),
        )?;
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

fn yes() -> bool {
    true
}

fn one() -> f32 {
    1.0
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<()> {
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
