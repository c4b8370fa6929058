//! The pipelines that a `model_index.json` can name, and what each of them decides itself.

use serde_json::Value;

use super::layout::Part;

/// How graphs and texts belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// One text encoder: Stable Diffusion 1 and 2 and what was distilled from them.
    StableDiffusion,
    /// Two text encoders, pooled text and sizes (Podell et al., arXiv:2307.01952).
    StableDiffusionXl,
    /// Stable Diffusion whose denoiser is told the guidance scale (Luo et al., arXiv:2310.04378).
    LatentConsistency,
    /// FLUX.2 klein: a transformer, and hidden states of a language model (Black Forest Labs, 2026).
    Flux2Klein,
    /// Z-Image: the same of another transformer (Tongyi-MAI, arXiv:2511.22699).
    ZImage,
    /// PixArt-α: a transformer that looks at what T5 gives (Chen et al., arXiv:2310.00426).
    PixArtAlpha,
    /// PixArt-Σ (Chen et al., arXiv:2403.04692).
    PixArtSigma,
    /// Stable Diffusion 3 and 3.5: two encoders of CLIP, and T5 (Esser et al., arXiv:2403.03206).
    StableDiffusion3,
    /// FLUX.1: pooled text of CLIP, and T5 (Black Forest Labs, 2024).
    Flux,
    /// SANA: linear attention, and a language model that is given an instruction (Xie et al., arXiv:2410.10629).
    Sana,
    /// SANA-Sprint: the same distilled to few steps, told the guidance scale (Chen et al., arXiv:2503.09641).
    SanaSprint,
    /// Lumina-Image 2.0 (Qin et al., arXiv:2503.21758).
    Lumina2,
}

/// Who wrote the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kit {
    /// diffusers, whose index exports keep.
    Diffusers,
    /// diffusers' own pipeline for ONNX, whose folders have no configurations beside the graphs.
    DiffusersOnnx,
    /// optimum.
    Optimum,
}

/// A pipeline class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pipeline {
    name: &'static str,
    pub family: Family,
    kit: Kit,
}

const fn class(name: &'static str, family: Family, kit: Kit) -> Pipeline {
    Pipeline { name, family, kit }
}

/// The classes: those that begin with a picture hold the same files.
const CLASSES: [Pipeline; 28] = [
    class(
        "StableDiffusionPipeline",
        Family::StableDiffusion,
        Kit::Diffusers,
    ),
    class(
        "StableDiffusionImg2ImgPipeline",
        Family::StableDiffusion,
        Kit::Diffusers,
    ),
    class(
        "StableDiffusionInpaintPipeline",
        Family::StableDiffusion,
        Kit::Diffusers,
    ),
    class(
        "OnnxStableDiffusionPipeline",
        Family::StableDiffusion,
        Kit::DiffusersOnnx,
    ),
    class(
        "OnnxStableDiffusionImg2ImgPipeline",
        Family::StableDiffusion,
        Kit::DiffusersOnnx,
    ),
    class(
        "OnnxStableDiffusionInpaintPipeline",
        Family::StableDiffusion,
        Kit::DiffusersOnnx,
    ),
    class(
        "ORTStableDiffusionPipeline",
        Family::StableDiffusion,
        Kit::Optimum,
    ),
    class(
        "ORTStableDiffusionImg2ImgPipeline",
        Family::StableDiffusion,
        Kit::Optimum,
    ),
    class(
        "ORTStableDiffusionInpaintPipeline",
        Family::StableDiffusion,
        Kit::Optimum,
    ),
    class(
        "StableDiffusionXLPipeline",
        Family::StableDiffusionXl,
        Kit::Diffusers,
    ),
    class(
        "StableDiffusionXLImg2ImgPipeline",
        Family::StableDiffusionXl,
        Kit::Diffusers,
    ),
    class(
        "StableDiffusionXLInpaintPipeline",
        Family::StableDiffusionXl,
        Kit::Diffusers,
    ),
    class(
        "ORTStableDiffusionXLPipeline",
        Family::StableDiffusionXl,
        Kit::Optimum,
    ),
    class(
        "ORTStableDiffusionXLImg2ImgPipeline",
        Family::StableDiffusionXl,
        Kit::Optimum,
    ),
    class(
        "LatentConsistencyModelPipeline",
        Family::LatentConsistency,
        Kit::Diffusers,
    ),
    class(
        "LatentConsistencyModelImg2ImgPipeline",
        Family::LatentConsistency,
        Kit::Diffusers,
    ),
    class(
        "ORTLatentConsistencyModelPipeline",
        Family::LatentConsistency,
        Kit::Optimum,
    ),
    class(
        "ORTLatentConsistencyModelImg2ImgPipeline",
        Family::LatentConsistency,
        Kit::Optimum,
    ),
    class("Flux2KleinPipeline", Family::Flux2Klein, Kit::Diffusers),
    class("ZImagePipeline", Family::ZImage, Kit::Diffusers),
    class("PixArtAlphaPipeline", Family::PixArtAlpha, Kit::Diffusers),
    class("PixArtSigmaPipeline", Family::PixArtSigma, Kit::Diffusers),
    class(
        "StableDiffusion3Pipeline",
        Family::StableDiffusion3,
        Kit::Diffusers,
    ),
    class("FluxPipeline", Family::Flux, Kit::Diffusers),
    class("SanaPipeline", Family::Sana, Kit::Diffusers),
    class("SanaSprintPipeline", Family::SanaSprint, Kit::Diffusers),
    class("Lumina2Pipeline", Family::Lumina2, Kit::Diffusers),
    // Its former name.
    class("Lumina2Text2ImgPipeline", Family::Lumina2, Kit::Diffusers),
];

