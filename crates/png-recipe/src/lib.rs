//! How a picture was made, as text inside its PNG.
//!
//! [`read`] finds the settings in files of this hub, of A1111's web UI, Fooocus, InvokeAI and ComfyUI. It takes any
//! bytes: sizes are capped, and nothing of the picture itself is decoded. [`a1111::write`] makes the text that such
//! readers take.

pub mod a1111;
mod chunks;
mod comfyui;
mod fooocus;
mod hub;
mod invokeai;
mod json;

pub use chunks::MAX_TEXT_BYTES;

use chunks::Texts;

/// Keyword of A1111's text.
pub const PARAMETERS_KEYWORD: &str = "parameters";
/// Keyword of this hub's recipe, [`protocol::Recipe`] as JSON.
pub const RECIPE_KEYWORD: &str = "demo-hub";

/// The program that wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generator {
    /// This hub.
    DemoHub,
    /// AUTOMATIC1111's web UI, or a program that writes its form.
    A1111,
    /// Fooocus.
    Fooocus,
    /// InvokeAI.
    InvokeAi,
    /// ComfyUI.
    ComfyUi,
}

impl Generator {
    /// Its name, for sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::DemoHub => "Demo Hub",
            Self::A1111 => "A1111’s web UI or a program that writes its form",
            Self::Fooocus => "Fooocus",
            Self::InvokeAi => "InvokeAI",
            Self::ComfyUi => "ComfyUI",
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
}

impl Settings {
    fn is_empty(&self) -> bool {
        *self == Self::default()
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
}

/// Why a file gives no settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It does not begin as a PNG does.
    #[error("this file is not a PNG")]
    NotPng,
    /// It is a PNG without text of a known generator.
    #[error("this PNG does not say how it was made")]
    NoRecipe,
    /// A known text is there and makes no sense.
    #[error("the settings in this PNG, written by {}, cannot be read: {detail}", .generator.name())]
    Unreadable {
        /// Whose text it is.
        generator: Generator,
        /// What is wrong.
        detail: String,
    },
}

/// Reads the settings of a PNG. Where several generators left text, the most exact one counts.
///
/// # Errors
/// [`ReadError`].
pub fn read(png: &[u8]) -> Result<Reading, ReadError> {
    let texts = Texts::find(png)?;
    type Reader = fn(&Texts) -> Option<Result<Reading, ReadError>>;
    let readers: [Reader; 5] = [
        hub::read,
        invokeai::read,
        fooocus::read,
        |texts| Some(Ok(a1111::read(texts.get(PARAMETERS_KEYWORD)?))),
        comfyui::read,
    ];
    let mut failure = None;
    for reader in readers {
        match reader(&texts) {
            Some(Ok(reading)) if !reading.settings.is_empty() => return Ok(reading),
            Some(Err(error)) => failure = failure.or(Some(error)),
            Some(Ok(_)) | None => {}
        }
    }
    Err(failure.unwrap_or(ReadError::NoRecipe))
}
