//! What makes a picture from a request: this machine, or an endpoint elsewhere.

pub mod hosted;
pub mod lanes;
mod larger;
pub(crate) mod local;
mod warm;

use diffusion::{Begun, Cancel, ErrorKind};
use protocol::{GenerationRequest, Problem, ProblemCode, Progress, Recipe, RequestError, Resume};

use hosted::{EndpointError, EndpointErrorKind};

pub use local::{LocalOptions, LocalRenderer};

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
    /// An endpoint gave no picture, or the job was cancelled.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// What a failure speaks against, and thus what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The request, or what is configured: it would fail again.
    Request,
    /// The load elsewhere: no work was begun, and it may be later.
    Load,
    /// Nothing in particular: it may succeed the next time.
    Chance,
    /// The worker: another one may succeed at once.
    Worker,
}

impl RenderError {
    /// Whether the work ended because it was asked to.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::UnknownModel(_) => false,
            Self::Diffusion(error) => error.is_cancelled(),
            Self::Endpoint(error) => error.kind == EndpointErrorKind::Cancelled,
        }
    }

    /// What it speaks against.
    pub fn blame(&self) -> Blame {
        match self {
            Self::UnknownModel(_) => Blame::Request,
            Self::Diffusion(error) => match error.kind() {
                ErrorKind::DeviceLost | ErrorKind::OutOfMemory | ErrorKind::NoAdapter => {
                    Blame::Worker
                }
                _ => Blame::Request,
            },
            Self::Endpoint(error) if error.kind.is_before_work() => Blame::Load,
            Self::Endpoint(error) if error.may_repeat => Blame::Chance,
            Self::Endpoint(_) => Blame::Request,
        }
    }

    /// Whether another worker, or this one later, may succeed at the same request.
    pub fn is_transient(&self) -> bool {
        self.blame() != Blame::Request
    }

    /// What the person who asked is told. Names of files and other inner matters stay in the log.
    pub fn problem(&self) -> Problem {
        match self {
            Self::UnknownModel(_) => failed("the model is no longer offered"),
            Self::Diffusion(error) => failed(diffusion_detail(error)),
            Self::Endpoint(error) => endpoint_problem(&error.kind),
        }
    }
}

/// Makes pictures one at a time; lives in one thread, since engines need not be `Send`.
pub trait Renderer {
    /// Makes the picture of a request as the queue has it, and reports on the way.
    ///
    /// # Errors
    /// [`RenderError`]; within a step of [`Cancel::cancel`] one that [`RenderError::is_cancelled`].
    fn render(
        &mut self,
        request: &GenerationRequest,
        report: &mut dyn FnMut(Report<'_>),
        cancel: &Cancel,
    ) -> Result<Rendered, RenderError>;

    /// [`Self::render`] of a picture that was begun elsewhere. A renderer that cannot go on from latents makes the
    /// whole picture.
    ///
    /// # Errors
    /// As [`Self::render`].
    fn resume(
        &mut self,
        request: &GenerationRequest,
        _resume: &Resume,
        report: &mut dyn FnMut(Report<'_>),
        cancel: &Cancel,
    ) -> Result<Rendered, RenderError> {
        self.render(request, report, cancel)
    }

    /// [`Self::render`], or [`Self::resume`], of a picture that begins with another one. Renderers that cannot do that
    /// refuse.
    ///
    /// # Errors
    /// As [`Self::render`].
    fn begin(
        &mut self,
        request: &GenerationRequest,
        _begun: &Begun,
        _resume: Option<&Resume>,
        _report: &mut dyn FnMut(Report<'_>),
        _cancel: &Cancel,
    ) -> Result<Rendered, RenderError> {
        let refused = RequestError::NoStart(request.model.clone()).to_string();
        Err(diffusion::Error::new(ErrorKind::InvalidRequest, refused).into())
    }
}

fn failed(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemCode::GenerationFailed, detail)
        .with_hint("Try again; if it fails once more, make the picture in your browser.")
}

fn diffusion_detail(error: &diffusion::Error) -> String {
    match error.kind() {
        ErrorKind::InvalidRequest | ErrorKind::Tokenizer => error.to_string(),
        ErrorKind::NoAdapter => "the server has no GPU adapter".to_owned(),
        ErrorKind::OutOfMemory => "the server's GPU has too little memory".to_owned(),
        ErrorKind::DeviceLost => "the server's GPU went away".to_owned(),
        ErrorKind::TruncatedModel { file } | ErrorKind::HashMismatch { file } => {
            format!("the model's file {file} is damaged on the server")
        }
        ErrorKind::MissingFile { file } => {
            format!("the model's file {file} is missing on the server")
        }
        ErrorKind::InvalidModel { component } => {
            format!("the model's {component} cannot be run by the server")
        }
        _ => "the model failed while running".to_owned(),
    }
}

fn endpoint_problem(kind: &EndpointErrorKind) -> Problem {
    let unavailable = |detail: &str| {
        let mut problem = Problem::new(ProblemCode::EndpointUnavailable, detail)
            .with_hint("Try again in a moment, or choose another model.");
        problem.retry_after = kind
            .retry_after()
            .map(|wait| u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1));
        problem
    };
    match kind {
        EndpointErrorKind::Unreachable => unavailable("the endpoint of this model does not answer"),
        EndpointErrorKind::Busy { .. } => unavailable("the endpoint of this model is busy"),
        EndpointErrorKind::LeftAlone { .. } => {
            unavailable("the endpoint of this model failed several times in a row")
        }
        EndpointErrorKind::TimedOut => unavailable("the endpoint of this model took too long"),
        EndpointErrorKind::Refused { message, .. } => Problem::new(
            ProblemCode::RequestRefused,
            format!("the endpoint of this model refused the request: {message}"),
        )
        .with_hint("Change the prompt or the settings."),
        EndpointErrorKind::Credentials { .. } => {
            failed("the hub may not use this model's endpoint")
        }
        EndpointErrorKind::BadAnswer { .. } => {
            failed("the endpoint of this model sent something other than the picture")
        }
        EndpointErrorKind::BrokenOff | EndpointErrorKind::Failed { .. } => {
            failed("the endpoint of this model failed")
        }
        EndpointErrorKind::Cancelled => failed("the job was cancelled"),
    }
}
