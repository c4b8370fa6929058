//! What makes a picture from a request on this machine.

mod local;
mod warm;

use diffusion::Cancel;
use protocol::{GenerationRequest, Progress, Recipe};

pub use local::LocalRenderer;

/// A finished picture.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The PNG with its recipe inside.
    pub png: Vec<u8>,
    /// How it was made.
    pub recipe: Recipe,
}

/// What a renderer tells while it works.
#[derive(Debug)]
pub enum Report<'a> {
    /// Engine or endpoint, before the first step.
    Backend(&'a str),
    /// A step is done.
    Step(Progress),
    /// What the picture looks like after that step, as PNG.
    Preview(Progress, Vec<u8>),
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// No such package here.
    #[error("there is no model {0:?}")]
    UnknownModel(String),
    /// Package, engine or pipeline failed, or the job was cancelled.
    #[error(transparent)]
    Diffusion(#[from] diffusion::Error),
}

impl RenderError {
    /// Whether the work ended because it was asked to.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Diffusion(error) if error.is_cancelled())
    }

    /// Whether another worker, or this one later, may succeed at the same request.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::UnknownModel(_) => false,
            Self::Diffusion(error) => matches!(error.kind(), diffusion::ErrorKind::DeviceLost),
        }
    }
}

/// Makes pictures one at a time; lives in one thread, since engines need not be `Send`.
pub trait Renderer {
    /// Makes the picture of a resolved request whose seed is set and reports on the way.
    ///
    /// # Errors
    /// [`RenderError`]; within a step of [`Cancel::cancel`] one that [`RenderError::is_cancelled`].
    fn render(
        &mut self,
        request: &GenerationRequest,
        report: &mut dyn FnMut(Report<'_>),
        cancel: &Cancel,
    ) -> Result<Rendered, RenderError>;
}
