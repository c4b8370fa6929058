//! From a request to a picture.

mod decode;
mod parts;
mod steps;
mod tiles;
mod wired;

use protocol::{GenerationRequest, ModelSummary, Progress, Recipe};

use self::decode::Tiling;
use self::parts::Parts;
pub use self::parts::Residency;
pub use self::steps::Checkpoint;
use self::steps::{Course, Steps};
pub use self::tiles::tile_sides;
use crate::cancel::Cancel;
use crate::engine::{Engine, Model, Stepper, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::files::whole;
use crate::manifest::{Manifest, Port};
use crate::package::Package;
use crate::picture::Picture;
use crate::scheduler::{Evaluation, Wanted};
use crate::tokenizer::{TextSettings, Tokenizer};
use crate::yielding::yield_now;

/// Latents that a token of a transformer stands for.
const LATENTS_PER_TOKEN: usize = 4;

/// A package loaded onto an engine, ready to make pictures one at a time.
pub struct Pipeline {
    manifest: Manifest,
    summary: ModelSummary,
    tokenizer: Tokenizer,
    parts: Parts,
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
    /// step, which the picture itself follows.
    pub decoded_previews: u32,
    /// A picture of the latents' size after every step but the last, where the manifest maps latents to colours.
    pub latent_previews: bool,
    /// Read the latents back after every step.
    pub checkpoints: bool,
    /// Go on from here instead of from noise.
    pub resume: Option<Checkpoint>,
    /// Decode in tiles of this side in latents, a multiple of 4, as `AutoencoderKL.enable_tiling` of diffusers does.
    ///
    /// Left open, the decoder is run whole where that is possible. Tiles of [`tile_sides`] take its place if it takes any
    /// height and width and the engine's device does not offer a buffer that it needs, or, with [`Residency::OnDemand`], if
    /// they take less memory. The picture differs a little then: a decoder that sees a part normalises by that part.
    pub decode_tile: Option<usize>,
}

impl Pipeline {
    /// Loads the package's graphs; each file's bytes are freed once its graph is on the engine.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`], [`ErrorKind::InvalidModel`] or a device kind.
    pub async fn load(mut package: Package, engine: &dyn Engine) -> Result<Self> {
        let tokenizer = tokenizer(&mut package).await?;
        let parts = Parts::kept(&mut package, engine).await?;
        Ok(Self::new(package.manifest, tokenizer, parts, engine))
    }

    /// A pipeline that brings each graph to the engine when it is needed and drops it after use: the device holds one
    /// graph at a time, and every picture loads all of them again.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`]; the graphs are looked at by the first run.
    pub async fn on_demand(mut package: Package, engine: Box<dyn Engine>) -> Result<Self> {
        let tokenizer = tokenizer(&mut package).await?;
        let manifest = package.manifest.clone();
        let mut this = Self::new(manifest, tokenizer, Parts::Unset, &*engine);
        this.parts = Parts::OnDemand {
            engine,
            files: package.files,
        };
        Ok(this)
    }

    fn new(manifest: Manifest, tokenizer: Tokenizer, parts: Parts, engine: &dyn Engine) -> Self {
        Self {
            summary: manifest.summary(""),
            manifest,
            tokenizer,
            parts,
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

    /// [`Engine::backend`] of the engine that it was loaded onto.
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// [`Engine::adapter`] of the engine that it was loaded onto.
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// The recipe of a picture that this pipeline made, defaults filled in; `place` is `browser` or `server`.
    pub fn recipe(&self, request: &GenerationRequest, place: &str, duration_ms: u64) -> Recipe {
        let defaults = &self.manifest.defaults;
        let mut request = request.clone();
        request
            .num_inference_steps
            .get_or_insert(defaults.num_inference_steps);
        request
            .guidance_scale
            .get_or_insert(defaults.guidance_scale);
        Recipe {
            request,
            weights_digest: self.manifest.digest().to_owned(),
            scheduler: self.manifest.scheduler.name().to_owned(),
            backend: self.backend.clone(),
            adapter: self.adapter.clone(),
            place: place.to_owned(),
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
        let on_step = &mut |step: Step| on_step(step.progress);
        self.generate_with_previews(request, 0, on_step, cancel)
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
        self.run(request, options, on_step, cancel).await
    }

    /// [`Self::generate`] with `options`. Going on from a checkpoint does no step again, and ends in the picture of
    /// the undisturbed run; a checkpoint whose latents were rounded to 16 bits ends within [`crate::TOLERANCE`] of it.
    ///
    /// # Errors
    /// As [`Self::generate`]; [`ErrorKind::InvalidRequest`] for a checkpoint that does not fit request and package, and for
    /// tiles that the decoder cannot be run on.
    pub async fn run(
        &self,
        request: &GenerationRequest,
        options: RunOptions,
        on_step: &mut dyn FnMut(Step),
        cancel: &Cancel,
    ) -> Result<Picture> {
        let (seed, steps, guidance_scale) = self.settings(request)?;
        let [_, h, w] = self.manifest.latents;
        let wanted = Wanted {
            steps,
            image_tokens: (h * w / LATENTS_PER_TOKEN) as u32,
        };
        let program = self
            .manifest
            .scheduler
            .program(wanted)
            .map_err(|e| Error::new(ErrorKind::InvalidRequest, e.to_string()))?;
        let course = Course {
            program: &program,
            stepper: &*self.stepper,
            seed,
            guidance_scale,
            shape: self.manifest.latents,
        };
        let first = match &options.resume {
            Some(checkpoint) => {
                course.check(checkpoint)?;
                checkpoint.step
            }
            None => 0,
        };
        cancel.check()?;
        let conditioning = if first < steps {
            let conditioning = self.encode(request, guidance_scale).await?;
            pause(cancel).await?;
            Some(conditioning)
        } else {
            None
        };
        let mut run = Steps::begin(course, options.resume).await?;
        if let Some(conditioning) = conditioning {
            let component = &self.manifest.components.denoiser;
            let denoiser = self.parts.denoiser(component).await?;
            pause(cancel).await?;
            let denoise = async |latents: &Value, evaluation: &Evaluation| {
                wired::denoise(
                    &self.manifest,
                    &*denoiser,
                    &*self.stepper,
                    latents,
                    evaluation,
                    &conditioning,
                )
                .await
            };
            while run.done() < steps {
                let done = run.done() + 1;
                let decoded = preview_due(done, steps, options.decoded_previews);
                let mapped = options.latent_previews && done < steps;
                let denoised = run.step(&denoise, decoded || mapped, cancel).await?;
                let preview = match denoised.filter(|_| !cancel.is_cancelled()) {
                    Some(latents) if decoded => {
                        Some(self.decode(&latents, options.decode_tile, cancel).await?)
                    }
                    Some(latents) => self.map_to_rgb(latents).await?,
                    None => None,
                };
                let checkpoint = if options.checkpoints {
                    Some(run.checkpoint().await?)
                } else {
                    None
                };
                on_step(Step {
                    progress: Progress {
                        step: done,
                        total_steps: steps,
                    },
                    preview,
                    checkpoint,
                });
                pause(cancel).await?;
            }
        }
        self.decode(run.latents(), options.decode_tile, cancel)
            .await
    }

    async fn map_to_rgb(&self, latents: Value) -> Result<Option<Picture>> {
        let Some(map) = &self.manifest.latent_rgb else {
            return Ok(None);
        };
        let latents = latents.into_tensor().await?.into_f32()?;
        let [_, h, w] = self.manifest.latents;
        map.picture(&latents, w, h).map(Some)
    }

    fn settings(&self, request: &GenerationRequest) -> Result<(u64, u32, f32)> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidRequest, message);
        let resolved = request
            .clone()
            .resolve(&self.summary)
            .map_err(|e| invalid(e.to_string()))?;
        let seed = resolved
            .seed
            .ok_or_else(|| invalid("the request has no seed".to_owned()))?;
        let defaults = &self.manifest.defaults;
        Ok((
            seed,
            resolved
                .num_inference_steps
                .unwrap_or(defaults.num_inference_steps),
            resolved.guidance_scale.unwrap_or(defaults.guidance_scale),
        ))
    }

    async fn encode(
        &self,
        request: &GenerationRequest,
        guidance_scale: f32,
    ) -> Result<wired::Conditioning> {
        let prompts = [
            self.tokenizer.encode(&request.prompt)?,
            self.tokenizer.encode(&request.negative_prompt)?,
        ];
        let component = &self.manifest.components.text_encoder;
        let text_encoder = self.parts.text_encoder(component).await?;
        wired::encode(
            &self.manifest,
            &*text_encoder,
            &*self.stepper,
            prompts,
            guidance_scale,
        )
        .await
    }

    async fn decode(
        &self,
        latents: &Value,
        tile: Option<usize>,
        cancel: &Cancel,
    ) -> Result<Picture> {
        let component = &self.manifest.components.decoder;
        let decoder = self.parts.decoder(component).await?;
        let tiling = Tiling {
            side: tile,
            sparing: self.residency() == Residency::OnDemand,
        };
        decode::decode(
            &self.manifest,
            &*decoder,
            &*self.stepper,
            latents,
            tiling,
            cancel,
        )
        .await
    }
}

/// Whether one of `previews` pictures is shown after `step`: after those closest above equal parts of the steps.
fn preview_due(step: u32, steps: u32, previews: u32) -> bool {
    let part = |step: u32| u64::from(step) * (u64::from(previews) + 1) / u64::from(steps.max(1));
    step < steps && part(step) > part(step.saturating_sub(1))
}

async fn tokenizer(package: &mut Package) -> Result<Tokenizer> {
    let settings = package.manifest.tokenizer.clone();
    let tokenizer = {
        let json = whole(&*package.files, &settings.file).await?;
        Tokenizer::from_bytes(&json, &TextSettings::from(&settings))?
    };
    package.files.forget(&settings.file);
    Ok(tokenizer)
}

async fn pause(cancel: &Cancel) -> Result<()> {
    cancel.check()?;
    yield_now().await;
    cancel.check()
}

/// Runs a model and takes the output that `port` declares, of the declared shape.
async fn run(model: &dyn Model, inputs: Vec<(&str, Value)>, port: &Port) -> Result<Value> {
    let (_, value) = model
        .run_values(inputs)
        .await?
        .into_iter()
        .find(|(name, _)| *name == port.name)
        .ok_or_else(|| Error::engine(format!("the model gave no output {}", port.name)))?;
    if value.shape() != port.shape {
        return Err(Error::engine(format!(
            "output {} has shape {:?}, the manifest says {:?}",
            port.name,
            value.shape(),
            port.shape
        )));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::preview_due;

    #[test]
    fn previews_are_spread_evenly() {
        let due = |steps, previews| -> Vec<u32> {
            (1..=steps)
                .filter(|&step| preview_due(step, steps, previews))
                .collect()
        };
        assert_eq!(due(8, 3), [2, 4, 6]);
        assert_eq!(due(50, 3), [13, 25, 38]);
        assert_eq!(due(3, 3), [1, 2]);
        assert_eq!(due(8, 0), [] as [u32; 0]);
        assert_eq!(due(1, 3), [] as [u32; 0]);
    }
}