/// Denoising steps and guidance scale where a request leaves them open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Defaults {
    pub steps: u32,
    pub guidance: f32,
}

impl Pipeline {
    /// diffusers' of Stable Diffusion.
    #[cfg(test)]
    pub const DIFFUSERS: Self = CLASSES[0];
    /// diffusers' own for ONNX.
    #[cfg(test)]
    pub const DIFFUSERS_ONNX: Self = CLASSES[3];
    /// optimum's.
    #[cfg(test)]
    pub const OPTIMUM: Self = CLASSES[6];

    /// That of a class name.
    pub fn of(class: &str) -> Option<Self> {
        CLASSES.into_iter().find(|pipeline| pipeline.name == class)
    }

    /// The class names, for messages.
    pub fn names() -> String {
        CLASSES.map(|pipeline| pipeline.name).join(", ")
    }

    /// Whether it reads a part, where the folder has it.
    pub fn reads(self, part: Part) -> bool {
        let encoders = match self.family {
            Family::Flux2Klein
            | Family::ZImage
            | Family::PixArtAlpha
            | Family::PixArtSigma
            | Family::Sana
            | Family::SanaSprint
            | Family::Lumina2 => 1,
            Family::StableDiffusion3 => 3,
            _ => 2,
        };
        match part {
            Part::TextEncoder2 => encoders > 1,
            Part::TextEncoder3 => encoders > 2,
            // Those that begin with a picture are not packed of the others.
            Part::VaeEncoder => matches!(
                self.family,
                Family::StableDiffusion | Family::StableDiffusionXl | Family::LatentConsistency
            ),
            Part::TextEncoder | Part::Unet | Part::VaeDecoder => true,
        }
    }

    /// The parts that it reads, where the folder has them.
    pub fn parts(self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(move |part| self.reads(*part))
    }

    /// The class name.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Whether it sets `steps_offset` to 1 and `clip_sample` to false, as diffusers' do since files of 2022 had neither.
    pub fn overrules_schedulers(self) -> bool {
        self.kit != Kit::Optimum && self.family == Family::StableDiffusion
    }

    /// Whether it takes latents of 64 × 64 where a unet of before diffusers 0.9 names a smaller size.
    pub fn overrules_sizes(self) -> bool {
        self.kit != Kit::Optimum && self.family == Family::StableDiffusion
    }

