//! What a model is, as shown on its card and as the request checks need it.

use serde::{Deserialize, Serialize};

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
    /// Width and height of the picture in pixels.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
    /// Whether the model takes a negative prompt. One whose guidance was distilled into one evaluation does not.
    #[serde(default = "takes")]
    pub negative_prompt: bool,
    /// Ranges that a request may ask for.
    pub limits: ModelLimits,
    /// Values where a request leaves them open.
    pub defaults: ModelDefaults,
    /// What a GPU must offer; all 0 without a package.
    pub needs: ModelNeeds,
    /// What a picture costs, where it was counted.
    #[serde(default)]
    pub work: Option<ModelWork>,
    /// Prompts that show what the model can do.
    pub example_prompts: Vec<String>,
}

fn takes() -> bool {
    true
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

/// Values used where a request leaves them open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelDefaults {
    /// Denoising steps.
    pub num_inference_steps: u32,
    /// Guidance scale.
    pub guidance_scale: f32,
}

/// Smallest GPU limits that carry the model, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelNeeds {
    /// WebGPU `maxBufferSize`.
    pub max_buffer_size: u64,
    /// WebGPU `maxStorageBufferBindingSize`.
    pub max_storage_buffer_binding_size: u64,
    /// Memory for weights and activations together.
    pub memory_bytes: u64,
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
            negative_prompt: true,
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
            },
            work: None,
            example_prompts: Vec::new(),
        }
    }
}
