//! The pipeline on this machine's GPU or CPU.

use std::time::Instant;

use diffusion::{
    Begun, Cancel, Checkpoint, CpuEngine, Engine, GpuEngine, Package, Pipeline, Recipe, RunOptions,
    png,
};
use futures::executor::block_on;
use onnx_gpu::{AdapterChoice, Gpu};
use protocol::{GenerationRequest, Progress, ResolvedRequest, Resume, RunsOn};

use super::larger::{self, Larger};
use super::warm::Warm;
use super::{RenderError, Rendered, Renderer, Report};
use crate::catalog::Live;
use crate::config::RendererChoice;

/// Previews per picture.
const PREVIEWS: u32 = 3;

/// What the pipeline runs on.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Engine.
    pub renderer: RendererChoice,
    /// GPU, where the engine runs on one.
    pub adapter: AdapterChoice,
    /// Bytes of memory for packages that stay loaded; without it the last one alone does.
    pub budget: Option<u64>,
}

impl From<RendererChoice> for LocalOptions {
    /// On the fastest GPU where it is a GPU, without a budget.
    fn from(renderer: RendererChoice) -> Self {
        Self {
            renderer,
            adapter: AdapterChoice::HighPerformance,
            budget: None,
        }
    }
}

/// Runs `diffusion` in the calling thread and keeps packages loaded.
pub struct LocalRenderer {
    catalog: Live,
    options: LocalOptions,
    engine: Option<Box<dyn Engine>>,
    warm: Warm<Pipeline>,
    larger: Larger,
}

impl LocalRenderer {
    /// A renderer for the packages of `catalog`; the engine is set up with the first picture.
    pub fn new(catalog: Live, options: LocalOptions) -> Self {
        Self {
            catalog,
            engine: None,
            warm: Warm::new(options.budget),
            larger: Larger::default(),
            options,
        }
    }

    /// Has the package loaded.
    fn load(&mut self, model: &str) -> Result<(), RenderError> {
        let catalog = self.catalog.now();
        self.warm.retain(|id, pipeline: &Pipeline| {
            let entry = catalog.get(id);
            entry.is_some_and(|entry| entry.summary.weights_digest == pipeline.manifest().digest())
        });
        if self.warm.get(model).is_none() {
            let entry = catalog
                .get(model)
                .ok_or_else(|| RenderError::UnknownModel(model.to_owned()))?;
            let bytes = entry.summary.needs.memory_bytes;
            self.warm.make_room(bytes);
            let package = Package::from_dir(&entry.dir)?;
            let engine = match self.engine.take() {
                Some(engine) => engine,
                None => engine(&self.options)?,
            };
            let engine = self.engine.insert(engine);
            let pipeline = block_on(Pipeline::load(package, &**engine))?;
            tracing::info!(
                model,
                backend = pipeline.backend(),
                adapter = pipeline.adapter(),
                "package loaded"
            );
            self.warm.insert(model.to_owned(), bytes, pipeline);
        }
        Ok(())
    }

