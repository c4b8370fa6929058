//! What a model is, as shown on its card and as the request checks need it.

use serde::{Deserialize, Serialize};

use crate::generation::GenerationRequest;
use crate::lora::ModelLora;
use crate::residency::Demand;

/// A runnable model: card and limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelSummary {
    /// `owner/name`.
    pub id: String,
    /// Human name.
    pub name: String,
    /// Creator: the part of `id` before the slash.
    pub creator: String,
    /// One sentence for lists.
    pub summary: String,
    /// SPDX expression of the weights' licence.
    pub license: String,
    /// Paper that the architecture or method comes from.
    pub paper: Option<Paper>,
    /// URL of the package's manifest; the other files lie beside it. Absent: there is no package for browsers, an
    /// endpoint elsewhere runs the model.
    #[serde(default)]
    pub package_url: Option<String>,
    /// SHA-256 (hex) of the manifest, which names the digest of every weight file. Empty without a package.
    pub weights_digest: String,
    /// Bytes downloaded before the first picture; 0 without a package.
    pub download_bytes: u64,
    /// Width in pixels of the picture where a request leaves it open.
    pub width: u32,
    /// Height in pixels of the picture where a request leaves it open.
    pub height: u32,
    /// Other sizes that a request may ask for; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<ModelSizes>,
    /// Whether prompts may be read with weights and at any length, see [`crate::PromptSyntax`].
    #[serde(default)]
    pub weighted_prompts: bool,
    /// Largest [`GenerationRequest::clip_skip`]; 1: none can be chosen.
    #[serde(default = "no_skip", skip_serializing_if = "is_no_skip")]
    pub max_clip_skip: u32,
    /// LoRAs that a prompt may choose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<ModelLora>,
    /// Samplers that a request may choose; empty: only the model's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samplers: Vec<SamplerName>,
    /// Whether the model takes a negative prompt. One whose guidance was distilled into one evaluation does not.
    #[serde(default = "takes")]
    pub negative_prompt: bool,
    /// Whether a picture may begin with another one, see [`crate::StartRequest`].
    #[serde(default)]
    pub begins_with_pictures: bool,
    /// Ranges that a request may ask for.
    pub limits: ModelLimits,
    /// Values where a request leaves them open.
    pub defaults: ModelDefaults,
    /// What a GPU must offer for a picture of the default size; all 0 without a package.
    pub needs: ModelNeeds,
    /// What it must offer for the largest picture, where there are other sizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_of_largest: Option<ModelNeeds>,
    /// What a picture costs, where it was counted.
    #[serde(default)]
    pub work: Option<ModelWork>,
    /// Prompts that show what the model can do.
    pub example_prompts: Vec<String>,
}

fn takes() -> bool {
    true
}

fn no_skip() -> u32 {
    1
}

fn is_no_skip(max: &u32) -> bool {
    *max == no_skip()
}

impl ModelSummary {
    /// Width and height of a request's finished picture: those that it says, or the model's own, and larger where it asks for that.
    pub fn size_of(&self, request: &GenerationRequest) -> (u32, u32) {
        let (width, height) = (
            request.width.unwrap_or(self.width),
            request.height.unwrap_or(self.height),
        );
        let larger = request.upscale.and_then(|factor| factor.of(width, height));
        larger.unwrap_or((width, height))
    }

    /// Whether it makes pictures of this size.
    pub fn makes(&self, width: u32, height: u32) -> bool {
        let others = self.sizes.as_ref();
        (width, height) == (self.width, self.height)
            || others.is_some_and(|sizes| sizes.allows(width, height))
    }

    /// What a GPU must offer for a picture of this size: beyond the default one, what the largest takes.
    pub fn needs_for(&self, width: u32, height: u32) -> &ModelNeeds {
        let pixels = |width: u32, height: u32| u64::from(width) * u64::from(height);
        let larger = pixels(width, height) > pixels(self.width, self.height);
        self.needs_of_largest
            .as_ref()
            .filter(|_| larger)
            .unwrap_or(&self.needs)
    }