    /// Channels, height and width of the latents, and what they are divided by, where no file says: this one has them in
    /// its code.
    pub fn fixed(self) -> Option<Fixed> {
        (self.kit == Kit::DiffusersOnnx).then_some(Fixed {
            channels: 4,
            side: 64,
            scaling_factor: 0.18215,
        })
    }

    /// Whether diffusers makes pictures at sizes of the training alone, and resizes them.
    pub fn rounds_sizes(self) -> bool {
        matches!(self.family, Family::PixArtAlpha | Family::PixArtSigma)
    }

    /// What the authors of models that were distilled to a few steps ask for, where the scheduler shows it.
    pub fn distilled(self, scheduler: &Value) -> Option<Defaults> {
        let text = |name: &str| scheduler.get(name).and_then(Value::as_str);
        let class = text("_class_name").unwrap_or_default();
        let (steps, guidance) = match (self.family, class) {
            (Family::LatentConsistency, _) => (4, 8.5),
            (_, "LCMScheduler") => (4, 1.0),
            (_, "TCDScheduler") => (4, 0.0),
            (_, class) if class.starts_with("Euler") && is_distilled(text) => (4, 0.0),
            _ => return None,
        };
        Some(Defaults { steps, guidance })
    }

    /// What the authors of such models ask for. Models that were distilled to a few steps are known by their scheduler: the
    /// turbo and lightning kinds step at the trailing ends of the training, without guidance, and consistency models have
    /// schedulers of their own.
    pub fn defaults(self, scheduler: &Value) -> Defaults {
        if let Some(few) = self.distilled(scheduler) {
            return few;
        }
        let (steps, guidance) = match self.family {
            Family::StableDiffusionXl => (25, 5.0),
            Family::StableDiffusion | Family::LatentConsistency => (25, 7.5),
            // Those that were distilled to few steps, which no scheduler shows.
            Family::Flux2Klein | Family::Flux => (4, 1.0),
            Family::ZImage => (9, 0.0),
            Family::PixArtAlpha | Family::PixArtSigma => (20, 4.5),
            Family::StableDiffusion3 => (28, 7.0),
            Family::Sana => (20, 4.5),
            Family::SanaSprint => (2, 4.5),
            Family::Lumina2 => (30, 4.0),
        };
        Defaults { steps, guidance }
    }
}

fn is_distilled<'c>(text: impl Fn(&str) -> Option<&'c str>) -> bool {
    text("timestep_spacing") == Some("trailing")
        && text("prediction_type").is_none_or(|prediction| prediction != "v_prediction")
}

/// Numbers that a pipeline has in its code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fixed {
    pub channels: usize,
    pub side: usize,
    pub scaling_factor: f64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    /// The model cards of sd-turbo, sdxl-turbo, SDXL-Lightning, LCM_Dreamshaper_v7 and the classes' own defaults.
    #[test]
    fn distilled_models_take_few_steps() {
        let of = |class: &str, scheduler: Value| Pipeline::of(class).unwrap().defaults(&scheduler);
        let (sd, xl) = ("StableDiffusionPipeline", "StableDiffusionXLPipeline");
        let euler = |spacing: &str| json!({"_class_name": "EulerDiscreteScheduler", "timestep_spacing": spacing});
        let few = |guidance| Defaults { steps: 4, guidance };
        assert_eq!(of(sd, euler("trailing")), few(0.0));
        let ancestral = json!({"_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"});
        assert_eq!(of(xl, ancestral), few(0.0));
        assert_eq!(of(sd, json!({"_class_name": "LCMScheduler"})), few(1.0));
        let lcm = json!({"_class_name": "LCMScheduler"});
        assert_eq!(of("LatentConsistencyModelPipeline", lcm), few(8.5));
        let full = |guidance| Defaults {
            steps: 25,
            guidance,
        };
        assert_eq!(of(sd, json!({"_class_name": "PNDMScheduler"})), full(7.5));
        assert_eq!(of(xl, euler("leading")), full(5.0));
        let mut v = euler("trailing");
        v["prediction_type"] = json!("v_prediction");
        assert_eq!(of(sd, v), full(7.5));
    }
}
