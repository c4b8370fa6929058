//! What a visitor asks for.

use serde::{Deserialize, Serialize};

use crate::lora::{Chosen, UsedLora, chosen};
use crate::model::ModelSummary;
use crate::upscale::{MAX_UPSCALED_SIDE, UpscaleFactor};

/// Longest prompt and negative prompt accepted, in Unicode scalar values.
pub const MAX_PROMPT_CHARS: usize = 1_000;
/// Largest seed: the largest integer that JSON numbers carry exactly in a browser, 2^53 − 1.
pub const MAX_SEED: u64 = (1 << 53) - 1;

/// A text-to-image request; the same value runs in the browser and on the server.
///
/// It is part of what is stored and queued, so unknown members are passed over; the API's bodies refuse them
/// ([`crate::strict`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GenerationRequest {
    /// Package id, `owner/name`.
    pub model: String,
    /// What the picture should show; 1 to [`MAX_PROMPT_CHARS`] characters. `<lora:name:0.8>` in it chooses one of
    /// [`ModelSummary::loras`] and is no part of the text; tags do not count as characters.
    pub prompt: String,
    /// What it should not show. Absent: nothing is said; some models (SDXL) distinguish that from an empty text, and some
    /// take none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// Seed of the initial noise, at most [`MAX_SEED`]; absent: the server draws one.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Denoising steps; absent: the package's default.
    #[serde(default)]
    pub num_inference_steps: Option<u32>,
    /// Classifier-free guidance scale (Ho & Salimans, arXiv:2207.12598); absent: the package's default.
    #[serde(default)]
    pub guidance_scale: Option<f32>,
    /// Width of the picture in pixels; absent: the package's default. Sizes are those of [`ModelSummary::sizes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height of the picture in pixels; absent: the package's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Another seed, at most [`MAX_SEED`], whose noise is mixed into the initial one: a variation of the picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variation_seed: Option<u64>,
    /// How far the noise turns towards that of [`Self::variation_seed`], 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variation_strength: Option<f32>,
    /// How the prompts are read; absent: as plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_syntax: Option<PromptSyntax>,
    /// How the steps are taken: a name of [`ModelSummary::samplers`], either of the two; absent: as the model's authors say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// Which layer of the text encoders is read, as AUTOMATIC1111's web UI counts: 1 or absent the one that the model was
    /// trained with, 2 the one before it, and so on to [`ModelSummary::max_clip_skip`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_skip: Option<u32>,
    /// How many times as large a network makes each side of the finished picture, 2 or 4, up to [`crate::MAX_UPSCALED_SIDE`]
    /// pixels; absent: it stays as it is. `width` and `height` are those of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u32>))]
    pub upscale: Option<UpscaleFactor>,
}

/// How prompts are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PromptSyntax {
    /// Brackets are text, and what is longer than the text encoder reads is cut.
    #[default]
    Plain,
    /// As AUTOMATIC1111's web UI reads them: `(weights:1.3)`, `BREAK`, and prompts of any length. Only for models whose
    /// [`ModelSummary::weighted_prompts`] says so.
    A1111,
}

/// A turn of the initial noise towards that of another seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variation {
    /// The other seed.
    pub seed: u64,
    /// How far, 0 to 1.
    pub strength: f32,
}

/// A request that was checked against its model, nothing left open: what a picture depends on, and nothing else.
///
/// What is stored or sent is the [`GenerationRequest`] that it turns into; readers of older ones resolve that again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedRequest {
    /// Package id, `owner/name`.
    pub model: String,
    /// What the picture should show, with a tag for each LoRA that acts.
    pub prompt: String,
    /// The prompt without tags: what the text encoders are given.
    pub text: String,
    /// The LoRAs that are named or act, in the model's order.
    #[serde(default)]
    pub loras: Vec<UsedLora>,
    /// What it should not show, if anything is said.
    pub negative_prompt: Option<String>,
    /// Seed of the noise.
    pub seed: u64,
    /// Denoising steps.
    pub num_inference_steps: u32,
    /// Guidance scale.
    pub guidance_scale: f32,
    /// Width of the picture in pixels.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
    /// What the initial noise is mixed with, if anything.
    pub variation: Option<Variation>,
    /// How the prompts are read.
    pub prompt_syntax: PromptSyntax,
    /// [`crate::SamplerName::a1111`] of another sampler than the model's own.
    pub sampler: Option<String>,
    /// See [`GenerationRequest::clip_skip`].
    pub clip_skip: u32,
    /// How many times as large the finished picture is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upscale: Option<UpscaleFactor>,
}

