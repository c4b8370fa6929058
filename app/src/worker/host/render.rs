//! From a request to a PNG.

use diffusion::{Cancel, CpuEngine, Engine, GpuEngine, Package, Pipeline, png};
use js_sys::{ArrayBuffer, Uint8Array};
use onnx_gpu::AdapterChoice;
use protocol::{GenerationRequest, ModelSummary, Place};
use sha2::{Digest, Sha256};

use super::{End, download};
use crate::worker::message::RunEvent;

/// A package on an engine, kept for the next picture.
pub(super) struct Loaded {
    url: String,
    place: Place,
    pipeline: Pipeline,
}

/// Makes the picture. Gives back what is loaded, unless the run failed: then nothing of it is trusted again.
pub(super) async fn render(
    kept: Option<Loaded>,
    model: &ModelSummary,
    request: &GenerationRequest,
    place: Place,
    cancel: &Cancel,
    report: &impl Fn(RunEvent),
) -> (Option<Loaded>, Result<(RunEvent, ArrayBuffer), End>) {
    let loaded =
        match kept.filter(|l| model.package_url.as_ref() == Some(&l.url) && l.place == place) {
            Some(loaded) => loaded,
            None => match load(model, place, cancel, report).await {
                Ok(loaded) => loaded,
                Err(end) => return (None, Err(end)),
            },
        };
    match generate(&loaded.pipeline, request, cancel, report).await {
        Ok(done) => (Some(loaded), Ok(done)),
        Err(End::Cancelled) => (Some(loaded), Err(End::Cancelled)),
        Err(failed) => (None, Err(failed)),
    }
}

async fn load(
    model: &ModelSummary,
    place: Place,
    cancel: &Cancel,
    report: &impl Fn(RunEvent),
) -> Result<Loaded, End> {
    let url = model
        .package_url
        .clone()
        .ok_or_else(|| End::Failed("this model has no package for browsers".into()))?;
    let (manifest, files) = download::package(&url, cancel, report).await?;
    report(RunEvent::Preparing);
    let package = Package::from_files(&manifest, files)?;
    let engine: Box<dyn Engine> = match place {
        Place::BrowserGpu => Box::new(GpuEngine::request(AdapterChoice::Default).await?),
        Place::BrowserCpu => Box::new(CpuEngine::new()),
        Place::Server => {
            return Err(End::Failed(
                "the server's work was sent to the browser".into(),
            ));
        }
    };
    let pipeline = Pipeline::load(package, &*engine).await?;
    if cancel.is_cancelled() {
        return Err(End::Cancelled);
    }
    Ok(Loaded {
        url,
        place,
        pipeline,
    })
}

async fn generate(
    pipeline: &Pipeline,
    request: &GenerationRequest,
    cancel: &Cancel,
    report: &impl Fn(RunEvent),
) -> Result<(RunEvent, ArrayBuffer), End> {
    report(RunEvent::Step {
        step: 0,
        total_steps: request.num_inference_steps.unwrap_or_default(),
    });
    let began = js_sys::Date::now();
    let picture = pipeline
        .generate(
            request,
            &mut |progress| {
                report(RunEvent::Step {
                    step: progress.step,
                    total_steps: progress.total_steps,
                });
            },
            cancel,
        )
        .await?;
    let duration_ms = (js_sys::Date::now() - began).max(0.0) as u64;
    let recipe = pipeline.recipe(request, "browser", duration_ms);
    let bytes = png::encode(&picture, &recipe)?;
    let event = RunEvent::Done {
        recipe: Box::new(recipe),
        sha256: hex::encode(Sha256::digest(&bytes)),
        width: picture.width,
        height: picture.height,
    };
    Ok((event, Uint8Array::from(bytes.as_slice()).buffer()))
}