    /// What a picture of the default size and steps asks of a device.
    pub fn demand(&self) -> Demand {
        self.demand_for(self.width, self.height, self.defaults.num_inference_steps)
    }

    /// What a picture asks of a device. What is computed is known for the default size alone; larger pictures take more.
    pub fn demand_for(&self, width: u32, height: u32, steps: u32) -> Demand {
        Demand {
            needs: *self.needs_for(width, height),
            work: self.work,
            steps,
        }
    }

    /// The sizes that it makes pictures of, in words.
    pub fn offered_sizes(&self) -> String {
        let default = format!("{} x {}", self.width, self.height);
        match &self.sizes {
            None => format!("{default} only"),
            Some(sizes) => format!(
                "{default}, and others with sides of {} to {} in steps of {} and at most {} pixels",
                sizes.min_side, sizes.max_side, sizes.multiple_of, sizes.max_pixels
            ),
        }
    }
}

/// The scholarly source of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Paper {
    /// Title of the paper.
    pub title: String,
    /// Authors in the paper's order.
    pub authors: Vec<String>,
    /// arXiv identifier, such as `2209.03003`.
    pub arxiv: String,
    /// Abstract of the paper.
    #[serde(rename = "abstract")]
    pub abstract_text: String,
}

/// Ranges that a request may ask for; both ends included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelLimits {
    /// Fewest denoising steps.
    pub min_steps: u32,
    /// Most denoising steps.
    pub max_steps: u32,
    /// Smallest guidance scale.
    pub min_guidance: f32,
    /// Largest guidance scale.
    pub max_guidance: f32,
}

/// A sampler by the names that people know it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SamplerName {
    /// The name of AUTOMATIC1111's web UI, its schedule included, such as `DPM++ 2M Karras`.
    pub a1111: String,
    /// The class of diffusers.
    pub diffusers: String,
}

impl SamplerName {
    /// Whether it goes by this name; the case of letters does not count.
    pub fn is(&self, name: &str) -> bool {
        self.a1111.eq_ignore_ascii_case(name) || self.diffusers.eq_ignore_ascii_case(name)
    }
}

/// Sizes that a request may ask for: whole multiples within limits, and those that are named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ModelSizes {
    /// Sides are multiples of so many pixels.
    pub multiple_of: u32,
    /// Shortest side in pixels.
    pub min_side: u32,
    /// Longest side in pixels.
    pub max_side: u32,
    /// Most pixels of a picture.
    pub max_pixels: u64,
    /// Sizes that the model was trained on, `[width, height]`; to be offered first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<[u32; 2]>,
}

impl ModelSizes {
    /// The largest square picture: what needs most, as far as one number tells.
    pub fn largest(&self) -> u32 {
        let steps = u64::from(self.max_side) / u64::from(self.multiple_of.max(1));
        let sides = (1..=steps).rev().map(|n| n * u64::from(self.multiple_of));
        let fits = |side: &u64| side * side <= self.max_pixels;
        let side = sides.into_iter().find(fits).unwrap_or_default();
        u32::try_from(side).unwrap_or(self.max_side)
    }

    /// Whether a picture may have this size.
    pub fn allows(&self, width: u32, height: u32) -> bool {
        let pixels = u64::from(width) * u64::from(height);
        let sides = self.allows_side(width) && self.allows_side(height);
        self.buckets.contains(&[width, height]) || sides && pixels <= self.max_pixels
    }

    /// Whether a side may have this length beside one that is short enough.
    pub fn allows_side(&self, side: u32) -> bool {
        (self.min_side..=self.max_side).contains(&side) && side.is_multiple_of(self.multiple_of)
    }
}

/// Values used where a request leaves them open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelDefaults {
    /// Denoising steps.
    pub num_inference_steps: u32,
    /// Guidance scale.
    pub guidance_scale: f32,
}

