//! What is read, in the words of this hub.

use std::fmt;

/// The program that wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generator {
    /// This hub.
    DemoHub,
    /// AUTOMATIC1111's web UI, or a program that writes its form.
    A1111,
    /// Forge, a fork of A1111's web UI.
    Forge,
    /// SD.Next, a fork of A1111's web UI.
    SdNext,
    /// SwarmUI, formerly StableSwarmUI.
    SwarmUi,
    /// Fooocus.
    Fooocus,
    /// InvokeAI.
    InvokeAi,
    /// ComfyUI.
    ComfyUi,
    /// Easy Diffusion.
    EasyDiffusion,
    /// Draw Things.
    DrawThings,
    /// NovelAI.
    NovelAi,
}

impl Generator {
    /// Its name, for sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::DemoHub => "Demo Hub",
            Self::A1111 => "A1111’s web UI or a program that writes its form",
            Self::Forge => "Forge",
            Self::SdNext => "SD.Next",
            Self::SwarmUi => "SwarmUI",
            Self::Fooocus => "Fooocus",
            Self::InvokeAi => "InvokeAI",
            Self::ComfyUi => "ComfyUI",
            Self::EasyDiffusion => "Easy Diffusion",
            Self::DrawThings => "Draw Things",
            Self::NovelAi => "NovelAI",
        }
    }
}

/// Settings as the file has them: not checked against any model's limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Name of the model.
    pub model: Option<String>,
    /// What the picture shows.
    pub prompt: Option<String>,
    /// What it does not show.
    pub negative_prompt: Option<String>,
    /// Seed of the noise.
    pub seed: Option<u64>,
    /// Denoising steps.
    pub num_inference_steps: Option<u32>,
    /// Guidance scale.
    pub guidance_scale: Option<f32>,
    /// Width and height in pixels that were asked for, where a file of this hub says so.
    pub size: Option<(u32, u32)>,
    /// Name of another sampler than the model's own, where a file of this hub says so.
    pub sampler: Option<String>,
    /// Which layer of the text encoders is read, where a file of this hub says so.
    pub clip_skip: Option<u32>,
    /// Whether prompts have weights as AUTOMATIC1111's web UI reads them, where a file of this hub says so.
    pub weighted: bool,
}

impl Settings {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn has(&self, field: Field) -> bool {
        match field {
            Field::Model => self.model.is_some(),
            Field::Prompt => self.prompt.is_some(),
            Field::NegativePrompt => self.negative_prompt.is_some(),
            Field::Seed => self.seed.is_some(),
            Field::Steps => self.num_inference_steps.is_some(),
            Field::Guidance => self.guidance_scale.is_some(),
        }
    }
}

/// A member of [`Settings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// [`Settings::model`].
    Model,
    /// [`Settings::prompt`].
    Prompt,
    /// [`Settings::negative_prompt`].
    NegativePrompt,
    /// [`Settings::seed`].
    Seed,
    /// [`Settings::num_inference_steps`].
    Steps,
    /// [`Settings::guidance_scale`].
    Guidance,
}

impl Field {
    const ALL: [Self; 6] = [
        Self::Model,
        Self::Prompt,
        Self::NegativePrompt,
        Self::Seed,
        Self::Steps,
        Self::Guidance,
    ];

    /// Its name, for sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Prompt => "prompt",
            Self::NegativePrompt => "negative prompt",
            Self::Seed => "seed",
            Self::Steps => "steps",
            Self::Guidance => "guidance",
        }
    }
}

/// A setting that the file has in a way that cannot be read for certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Which one.
    pub field: Field,
    /// Why, as the end of a sentence: `which the node X makes`.
    pub why: String,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {}, {}", self.field.name(), self.why)
    }
}

/// What a file says about its making.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Who wrote it.
    pub generator: Generator,
    /// What a request can take.
    pub settings: Settings,
    /// Names of what else it says, in the file's words.
    pub unused: Vec<String>,
    /// Settings that are there and were left alone, since they might have been read wrongly.
    pub unread: Vec<Unread>,
}

impl Reading {
    pub(crate) fn new(generator: Generator, settings: Settings, unused: Vec<String>) -> Self {
        Self {
            generator,
            settings,
            unused,
            unread: Vec::new(),
        }
    }

    /// The settings that the file does not have at all.
    pub fn missing(&self) -> Vec<Field> {
        let unread = |field: &Field| self.unread.iter().any(|u| u.field == *field);
        Field::ALL
            .into_iter()
            .filter(|field| !self.settings.has(*field) && !unread(field))
            .collect()
    }

    /// Why a reading without settings has none, where it knows.
    pub(crate) fn nothing_readable(self) -> Option<ReadError> {
        let first = self.unread.first()?;
        Some(ReadError::Unreadable {
            generator: self.generator,
            detail: first.to_string(),
        })
    }
}

/// Why a file gives no settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It does not begin as a PNG, a WebP or a JPEG does.
    #[error("this file is not a PNG, WebP or JPEG")]
    NotAPicture,
    /// It is a picture without text of a known generator.
    #[error("this file does not say how it was made")]
    NoRecipe,
    /// The only text that might say it is longer than is read.
    #[error("the text in this file is longer than the {} MiB that are read", crate::MAX_TEXT_BYTES >> 20)]
    TooLong,
    /// A known text is there and makes no sense.
    #[error("the settings in this file, written by {}, cannot be read: {detail}", .generator.name())]
    Unreadable {
        /// Whose text it is.
        generator: Generator,
        /// What is wrong.
        detail: String,
    },
}
