//! The list of hosted endpoints: a TOML file, or the TOML itself in the environment.

use std::collections::HashSet;
use std::num::NonZeroU32;

use anyhow::{Context, ensure};
use protocol::{ModelDefaults, ModelLimits, ModelNeeds, ModelSummary};
use serde::Deserialize;
use url::Url;

/// Longest that a picture may take, in seconds: a job without a sign of life counts as stuck after 300.
const MAX_TIMEOUT_SECONDS: u64 = 240;
/// Longest side of a picture in pixels.
const MAX_SIDE: u32 = 4096;

/// The published protocol that an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProtocolKind {
    /// `POST {url}/images/generations` of the OpenAI API.
    OpenaiImages,
    /// Hugging Face's text-to-image task: `{model}` in `url` stands for the remote name.
    Huggingface,
    /// `POST {url}/v2/models/{remote}/infer` (KServe, Triton).
    OpenInference,
}

impl std::fmt::Display for ProtocolKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OpenaiImages => "OpenAI images API",
            Self::Huggingface => "Hugging Face API",
            Self::OpenInference => "Open Inference Protocol",
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    endpoint: Vec<EndpointConfig>,
}

/// One endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// Name in logs and recipes.
    pub name: String,
    /// What it speaks.
    pub protocol: ProtocolKind,
    /// Base address; see [`ProtocolKind`] for what is appended.
    pub url: String,
    /// Environment variable that holds its bearer token.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// Seconds for one picture, waiting and retries included.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
    /// Seconds for a connection to open.
    #[serde(default = "connect_timeout_seconds")]
    pub connect_timeout_seconds: u64,
    /// Requests at a time.
    #[serde(default = "one")]
    pub max_in_flight: u32,
    /// Largest answer in bytes.
    #[serde(default = "max_response_bytes")]
    pub max_response_bytes: usize,
    /// Times that a request is sent at most.
    #[serde(default = "attempts")]
    pub attempts: u32,
    /// Whether a request may be sent again although the first may have been worked on (a time-out, a 500). Only
    /// for endpoints where that costs nothing that matters.
    #[serde(default)]
    pub idempotent: bool,
    /// Pictures that are accepted for it in a day; absent: no limit.
    #[serde(default)]
    pub pictures_per_day: Option<NonZeroU32>,
    /// Failures in a row after which the endpoint is left alone for a while.
    #[serde(default = "breaker_failures")]
    pub breaker_failures: u32,
    /// Seconds that it is left alone at first; doubled up to 16 times as long while it stays broken.
    #[serde(default = "breaker_seconds")]
    pub breaker_seconds: u64,
    /// Origins beside its own that answers may point to for the picture, such as `https://files.example`.
    #[serde(default)]
    pub image_origins: Vec<String>,
    /// Further members of the request: of the body (OpenAI images) or of `parameters` (the others).
    #[serde(default)]
    pub extra: serde_json::Map<String, serde_json::Value>,
    /// Its models.
    #[serde(rename = "model")]
    pub models: Vec<ModelConfig>,
}

/// A model of an endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// `owner/name` on this hub.
    pub id: String,
    /// Name at the endpoint.
    pub remote: String,
    /// Human name.
    pub name: String,
    /// One sentence for lists.
    #[serde(default)]
    pub summary: String,
    /// SPDX expression of the weights' licence.
    pub license: String,
    /// Width of its pictures in pixels.
    pub width: u32,
    /// Height of its pictures in pixels.
    pub height: u32,
    /// Denoising steps, where the endpoint takes them.
    #[serde(default)]
    pub steps: Option<Range<u32>>,
    /// Guidance scale, where the endpoint takes it.
    #[serde(default)]
    pub guidance: Option<Range<f32>>,
    /// Whether the endpoint takes a negative prompt.
    #[serde(default)]
    pub negative_prompt: bool,
    /// Whether the endpoint takes a seed. Without one, a picture cannot be made again.
    #[serde(default)]
    pub seed: bool,
    /// Prompts that show what the model can do.
    #[serde(default)]
    pub example_prompts: Vec<String>,
    /// Tensors of the model (Open Inference Protocol only).
    #[serde(default)]
    pub tensors: Tensors,
}

/// A setting's range and default.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range<T> {
    /// Smallest value.
    pub min: T,
    /// Largest value.
    pub max: T,
    /// Value where the request leaves it open.
    pub default: T,
}

/// Names of a model's tensors; the defaults are those of Triton's Stable Diffusion guide.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tensors {
    /// `BYTES`.
    pub prompt: String,
    /// `BYTES`.
    pub negative_prompt: String,
    /// `INT32`.
    pub steps: String,
    /// `FP32`.
    pub guidance: String,
    /// `INT64`.
    pub seed: String,
    /// `BYTES` (a file in base64), `UINT8` or `FP32` in [0, 1] (`[…, height, width, 3]`).
    pub image: String,
    /// Whether inputs have the shape `[1, 1]`, as where Triton's `max_batch_size` is not 0, instead of `[1]`.
    pub batched: bool,
}

impl Default for Tensors {
    fn default() -> Self {
        Self {
            prompt: "prompt".to_owned(),
            negative_prompt: "negative_prompt".to_owned(),
            steps: "steps".to_owned(),
            guidance: "guidance_scale".to_owned(),
            seed: "seed".to_owned(),
            image: "generated_image".to_owned(),
            batched: true,
        }
    }
}

