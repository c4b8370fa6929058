//! The pipelines that a `model_index.json` can name, and what each of them decides itself.

/// A pipeline whose graphs are wired as Stable Diffusion's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pipeline {
    /// diffusers', whose index exports keep.
    Diffusers,
    /// diffusers' own for ONNX, whose folders have no configurations beside the graphs.
    DiffusersOnnx,
    /// optimum's.
    Optimum,
}

impl Pipeline {
    const ALL: [Self; 3] = [Self::Diffusers, Self::DiffusersOnnx, Self::Optimum];

    /// That of a class name.
    pub fn of(class: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|pipeline| pipeline.name() == class)
    }

    /// The class names, for messages.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The class name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Diffusers => "StableDiffusionPipeline",
            Self::DiffusersOnnx => "OnnxStableDiffusionPipeline",
            Self::Optimum => "ORTStableDiffusionPipeline",
        }
    }

    /// Whether it sets `steps_offset` to 1 and `clip_sample` to false, as diffusers' do since files of 2022 had neither.
    pub fn overrules_schedulers(self) -> bool {
        self != Self::Optimum
    }

    /// Whether it takes latents of 64 × 64 where a unet of before diffusers 0.9 names a smaller size.
    pub fn overrules_sizes(self) -> bool {
        self != Self::Optimum
    }

    /// Channels, height and width of the latents, and what they are divided by, where no file says: this one has them in
    /// its code.
    pub fn fixed(self) -> Option<Fixed> {
        (self == Self::DiffusersOnnx).then_some(Fixed {
            channels: 4,
            side: 64,
            scaling_factor: 0.18215,
        })
    }
}

/// Numbers that a pipeline has in its code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fixed {
    pub channels: usize,
    pub side: usize,
    pub scaling_factor: f64,
}
