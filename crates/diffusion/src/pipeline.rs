//! From a request to a picture.

mod decode;
mod denoise;
mod parts;
mod run;
mod start;
mod steps;
mod text;
mod tiles;

use std::cell::RefCell;
use std::collections::BTreeMap;

use protocol::{
    GenerationRequest, ModelSummary, Progress, Recipe, Residency, ResolvedRequest, RunsOn,
};

use self::parts::Parts;
pub use self::parts::STREAMED_WEIGHTS;
pub use self::start::{MADE_ANEW, Start};
pub use self::steps::Checkpoint;
pub use self::tiles::tile_sides;
use crate::cancel::Cancel;
use crate::engine::{Engine, Model, Stepper, Value};
use crate::error::{Error, Result};
use crate::files::whole;
use crate::lora::Loras;
use crate::manifest::{Bindings, ImageSize, Manifest, Port};
use crate::package::Package;
use crate::picture::Picture;
use crate::tokenizer::Tokenizer;
use crate::yielding::yield_now;

/// A package loaded onto an engine, ready to make pictures one at a time.
pub struct Pipeline {
    manifest: Manifest,
    summary: ModelSummary,
    tokenizers: BTreeMap<String, Tokenizer>,
    memory: RefCell<text::Memory>,
    parts: Parts,
    loras: Loras,
    stepper: Box<dyn Stepper>,
    backend: String,
    adapter: String,
}

/// A step that is done.
#[derive(Clone, Debug)]
pub struct Step {
    /// Steps done.
    pub progress: Progress,
    /// What the picture would be if the rest went straight on, where a preview was due.
    pub preview: Option<Picture>,
    /// The state after the step, where [`RunOptions::checkpoints`] asks for it.
    pub checkpoint: Option<Checkpoint>,
}

/// What a run does besides the picture.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Pictures on the way, evenly spread over the steps. Each costs one run of the decoder; none is made of the last
    /// step, which the picture itself follows, and none where graphs are brought one at a time: it would take two.
    pub decoded_previews: u32,
    /// A picture of the latents' size after every step but the last, where the manifest maps latents to colours.
    pub latent_previews: bool,
    /// Read the latents back after every step.
    pub checkpoints: bool,
    /// Go on from here instead of from noise.
    pub resume: Option<Checkpoint>,
    /// A picture to begin with.
    pub start: Option<Start>,
    /// Decode in tiles of this side in latents, a multiple of 4, as `AutoencoderKL.enable_tiling` of diffusers does.
    ///
    /// Left open, the decoder is run whole where that is possible. Tiles of [`tile_sides`] take its place if it takes any
    /// height and width and the engine's device does not offer a buffer that it needs, or, unless the graphs are [`Residency::Kept`], if
    /// they take less memory. The picture differs a little then: a decoder that sees a part normalises by that part.
    pub decode_tile: Option<usize>,
}

impl Pipeline {
    /// Loads the package's graphs; each file's bytes are freed once its graph is on the engine.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`], [`ErrorKind::InvalidModel`] or a device kind.
    pub async fn load(mut package: Package, engine: &dyn Engine) -> Result<Self> {
        let tokenizers = tokenizers(&mut package).await?;
        let loras = Loras::read(&package.manifest, &*package.files).await?;
        let parts = Parts::kept(&mut package, engine, &loras).await?;
        Ok(Self::new(
            package.manifest,
            tokenizers,
            (parts, loras),
            engine,
        ))
    }

    /// A pipeline that brings each graph to the engine when it is needed and drops it after use: the device holds one
    /// graph at a time, and every picture loads all of them again.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`]; the graphs are looked at by the first run.
    pub async fn on_demand(package: Package, engine: Box<dyn Engine>) -> Result<Self> {
        Self::passing(package, engine, None).await
    }

    /// [`Self::on_demand`] with at most `weights_budget` bytes of each graph's weights on the device: an engine that can brings the
    /// rest there in every run.
    ///
    /// # Errors
    /// As [`Self::on_demand`].
    pub async fn streamed(
        package: Package,
        engine: Box<dyn Engine>,
        weights_budget: u64,
    ) -> Result<Self> {
        Self::passing(package, engine, Some(weights_budget)).await
    }

    async fn passing(
        mut package: Package,
        engine: Box<dyn Engine>,
        weights_budget: Option<u64>,
    ) -> Result<Self> {
        let tokenizers = tokenizers(&mut package).await?;
        let manifest = package.manifest.clone();
        let loras = Loras::read(&manifest, &*package.files).await?;
        let mut this = Self::new(manifest, tokenizers, (Parts::Unset, loras), &*engine);
        this.parts = Parts::Passing {
            engine,
            files: package.files,
            weights_budget,
        };
        Ok(this)
    }