    fn run(
        &mut self,
        request: &GenerationRequest,
        begun: Option<&Begun>,
        resume: Option<&Resume>,
        report: &mut dyn FnMut(Report<'_>),
        cancel: &Cancel,
    ) -> Result<Rendered, RenderError> {
        let catalog = self.catalog.now();
        // What cannot be made larger is not made at all.
        let entry = request
            .upscale
            .map(|factor| larger::entry(&catalog, factor));
        let entry = entry.transpose()?;
        self.load(&request.model)?;
        let unknown = || RenderError::UnknownModel(request.model.clone());
        let pipeline = self.warm.get(&request.model).ok_or_else(unknown)?;
        let request = &pipeline.resolve(request)?;
        let options = RunOptions {
            start: begun.map(|begun| begun.start.clone()),
            decoded_previews: PREVIEWS,
            resume: resume
                .map(|resume| checkpoint(pipeline, request, resume))
                .transpose()?,
            ..RunOptions::default()
        };
        report(Report::Backend(pipeline.backend()));
        let started = Instant::now();
        let picture = block_on(pipeline.run(
            request,
            options,
            &mut |step| {
                report(Report::Step(step.progress));
                let preview = step.preview.as_ref().map(png::encode_plain);
                match preview {
                    Some(Ok(png)) => report(Report::Preview(step.progress, png)),
                    Some(Err(error)) => tracing::warn!(%error, "no preview"),
                    None => {}
                }
            },
            cancel,
        ))?;
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut recipe = Recipe {
            start: begun.map(|begun| begun.of.clone()),
            ..pipeline.recipe(request, RunsOn::Server, milliseconds)
        };
        let steps = request.num_inference_steps;
        let picture = match (request.upscale, entry, &self.engine) {
            (Some(factor), Some(entry), Some(engine)) => {
                // Every part shows that the work goes on; all steps are done.
                let progress = Progress {
                    step: steps,
                    total_steps: steps,
                };
                let mut on_part = |_| report(Report::Step(progress));
                let upscaler = self.larger.loaded(entry, factor, &**engine)?;
                recipe.request.upscale = Some(factor);
                recipe.upscaler = Some(entry.manifest.used());
                block_on(upscaler.run(&picture, None, &mut on_part, cancel))?
            }
            _ => picture,
        };
        let png = png::encode(&picture, &recipe)?;
        Ok(Rendered { png, recipe })
    }
}

/// The latents of a hand-over, which must have the shape of the package's.
fn checkpoint(
    pipeline: &Pipeline,
    request: &ResolvedRequest,
    resume: &Resume,
) -> diffusion::Result<Checkpoint> {
    let invalid =
        |message: String| diffusion::Error::new(diffusion::ErrorKind::InvalidRequest, message);
    let wanted = pipeline.latents_of(request);
    if resume.shape.map(|n| n as usize) != wanted {
        return Err(invalid(format!(
            "resume.shape is {:?}; this model's latents are {wanted:?}",
            resume.shape
        )));
    }
    let state = resume
        .read(request.num_inference_steps)
        .map_err(|e| invalid(e.to_string()))?;
    Ok(Checkpoint {
        step: resume.step,
        latents: state.latents,
        registers: state.registers,
    })
}

impl LocalRenderer {
    fn settled(
        &mut self,
        request: &GenerationRequest,
        begun: Option<&Begun>,
        resume: Option<&Resume>,
        report: &mut dyn FnMut(Report<'_>),
        cancel: &Cancel,
    ) -> Result<Rendered, RenderError> {
        let result = self.run(request, begun, resume, report, cancel);
        if let Err(error) = &result
            && !error.is_cancelled()
        {
            // A lost device or a graph in an unknown state must not serve the next job.
            self.warm.clear();
            self.larger = Larger::default();
            self.engine = None;
        }
        result
    }
}

impl Renderer for LocalRenderer {
    fn render(
        &mut self,
        request: &GenerationRequest,
        report: &mut dyn FnMut(Report<'_>),
        cancel: &Cancel,
    ) -> Result<Rendered, RenderError> {
        self.settled(request, None, None, report, cancel)
    }

    fn resume(
        &mut self,
        request: &GenerationRequest,
        resume: &Resume,
        report: &mut dyn FnMut(Report<'_>),
        cancel: &Cancel,
    ) -> Result<Rendered, RenderError> {
        self.settled(request, None, Some(resume), report, cancel)
    }

    fn begin(
        &mut self,
        request: &GenerationRequest,
        begun: &Begun,
        resume: Option<&Resume>,
        report: &mut dyn FnMut(Report<'_>),
        cancel: &Cancel,
    ) -> Result<Rendered, RenderError> {
        self.settled(request, Some(begun), resume, report, cancel)
    }
}

/// Sets an engine up. `auto` takes a hardware GPU: a software adapter is far slower than `rten`.
pub(crate) fn engine(options: &LocalOptions) -> diffusion::Result<Box<dyn Engine>> {
    let gpu = || block_on(GpuEngine::request(options.adapter.clone()));
    match options.renderer {
        RendererChoice::Cpu => Ok(Box::new(CpuEngine::new())),
        RendererChoice::Gpu => Ok(Box::new(gpu()?)),
        RendererChoice::Auto if Gpu::adapters().iter().any(|adapter| !adapter.software) => {
            match gpu() {
                Ok(engine) => Ok(Box::new(engine)),
                Err(error) => {
                    tracing::warn!(%error, "the GPU cannot be used; pictures are made on the CPU");
                    Ok(Box::new(CpuEngine::new()))
                }
            }
        }
        RendererChoice::Auto => Ok(Box::new(CpuEngine::new())),
    }
}