impl From<ResolvedRequest> for GenerationRequest {
    fn from(resolved: ResolvedRequest) -> Self {
        Self {
            model: resolved.model,
            prompt: resolved.prompt,
            negative_prompt: resolved.negative_prompt,
            seed: Some(resolved.seed),
            num_inference_steps: Some(resolved.num_inference_steps),
            guidance_scale: Some(resolved.guidance_scale),
            width: Some(resolved.width),
            height: Some(resolved.height),
            variation_seed: resolved.variation.map(|variation| variation.seed),
            variation_strength: resolved.variation.map(|variation| variation.strength),
            prompt_syntax: (resolved.prompt_syntax != PromptSyntax::Plain)
                .then_some(resolved.prompt_syntax),
            sampler: resolved.sampler,
            clip_skip: (resolved.clip_skip != 1).then_some(resolved.clip_skip),
            upscale: resolved.upscale,
        }
    }
}

/// Why a request cannot be run, before any work is done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// Nothing but white space.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// More than [`MAX_PROMPT_CHARS`] characters.
    #[error(
        "{} has {chars} characters; at most {MAX_PROMPT_CHARS} are accepted",
        in_words(field)
    )]
    PromptTooLong {
        /// `prompt` or `negative_prompt`.
        field: &'static str,
        /// Characters counted.
        chars: usize,
    },
    /// A number outside what the package declares.
    #[error("{} is {value}; this model accepts {min} to {max}", in_words(field))]
    OutOfRange {
        /// Name of the field.
        field: &'static str,
        /// The value given.
        value: String,
        /// Smallest accepted value.
        min: String,
        /// Largest accepted value.
        max: String,
    },
    /// A negative prompt for a model that takes none.
    #[error("this model takes no negative prompt")]
    NoNegativePrompt,
    /// A size that the model makes no pictures of.
    #[error("{width} x {height} pixels were asked for; this model makes {offered}")]
    Size {
        /// `width` or `height`.
        field: &'static str,
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
        /// The sizes that it makes, in words.
        offered: String,
    },
    /// A picture that would be longer than [`crate::MAX_UPSCALED_SIDE`] once it is made larger.
    #[error(
        "{width} x {height} pixels cannot be made {factor} times as large: no side becomes longer than {MAX_UPSCALED_SIDE}"
    )]
    TooLarge {
        /// Width before.
        width: u32,
        /// Height before.
        height: u32,
        /// How many times as large.
        factor: UpscaleFactor,
    },
    /// A variation without its seed or its strength.
    #[error(
        "a variation needs a seed and a strength; {} is missing",
        in_words(missing)
    )]
    HalfVariation {
        /// `variation_seed` or `variation_strength`.
        missing: &'static str,
    },
    /// A tag of a LoRA that the model does not have.
    #[error("this model has no LoRA {name:?}; {offered}")]
    UnknownLora {
        /// The name given, clipped.
        name: String,
        /// Those that there are, in words.
        offered: String,
    },
    /// A tag of a LoRA that cannot be read.
    #[error("{tag} in the prompt: {problem}")]
    LoraTag {
        /// The tag, clipped.
        tag: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Weights for a model that reads prompts as plain text.
    #[error("this model reads prompts as plain text, without weights")]
    NoWeights,
    /// A sampler that the model cannot be run with.
    #[error("there is no sampler {sampler:?} for this model; there are {offered}")]
    Sampler {
        /// The name given, clipped.
        sampler: String,
        /// The names that there are.
        offered: String,
    },
    /// A picture to begin with for a model that has no encoder.
    #[error("{0} cannot begin with a picture: it has no encoder")]
    NoStart(String),
    /// It is said how a mask is read, and there is none.
    #[error("it is said how a mask is read, and there is no mask")]
    NoMask,
    /// No package of that id.
    #[error("there is no runnable model \"{0}\" here")]
    UnknownModel(String),
}