/// Smallest GPU limits that the model fits, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelNeeds {
    /// WebGPU `maxBufferSize`.
    pub max_buffer_size: u64,
    /// WebGPU `maxStorageBufferBindingSize`.
    pub max_storage_buffer_binding_size: u64,
    /// Memory for weights and activations together.
    pub memory_bytes: u64,
    /// Where one part of the model is on the GPU at a time; absent where that was not counted, as for small models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_at_a_time: Option<LowMemoryNeeds>,
    /// Where of that part's weights a bounded share is there, and the others are brought in every run; absent where no part has
    /// that many, and where it was not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streamed: Option<LowMemoryNeeds>,
}

/// What a model needs that is not on the GPU as a whole, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LowMemoryNeeds {
    /// The most memory of any moment.
    pub memory_bytes: u64,
    /// What is brought to the GPU once a picture.
    pub picture_bytes: u64,
    /// What is brought there at each step.
    pub step_bytes: u64,
}

/// What a model computes for one picture, counted from its graphs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelWork {
    /// Text encoder and decoder together: once per picture.
    pub once: Work,
    /// Denoiser: once per step, guidance included.
    pub per_step: Work,
}

/// A piece of work on a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Work {
    /// Multiplications and additions of products, convolutions and attention.
    pub flops: u64,
    /// Dispatches.
    pub dispatches: u64,
}

impl ModelWork {
    /// A picture of so many steps.
    pub fn picture(&self, steps: u32) -> Work {
        let times = u64::from(steps);
        Work {
            flops: self.once.flops + times * self.per_step.flops,
            dispatches: self.once.dispatches + times * self.per_step.dispatches,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn glyph() -> ModelSummary {
        ModelSummary {
            id: "demo-hub/glyph".into(),
            name: "Glyph".into(),
            creator: "demo-hub".into(),
            summary: String::new(),
            license: "Apache-2.0".into(),
            paper: None,
            package_url: Some("/models/glyph/manifest.json".into()),
            weights_digest: String::new(),
            download_bytes: 0,
            width: 64,
            height: 64,
            sizes: None,
            weighted_prompts: false,
            max_clip_skip: 1,
            loras: Vec::new(),
            samplers: Vec::new(),
            negative_prompt: true,
            begins_with_pictures: false,
            limits: ModelLimits {
                min_steps: 1,
                max_steps: 50,
                min_guidance: 1.0,
                max_guidance: 15.0,
            },
            defaults: ModelDefaults {
                num_inference_steps: 8,
                guidance_scale: 3.0,
            },
            needs: ModelNeeds {
                max_buffer_size: 64 << 20,
                max_storage_buffer_binding_size: 64 << 20,
                memory_bytes: 256 << 20,
                one_at_a_time: None,
                streamed: None,
            },
            needs_of_largest: None,
            work: None,
            example_prompts: Vec::new(),
        }
    }

    #[test]
    fn larger_pictures_need_what_the_largest_does() {
        let mut model = glyph();
        assert_eq!(model.needs_for(128, 128), &model.needs);
        let most = ModelNeeds {
            memory_bytes: 1 << 30,
            ..model.needs
        };
        model.needs_of_largest = Some(most);
        assert_eq!(model.needs_for(64, 64), &model.needs);
        assert_eq!(model.needs_for(128, 32), &model.needs);
        assert_eq!(model.needs_for(72, 64), &most);
        let sizes = ModelSizes {
            multiple_of: 64,
            min_side: 128,
            max_side: 1024,
            max_pixels: 2 * 512 * 512,
            buckets: Vec::new(),
        };
        assert_eq!(sizes.largest(), 704);
        assert!(sizes.allows(704, 704) && !sizes.allows(768, 768));
        assert!(sizes.allows(1024, 512) && !sizes.allows(1024, 576) && !sizes.allows(500, 512));
    }
}
