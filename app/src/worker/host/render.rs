//! From an order to a PNG.

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use diffusion::{
    Begun, Checkpoint, Engine, Package, Picture, Pipeline, Residency, RunOptions, STREAMED_WEIGHTS,
    StartFiles, Step, png,
};
use js_sys::{ArrayBuffer, Uint8Array};
use protocol::{MaskBy, PNG_MIME, Place, Recipe, ResolvedRequest, RunsOn, steps_taken};
use sha2::{Digest, Sha256};

use super::control::Control;
use super::download::Download;
use super::js::now_ms;
use super::store::Store;
use super::{End, device, get};
use crate::worker::fault::Stage;
use crate::worker::message::{Order, RunEvent, StartFile, StateAfter, Timings};

/// A package on an engine, kept for the next picture.
pub(super) struct Loaded {
    url: String,
    digest: String,
    place: Place,
    pipeline: Pipeline,
    device: device::Device,
}

impl Loaded {
    fn suits(&self, order: &Order) -> bool {
        order.model.package_url.as_ref() == Some(&self.url)
            && self.digest == order.model.weights_digest
            && self.place == order.place
            && self.pipeline.residency() >= order.residency
            && self.device.is_alive()
    }
}

/// Where a run is and how long it took, for errors and the report.
#[derive(Default)]
pub(super) struct Track {
    stage: Cell<Option<Stage>>,
    timings: Cell<Timings>,
    mark: Cell<f64>,
}

impl Track {
    fn begin() -> Self {
        let track = Self::default();
        track.mark.set(now_ms());
        track
    }

    /// What was being done when an error came.
    pub(super) fn stage(&self) -> Stage {
        self.stage.get().unwrap_or(Stage::Load)
    }

    /// Time since the last call.
    fn lap(&self) -> f64 {
        let now = now_ms();
        let lap = now - self.mark.replace(now);
        lap.max(0.0)
    }

    fn note(&self, change: impl FnOnce(&mut Timings)) {
        let mut timings = self.timings.get();
        change(&mut timings);
        self.timings.set(timings);
    }
}

/// Makes the picture. Gives back what is loaded, unless the run failed: then nothing of it is trusted again.
pub(super) async fn render(
    kept: Option<Loaded>,
    store: Store,
    order: &Order,
    control: &Control,
    report: &dyn Fn(RunEvent),
) -> (Option<Loaded>, Result<(RunEvent, ArrayBuffer), End>) {
    let track = Track::begin();
    let loaded = match kept.filter(|loaded| loaded.suits(order)) {
        Some(loaded) => loaded,
        None => match load(store, order, control, report, &track).await {
            Ok(loaded) => loaded,
            Err(end) => return (None, Err(end.at(&track))),
        },
    };
    match generate(&loaded, order, control, report, &track).await {
        Ok(done) => (Some(loaded), Ok(done)),
        Err(End::Cancelled) => (Some(loaded), Err(End::Cancelled)),
        Err(failed) => (None, Err(failed.at(&track))),
    }
}

async fn load(
    store: Store,
    order: &Order,
    control: &Control,
    report: &dyn Fn(RunEvent),
    track: &Track,
) -> Result<Loaded, End> {
    let url = order
        .model
        .package_url
        .clone()
        .ok_or_else(|| End::Package("this model has no package for browsers".into()))?;
    let download = Download {
        store,
        control,
        report,
    };
    let digest = order.model.weights_digest.clone();
    let (manifest, files) = download.package(&url, &digest).await?;
    track.note(|t| t.download_ms = track.lap());
    report(RunEvent::Preparing);
    control.check()?;
    let package = Package::from_source(manifest, Box::new(files));
    let (engine, device): (Box<dyn Engine>, _) = device::open(order.place).await?;
    let pipeline = match order.residency {
        Residency::Kept => Pipeline::load(package, &*engine).await?,
        Residency::OnDemand => Pipeline::on_demand(package, engine).await?,
        Residency::Streamed => Pipeline::streamed(package, engine, STREAMED_WEIGHTS).await?,
    };
    track.note(|t| t.load_ms = track.lap());
    control.check()?;
    Ok(Loaded {
        url,
        digest,
        place: order.place,
        pipeline,
        device,
    })
}

