//! How the graphs are put together: what each is given, and what its answers are used for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ImageSize;
use crate::preview::LatentRgb;

/// What an input of a text encoder is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextInput {
    /// Token ids.
    Ids,
    /// 1 where a token is, 0 where padding is.
    Mask,
}

/// A run of a text encoder, once for every prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextRun {
    /// Name of the graph.
    pub graph: String,
    /// Name of the text that it reads, see [`super::Manifest::texts`].
    pub text: String,
    /// What each input is given.
    pub inputs: BTreeMap<String, TextInput>,
    /// Names of what the outputs give, each unique in the package: hidden states `[n, tokens, width]` or one vector a
    /// prompt, `[n, width]`.
    pub outputs: BTreeMap<String, String>,
    /// Other outputs that give the same names, of layers further ahead: the first entry is read at a clip skip of 2, the next
    /// at 3. Empty where there is nothing to choose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skips: Vec<BTreeMap<String, String>>,
}

impl TextRun {
    /// The outputs that are read at a clip skip, 1 being the usual ones.
    pub fn outputs_at(&self, clip_skip: u32) -> &BTreeMap<String, String> {
        let skipped = (clip_skip as usize).checked_sub(2);
        skipped
            .and_then(|skipped| self.skips.get(skipped))
            .unwrap_or(&self.outputs)
    }
}

/// What an input of the denoiser is given beside latents and time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feed {
    /// What text encoders gave, side by side along the last axis.
    Values(Vec<String>),
    /// The mask of a text: 1 where a token is, 0 where padding is.
    Mask(String),
    /// Sizes as SDXL was trained with them, `[n, 6]`: height and width before cropping, top and left of the crop, height and
    /// width of the picture (Podell et al., arXiv:2307.01952, section 2.2). Nothing is cropped.
    TimeIds,
    /// Height and width of the picture in pixels, `[n, 2]`.
    Size,
    /// The guidance scale, `[n]`.
    GuidanceScale,
    /// Zeros `[n, tokens, width]`, of so many tokens and so wide: in place of a text encoder that the package does without.
    Zeros([usize; 2]),
    /// The guidance scale less one, as sines and cosines `[n, width]` (Luo et al., arXiv:2310.04378).
    GuidanceEmbedding,
}

/// The time as the denoiser is told it: `factor t`, or `1 - factor t`, of the scheduler's timestep `t`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeUnit {
    /// What the timestep is multiplied with.
    #[serde(default = "super::one")]
    pub factor: f32,
    /// Whether it counts from picture to noise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_one: bool,
}

impl Default for TimeUnit {
    fn default() -> Self {
        Self {
            factor: 1.0,
            from_one: false,
        }
    }
}

impl TimeUnit {
    /// The time of a timestep.
    pub fn of(self, timestep: f32) -> f32 {
        let time = self.factor * timestep;
        if self.from_one { 1.0 - time } else { time }
    }
}

/// The denoiser and its ports by what they are for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denoiser {
    /// Name of the graph.
    pub graph: String,
    /// Input of the latents, `[n, channels, h, w]`; of inpainting models also of a mask, one channel, and the latents of the
    /// masked picture.
    pub sample: String,
    /// Input of the time: a scalar, `[1]` or `[n]`.
    pub timestep: String,
    /// Unit of the time.
    #[serde(default)]
    pub time: TimeUnit,
    /// What the other inputs are given.
    pub inputs: BTreeMap<String, Feed>,
    /// Output of the answer, `[n, channels, h, w]`.
    pub answer: String,
    /// Whether the answer counts with the other sign.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub negated: bool,
}

/// What the guidance scale does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guidance {
    /// Classifier-free guidance (Ho & Salimans, arXiv:2207.12598) where the scale exceeds 1; the prompt alone otherwise.
    ClassifierFree,
    /// The same, counted on top of the answer `c` to the prompt, `c + scale (c - u)`, where the scale exceeds 0.
    ClassifierFreeOnTop,
    /// [`Self::ClassifierFree`], and each line of the guided answer, along the width, is given the length that the answer to the
    /// prompt has there.
    ClassifierFreeRescaled,
    /// The denoiser is told the scale; there is no negative prompt.
    Embedded,
    /// Nothing: it was distilled away, and there is no negative prompt.
    Ignored,
}

/// A part of the steps, from `start` on and before `stop`, as shares of their number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Where it begins.
    pub start: f32,
    /// Where it ends.
    pub stop: f32,
}

impl Interval {
    /// Whether it holds the step of that number, the first being 0: shares are cut to whole steps, as the guiders of diffusers
    /// cut theirs.
    pub fn holds(self, step: u32, steps: u32) -> bool {
        let whole = |share: f32| (f64::from(share) * f64::from(steps)) as u32;
        (whole(self.start)..whole(self.stop)).contains(&step)
    }

    /// Whether it is a part of the steps.
    pub fn is_sound(self) -> bool {
        0.0 <= self.start && self.start < self.stop && self.stop <= 1.0
    }
}

impl Guidance {
    /// Whether the denoiser is asked about a negative prompt, too.
    pub fn is_free(self) -> bool {
        matches!(
            self,
            Self::ClassifierFree | Self::ClassifierFreeOnTop | Self::ClassifierFreeRescaled
        )
    }

    /// The factor of `c - u` beyond `u`, the answer to the negative prompt: 1 is the answer `c` to the prompt alone.
    pub fn factor(self, scale: f32) -> f32 {
        match self {
            Self::ClassifierFreeOnTop => 1.0 + scale,
            Self::ClassifierFree
            | Self::ClassifierFreeRescaled
            | Self::Embedded
            | Self::Ignored => scale,
        }
    }
}

/// Latents of the package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latents {
    /// Channels.
    pub channels: usize,
    /// Pixels per latent, down and across.
    pub stride: usize,
    /// Latents down and across that are one token of a transformer: schedulers count those.
    #[serde(default = "two", skip_serializing_if = "is_two")]
    pub patch: usize,
    /// Colours of the latents, for previews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rgb: Option<LatentRgb>,
}

fn two() -> usize {
    2
}

fn is_two(patch: &usize) -> bool {
    *patch == two()
}

impl Latents {
    /// Tokens of a picture of so many latents down and across.
    pub fn tokens(&self, [height, width]: [usize; 2]) -> usize {
        (height / self.patch) * (width / self.patch)
    }

    /// Channels, height and width of the latents of a picture.
    pub fn shape(&self, size: ImageSize) -> [usize; 3] {
        let [height, width] = size.pixels();
        [self.channels, height / self.stride, width / self.stride]
    }
}

/// The graph between latents and pictures, one input and one output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coder {
    /// Name of the graph.
    pub graph: String,
    /// The autoencoder's own latents are `latents / scale + shift`.
    #[serde(default = "super::one")]
    pub scale: f32,
    /// See [`Self::scale`].
    #[serde(default)]
    pub shift: f32,
}