/// Reads the list that the option `--endpoints` gives, if it is given.
///
/// # Errors
/// As [`read`].
pub fn read_option(source: Option<&str>) -> anyhow::Result<Vec<EndpointConfig>> {
    source.map_or_else(
        || Ok(Vec::new()),
        |source| read(source).context("--endpoints"),
    )
}

/// Reads the list: `source` is a file's path, or the TOML itself where it has a `[[endpoint]]`.
///
/// # Errors
/// A sentence that names the file or endpoint and what is wrong with it.
pub fn read(source: &str) -> anyhow::Result<Vec<EndpointConfig>> {
    let (text, place) = if source.contains("[[endpoint]]") {
        (source.to_owned(), "the list of endpoints".to_owned())
    } else {
        let text = std::fs::read_to_string(source)
            .with_context(|| format!("reading the list of endpoints {source}"))?;
        (text, source.to_owned())
    };
    let file: File = toml::from_str(&text).with_context(|| format!("{place} is not as needed"))?;
    let mut ids = HashSet::new();
    for endpoint in &file.endpoint {
        endpoint
            .check()
            .with_context(|| format!("endpoint {:?}", endpoint.name))?;
        for model in &endpoint.models {
            ensure!(
                ids.insert(model.id.clone()),
                "the model {} has two endpoints",
                model.id
            );
        }
    }
    Ok(file.endpoint)
}

impl EndpointConfig {
    fn check(&self) -> anyhow::Result<()> {
        ensure!(!self.name.is_empty(), "it has no name");
        let url = Url::parse(&self.url).context("url")?;
        ensure!(
            matches!(url.scheme(), "http" | "https") && url.has_host(),
            "url is not an http(s) address"
        );
        ensure!(
            url.username().is_empty() && url.password().is_none(),
            "url holds a secret; name its variable as api_key_env instead"
        );
        ensure!(
            (1..=MAX_TIMEOUT_SECONDS).contains(&self.timeout_seconds),
            "timeout_seconds is not 1 to {MAX_TIMEOUT_SECONDS}"
        );
        ensure!(
            (1..=64).contains(&self.max_in_flight),
            "max_in_flight is not 1 to 64"
        );
        ensure!((1..=10).contains(&self.attempts), "attempts is not 1 to 10");
        ensure!(self.breaker_failures > 0, "breaker_failures is 0");
        ensure!(!self.models.is_empty(), "it has no model");
        self.models.iter().try_for_each(|model| {
            model
                .check()
                .with_context(|| format!("model {:?}", model.id))
        })
    }
}

impl ModelConfig {
    fn check(&self) -> anyhow::Result<()> {
        let parts: Vec<&str> = self.id.split('/').collect();
        ensure!(
            parts.len() == 2 && parts.iter().all(|part| !part.is_empty()),
            "id is not owner/name"
        );
        ensure!(!self.remote.is_empty(), "remote is empty");
        ensure!(
            (1..=MAX_SIDE).contains(&self.width) && (1..=MAX_SIDE).contains(&self.height),
            "width and height are not 1 to {MAX_SIDE}"
        );
        if let Some(steps) = self.steps {
            ensure!(
                steps.min >= 1 && (steps.min..=steps.max).contains(&steps.default),
                "steps.default is outside steps"
            );
        }
        if let Some(guidance) = self.guidance {
            ensure!(
                (guidance.min..=guidance.max).contains(&guidance.default),
                "guidance.default is outside guidance"
            );
        }
        Ok(())
    }

    /// The model as catalogue and request checks need it. A setting that the endpoint does not take has the one
    /// value 1.
    pub fn summary(&self) -> ModelSummary {
        let steps = self.steps.unwrap_or(Range {
            min: 1,
            max: 1,
            default: 1,
        });
        let guidance = self.guidance.unwrap_or(Range {
            min: 1.0,
            max: 1.0,
            default: 1.0,
        });
        ModelSummary {
            id: self.id.clone(),
            name: self.name.clone(),
            creator: self.id.split('/').next().unwrap_or_default().to_owned(),
            summary: self.summary.clone(),
            license: self.license.clone(),
            paper: None,
            package_url: None,
            weights_digest: String::new(),
            download_bytes: 0,
            width: self.width,
            height: self.height,
            sizes: None,
            weighted_prompts: false,
            max_clip_skip: 1,
            loras: Vec::new(),
            begins_with_pictures: false,
            samplers: Vec::new(),
            negative_prompt: self.negative_prompt,
            limits: ModelLimits {
                min_steps: steps.min,
                max_steps: steps.max,
                min_guidance: guidance.min,
                max_guidance: guidance.max,
            },
            defaults: ModelDefaults {
                num_inference_steps: steps.default,
                guidance_scale: guidance.default,
            },
            needs: ModelNeeds {
                max_buffer_size: 0,
                max_storage_buffer_binding_size: 0,
                memory_bytes: 0,
                one_at_a_time: None,
                streamed: None,
            },
            needs_of_largest: None,
            work: None,
            example_prompts: self.example_prompts.clone(),
        }
    }
}

fn timeout_seconds() -> u64 {
    120
}

fn connect_timeout_seconds() -> u64 {
    5
}

fn one() -> u32 {
    1
}

fn max_response_bytes() -> usize {
    32 << 20
}

fn attempts() -> u32 {
    3
}

fn breaker_failures() -> u32 {
    5
}

fn breaker_seconds() -> u64 {
    30
}