async fn generate(
    loaded: &Loaded,
    order: &Order,
    control: &Control,
    report: &dyn Fn(RunEvent),
    track: &Track,
) -> Result<(RunEvent, ArrayBuffer), End> {
    let Order {
        request,
        resume,
        start,
        ..
    } = order;
    let pipeline = &loaded.pipeline;
    let resume = resume.as_ref().map(checkpoint).transpose()?;
    let begun = start.as_ref().map(|file| begun(request, file));
    let (start, of) = begun
        .transpose()?
        .map(|begun| (begun.start, begun.of))
        .unzip();
    let steps = request.num_inference_steps;
    let steps = of
        .as_ref()
        .map_or(steps, |of| steps_taken(steps, of.strength));
    let before = resume.as_ref().map_or(0, |from| from.step);
    report(RunEvent::Step {
        step: before,
        total_steps: steps,
        preview: None,
        state: None,
    });
    let stage = |done: u32| {
        if done < steps {
            Stage::Step
        } else {
            Stage::Decode
        }
    };
    track.stage.set(Some(stage(before)));
    track.lap();
    let began = now_ms();
    let shape = pipeline.latents_of(request).map(|n| n as u32);
    let mut on_step = |step: Step| {
        let done = step.progress.step;
        track.stage.set(Some(stage(done)));
        let lap = track.lap();
        track.note(|t| {
            if done == before + 1 {
                t.first_step_ms = lap;
            } else {
                t.other_steps_ms += lap;
            }
        });
        report(RunEvent::Step {
            step: done,
            total_steps: step.progress.total_steps,
            preview: step.preview.as_ref().and_then(data_url),
            state: step
                .checkpoint
                .map(|state| StateAfter::new(state.step, shape, &state.latents, &state.registers)),
        });
    };
    let options = RunOptions {
        latent_previews: true,
        checkpoints: true,
        resume,
        start,
        ..RunOptions::default()
    };
    let picture = pipeline
        .run(request, options, &mut on_step, control.flag())
        .await?;
    let duration_ms = (now_ms() - began).max(0.0) as u64;
    let recipe = Recipe {
        start: of,
        ..pipeline.recipe(request, RunsOn::Browser, duration_ms)
    };
    let bytes = png::encode(&picture, &recipe)?;
    track.note(|t| {
        t.decode_ms = track.lap();
        t.wasm_heap_bytes = heap_bytes();
        loaded.device.note(t);
    });
    let event = RunEvent::Done {
        recipe: Box::new(recipe),
        sha256: hex::encode(Sha256::digest(&bytes)),
        width: picture.width,
        height: picture.height,
        timings: track.timings.get(),
    };
    Ok((event, Uint8Array::from(bytes.as_slice()).buffer()))
}

/// The picture to begin with, at the size of the one that is made.
fn begun(request: &ResolvedRequest, file: &StartFile) -> Result<Begun, End> {
    let unreadable = |why| End::Engine(format!("the picture to begin with: {why}"));
    let bytes = file.bytes();
    let image = bytes.ok_or_else(|| unreadable("it did not arrive whole".to_owned()))?;
    let files = StartFiles {
        image,
        mask: None,
        mask_by: MaskBy::Light,
        strength: file.strength,
    };
    files
        .read(request.width, request.height)
        .map_err(unreadable)
}

/// Size of the WebAssembly memory, which never shrinks.
fn heap_bytes() -> u64 {
    get(&wasm_bindgen::memory(), "buffer")
        .and_then(|buffer| get(&buffer, "byteLength"))
        .and_then(|length| length.as_f64())
        .unwrap_or_default() as u64
}

fn checkpoint(state: &StateAfter) -> Result<Checkpoint, End> {
    let damaged = || End::Engine("the state to go on from is damaged".to_owned());
    Ok(Checkpoint {
        step: state.step,
        latents: state.latents().ok_or_else(damaged)?,
        registers: state.registers().ok_or_else(damaged)?,
    })
}

/// A preview that cannot be written is left out: the picture does not depend on it.
fn data_url(picture: &Picture) -> Option<String> {
    let png = png::encode_plain(picture).ok()?;
    Some(format!("data:{PNG_MIME};base64,{}", STANDARD.encode(png)))
}