    fn new(
        manifest: Manifest,
        tokenizers: BTreeMap<String, Tokenizer>,
        (parts, loras): (Parts, Loras),
        engine: &dyn Engine,
    ) -> Self {
        Self {
            summary: manifest.summary(""),
            manifest,
            tokenizers,
            memory: RefCell::default(),
            parts,
            loras,
            stepper: engine.stepper(),
            backend: engine.backend(),
            adapter: engine.adapter(),
        }
    }

    /// How long the graphs stay on the engine.
    pub fn residency(&self) -> Residency {
        self.parts.residency()
    }

    /// The package's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Channels, height and width of the latents of a request's picture.
    pub fn latents_of(&self, request: &ResolvedRequest) -> [usize; 3] {
        self.manifest.latents.shape(ImageSize {
            width: request.width,
            height: request.height,
        })
    }

    /// [`Engine::backend`] of the engine that it was loaded onto.
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// [`Engine::adapter`] of the engine that it was loaded onto.
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// The recipe of a picture that this pipeline made.
    ///
    /// It says that the picture is as this pipeline makes it; who makes it larger says so.
    pub fn recipe(&self, request: &ResolvedRequest, place: RunsOn, duration_ms: u64) -> Recipe {
        let sampled = self.manifest.scheduler.chosen(request.sampler.as_deref());
        let scheduler = sampled.map_or_else(|_| self.manifest.scheduler.name(), |kind| kind.name());
        Recipe {
            request: GenerationRequest {
                upscale: None,
                ..request.clone().into()
            },
            weights_digest: self.manifest.digest().to_owned(),
            scheduler,
            backend: self.backend.clone(),
            adapter: self.adapter.clone(),
            place,
            start: None,
            upscaler: None,
            loras: request
                .loras
                .iter()
                .filter(|lora| lora.acts())
                .cloned()
                .collect(),
            duration_ms,
        }
    }

    /// Makes the picture of a request whose seed is set; steps and guidance left open take the package's
    /// defaults. `on_step` is called after every denoiser step. Between steps the event loop or executor runs
    /// once, and `cancel` is looked at before and after.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`], [`ErrorKind::Cancelled`], [`ErrorKind::Tokenizer`],
    /// [`ErrorKind::Engine`] or a device kind.
    pub async fn generate(
        &self,
        request: &GenerationRequest,
        on_step: &mut dyn FnMut(Progress),
        cancel: &Cancel,
    ) -> Result<Picture> {
        let request = self.resolve(request)?;
        let on_step = &mut |step: Step| on_step(step.progress);
        self.run(&request, RunOptions::default(), on_step, cancel)
            .await
    }

    /// [`Self::generate`] with `previews` decoded pictures on the way, see [`RunOptions::decoded_previews`].
    ///
    /// # Errors
    /// As [`Self::generate`].
    pub async fn generate_with_previews(
        &self,
        request: &GenerationRequest,
        previews: u32,
        on_step: &mut dyn FnMut(Step),
        cancel: &Cancel,
    ) -> Result<Picture> {
        let options = RunOptions {
            decoded_previews: previews,
            ..RunOptions::default()
        };
        let request = self.resolve(request)?;
        self.run(&request, options, on_step, cancel).await
    }
}

async fn tokenizers(package: &mut Package) -> Result<BTreeMap<String, Tokenizer>> {
    let texts = package.manifest.texts.clone();
    let mut tokenizers = BTreeMap::new();
    for (name, settings) in &texts {
        let json = whole(&*package.files, &settings.file).await?;
        tokenizers.insert(name.clone(), Tokenizer::from_bytes(&json, settings)?);
    }
    for settings in texts.values() {
        package.forget(&settings.file);
    }
    Ok(tokenizers)
}

async fn pause(cancel: &Cancel) -> Result<()> {
    cancel.check()?;
    yield_now().await;
    cancel.check()
}

/// Runs a model and takes the outputs that `ports` declare, of the declared shapes.
async fn run(
    model: &dyn Model,
    inputs: Vec<(&str, Value)>,
    ports: &[&Port],
    bindings: &Bindings,
) -> Result<Vec<Value>> {
    let mut outputs = model.run_values(inputs).await?;
    let mut wanted = Vec::with_capacity(ports.len());
    for port in ports {
        let place = outputs.iter().position(|(name, _)| *name == port.name);
        let place = place
            .ok_or_else(|| Error::engine(format!("the model gave no output {}", port.name)))?;
        let (_, value) = outputs.swap_remove(place);
        let shape = bindings.shape(port);
        if value.shape() != shape {
            return Err(Error::engine(format!(
                "output {} has shape {:?}, the manifest says {shape:?}",
                port.name,
                value.shape(),
            )));
        }
        wanted.push(value);
    }
    Ok(wanted)
}