impl GenerationRequest {
    /// Checks the request against the limits of `model` and fills defaults in; `drawn` is the seed of a request without one.
    ///
    /// # Errors
    /// The first [`RequestError`] found.
    pub fn resolve(
        self,
        model: &ModelSummary,
        drawn: u64,
    ) -> Result<ResolvedRequest, RequestError> {
        if self.model != model.id {
            return Err(RequestError::UnknownModel(clip(&self.model)));
        }
        // Where a model has none, a prompt that is read as plain text may hold anything.
        let has_tags = !model.loras.is_empty() || self.prompt_syntax == Some(PromptSyntax::A1111);
        let Chosen {
            prompt,
            text,
            loras,
        } = match has_tags {
            true => chosen(self.prompt, &model.loras)?,
            false => Chosen {
                text: self.prompt.clone(),
                prompt: self.prompt,
                loras: Vec::new(),
            },
        };
        if text.trim().is_empty() {
            return Err(RequestError::EmptyPrompt);
        }
        for (field, text) in [
            ("prompt", &*text),
            (
                "negative_prompt",
                self.negative_prompt.as_deref().unwrap_or_default(),
            ),
        ] {
            let chars = text.chars().count();
            if chars > MAX_PROMPT_CHARS {
                return Err(RequestError::PromptTooLong { field, chars });
            }
        }
        let negative = self.negative_prompt.as_ref();
        if !model.negative_prompt && negative.is_some_and(|text| !text.is_empty()) {
            return Err(RequestError::NoNegativePrompt);
        }
        let seed = self.seed.unwrap_or(drawn);
        if seed > MAX_SEED {
            return Err(out_of_range("seed", seed, 0, MAX_SEED));
        }
        if let Some(seed) = self.variation_seed.filter(|seed| *seed > MAX_SEED) {
            return Err(out_of_range("variation_seed", seed, 0, MAX_SEED));
        }
        let variation = match (self.variation_seed, self.variation_strength) {
            (None, None) => None,
            (Some(seed), Some(strength)) if (0.0..=1.0).contains(&strength) => {
                Some(Variation { seed, strength })
            }
            (_, Some(strength)) if !(0.0..=1.0).contains(&strength) => {
                return Err(out_of_range("variation_strength", strength, 0.0, 1.0));
            }
            (seed, _) => {
                let missing = if seed.is_some() {
                    "variation_strength"
                } else {
                    "variation_seed"
                };
                return Err(RequestError::HalfVariation { missing });
            }
        };
        let limits = &model.limits;
        let steps = self
            .num_inference_steps
            .unwrap_or(model.defaults.num_inference_steps);
        if !(limits.min_steps..=limits.max_steps).contains(&steps) {
            return Err(out_of_range(
                "num_inference_steps",
                steps,
                limits.min_steps,
                limits.max_steps,
            ));
        }
        let guidance = self.guidance_scale.unwrap_or(model.defaults.guidance_scale);
        if !(limits.min_guidance..=limits.max_guidance).contains(&guidance) {
            return Err(out_of_range(
                "guidance_scale",
                guidance,
                limits.min_guidance,
                limits.max_guidance,
            ));
        }
        let (width, height) = (
            self.width.unwrap_or(model.width),
            self.height.unwrap_or(model.height),
        );
        if !model.makes(width, height) {
            let sizes = model.sizes.as_ref();
            let wide = sizes.map_or(width == model.width, |sizes| sizes.allows_side(width));
            return Err(RequestError::Size {
                field: if wide { "height" } else { "width" },
                width,
                height,
                offered: model.offered_sizes(),
            });
        }
        if let Some(factor) = self.upscale
            && factor.of(width, height).is_none()
        {
            return Err(RequestError::TooLarge {
                width,
                height,
                factor,
            });
        }
        if self.prompt_syntax == Some(PromptSyntax::A1111) && !model.weighted_prompts {
            return Err(RequestError::NoWeights);
        }
        let clip_skip = self.clip_skip.unwrap_or(1);
        if !(1..=model.max_clip_skip).contains(&clip_skip) {
            return Err(out_of_range("clip_skip", clip_skip, 1, model.max_clip_skip));
        }
        let sampler = match self.sampler {
            Some(name) => Some(named(&name, model)?),
            None => None,
        };
        Ok(ResolvedRequest {
            model: self.model,
            prompt,
            text,
            loras,
            negative_prompt: self.negative_prompt,
            seed,
            num_inference_steps: steps,
            guidance_scale: guidance,
            width,
            height,
            variation,
            prompt_syntax: self.prompt_syntax.unwrap_or_default(),
            sampler,
            clip_skip,
            upscale: self.upscale,
        })
    }
}

/// [`crate::SamplerName::a1111`] of the model's sampler of that name.
fn named(name: &str, model: &ModelSummary) -> Result<String, RequestError> {
    if let Some(known) = model.samplers.iter().find(|sampler| sampler.is(name)) {
        return Ok(known.a1111.clone());
    }
    let names: Vec<&str> = model.samplers.iter().map(|s| &*s.a1111).collect();
    Err(RequestError::Sampler {
        sampler: clip(name),
        offered: if names.is_empty() {
            "none to choose from".to_owned()
        } else {
            names.join(", ")
        },
    })
}

fn out_of_range<T: ToString>(field: &'static str, value: T, min: T, max: T) -> RequestError {
    RequestError::OutOfRange {
        field,
        value: value.to_string(),
        min: min.to_string(),
        max: max.to_string(),
    }
}

/// A member of the request as sentences call it; the name itself is in [`crate::Problem::field`].
fn in_words(field: &str) -> &str {
    match field {
        "prompt" => "the prompt",
        "negative_prompt" => "the negative prompt",
        "seed" => "the seed",
        "variation_seed" => "the seed of the variation",
        "variation_strength" => "the strength of the variation",
        "num_inference_steps" => "the number of steps",
        "guidance_scale" => "the guidance",
        "model" => "the model",
        "width" => "the width",
        "height" => "the height",
        "prompt_syntax" => "how the prompt is read",
        "sampler" => "the sampler",
        "clip_skip" => "the clip skip",
        "upscale" => "how many times as large it is made",
        "start.strength" => "the strength",
        other => other,
    }
}

/// First 80 characters: error texts never echo a hostile body in full.
fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
