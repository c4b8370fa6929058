//! The thread that makes the server's pictures.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use diffusion::ErrorKind;
use protocol::{ImageRef, Problem, ProblemCode};
use tokio::runtime::Handle;

use super::memory::{Claim, MemoryQueue, Outcome};
use crate::images::Images;
use crate::render::{RenderError, Renderer};

/// Makes the worker's renderer; called in the worker's thread, again after a panic.
pub type RendererFactory = Box<dyn Fn() -> Box<dyn Renderer> + Send>;

/// Starts the worker: it runs until the queue is closed.
///
/// # Errors
/// When the system gives no thread.
pub fn start(
    queue: MemoryQueue,
    images: Images,
    factory: RendererFactory,
    runtime: Handle,
) -> std::io::Result<JoinHandle<()>> {
    queue.set_worker(true);
    std::thread::Builder::new()
        .name("renderer".to_owned())
        .spawn(move || {
            let mut renderer = factory();
            while let Some(claim) = queue.claim() {
                let ran = catch_unwind(AssertUnwindSafe(|| {
                    run(&mut *renderer, &images, claim, &runtime);
                }));
                if ran.is_err() {
                    // The claim, dropped while unwinding, has failed its job.
                    tracing::error!("the renderer panicked; it starts afresh");
                    renderer = factory();
                }
            }
            queue.set_worker(false);
        })
}

fn run(renderer: &mut dyn Renderer, images: &Images, claim: Claim, runtime: &Handle) {
    let span = tracing::info_span!("job", id = claim.id());
    let _entered = span.enter();
    let outcome = match make(renderer, images, &claim, runtime) {
        Ok(outcome) => outcome,
        Err(problem) => {
            tracing::error!(%problem, "job failed");
            Outcome::Failed(problem)
        }
    };
    claim.finish(outcome);
}

fn make(
    renderer: &mut dyn Renderer,
    images: &Images,
    claim: &Claim,
    runtime: &Handle,
) -> Result<Outcome, Problem> {
    if claim.cancel.is_cancelled() {
        return Ok(Outcome::Cancelled);
    }
    let rendered = renderer.render(
        &claim.request,
        &mut |backend| claim.backend(backend),
        &mut |progress| claim.progress(progress),
        &claim.cancel,
    );
    let rendered = match rendered {
        Ok(rendered) => rendered,
        Err(error) if error.is_cancelled() => return Ok(Outcome::Cancelled),
        Err(error) => return Err(problem(&error)),
    };
    tracing::info!(
        backend = rendered.recipe.backend,
        milliseconds = rendered.recipe.duration_ms,
        "picture made"
    );
    if claim.cancel.is_cancelled() {
        return Ok(Outcome::Cancelled);
    }
    let record = runtime.block_on(images.save(rendered.png, rendered.recipe))?;
    Ok(Outcome::Completed(ImageRef {
        url: record.url,
        permalink: record.permalink,
    }))
}

fn problem(error: &RenderError) -> Problem {
    tracing::error!(%error, "renderer");
    // Package errors name files of this server; their text stays in the log.
    let detail = match error {
        RenderError::Diffusion(error) => match error.kind() {
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
        },
        RenderError::UnknownModel(_) => "the model is no longer offered".to_owned(),
    };
    Problem::new(ProblemCode::GenerationFailed, detail)
        .with_hint("Try again; if it fails once more, make the picture in your browser.")
}
