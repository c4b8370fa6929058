//! Strict reading where the public API takes a body; what is stored or queued is read tolerantly, so that an older
//! version can read what a newer one wrote.
//!
//! The types here list the members of those that they stand for once more, and the build fails where they differ.
//! Reading goes member by member, so that whoever reads can say which one is wrong, at any depth.

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use crate::capability::RunsOn;
use crate::generation::{GenerationRequest, PromptSyntax};
use crate::image::{Recipe, StartOf};
use crate::lora::UsedLora;
use crate::resume::Resume;
use crate::start::{MaskBy, StartRequest};
use crate::upscale::{UpscaleFactor, UsedUpscaler};

/// Reads types from objects alone; they would also take a list of their members' values.
pub struct Object<D>(pub D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Object<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[derive(Deserialize)]
#[serde(remote = "GenerationRequest", deny_unknown_fields)]
struct StrictRequest {
    model: String,
    prompt: String,
    #[serde(default)]
    negative_prompt: Option<String>,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default)]
    num_inference_steps: Option<u32>,
    #[serde(default)]
    guidance_scale: Option<f32>,
    #[serde(default)]
    width: Option<u32>,
    #[serde(default)]
    height: Option<u32>,
    #[serde(default)]
    variation_seed: Option<u64>,
    #[serde(default)]
    variation_strength: Option<f32>,
    #[serde(default)]
    prompt_syntax: Option<PromptSyntax>,
    #[serde(default)]
    sampler: Option<String>,
    #[serde(default)]
    clip_skip: Option<u32>,
    #[serde(default)]
    upscale: Option<UpscaleFactor>,
}

#[derive(Deserialize)]
#[serde(remote = "Recipe", deny_unknown_fields)]
struct StrictRecipe {
    #[serde(deserialize_with = "request")]
    request: GenerationRequest,
    weights_digest: String,
    scheduler: String,
    backend: String,
    adapter: String,
    #[serde(default, deserialize_with = "start_of")]
    start: Option<StartOf>,
    #[serde(default, deserialize_with = "loras")]
    loras: Vec<UsedLora>,
    #[serde(default, deserialize_with = "upscaler")]
    upscaler: Option<UsedUpscaler>,
    place: RunsOn,
    duration_ms: u64,
}

#[derive(Deserialize)]
#[serde(remote = "StartOf", deny_unknown_fields)]
struct StrictStartOf {
    sha256: String,
    strength: f32,
    #[serde(default)]
    mask_sha256: Option<String>,
    #[serde(default)]
    mask_by: MaskBy,
}

#[derive(Deserialize)]
#[serde(remote = "UsedLora", deny_unknown_fields)]
struct StrictUsedLora {
    name: String,
    hash: String,
    text_weight: f32,
    weight: f32,
}

#[derive(Deserialize)]
#[serde(remote = "UsedUpscaler", deny_unknown_fields)]
struct StrictUsedUpscaler {
    model: String,
    weights_digest: String,
}

#[derive(Deserialize)]
#[serde(remote = "Resume", deny_unknown_fields)]
struct StrictResume {
    step: u32,
    shape: [u32; 3],
    latents: String,
    #[serde(default)]
    registers: Vec<String>,
}

fn request<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GenerationRequest, D::Error> {
    StrictRequest::deserialize(Object(deserializer))
}

/// A recipe that has no member which is not known.
///
/// # Errors
/// Those of `deserializer`.
pub fn recipe<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Recipe, D::Error> {
    StrictRecipe::deserialize(Object(deserializer))
}

/// An object that [`Object`] reads, or null.
struct Given<T>(T);

macro_rules! given {
    ($type:ty, $read:expr) => {
        impl<'de> Deserialize<'de> for Given<$type> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $read(Object(deserializer)).map(Self)
            }
        }
    };
}

given!(Resume, StrictResume::deserialize);
given!(StartOf, StrictStartOf::deserialize);
given!(UsedLora, StrictUsedLora::deserialize);
given!(UsedUpscaler, StrictUsedUpscaler::deserialize);
given!(StartRequest, StartRequest::deserialize);

fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    Given<T>: Deserialize<'de>,
{
    let given = Option::<Given<T>>::deserialize(deserializer)?;
    Ok(given.map(|given| given.0))
}

fn start_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StartOf>, D::Error> {
    given(deserializer)
}

fn upscaler<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UsedUpscaler>, D::Error> {
    given(deserializer)
}

fn loras<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<UsedLora>, D::Error> {
    let given = Vec::<Given<UsedLora>>::deserialize(deserializer)?;
    Ok(given.into_iter().map(|given| given.0).collect())
}

/// As [`recipe`], of a state between two steps, or none.
///
/// # Errors
/// Those of `deserializer`.
pub fn resume<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Resume>, D::Error> {
    given(deserializer)
}

/// As [`recipe`], of a picture to begin with, or none.
///
/// # Errors
/// Those of `deserializer`.
pub fn start<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StartRequest>, D::Error> {
    given(deserializer)
}
