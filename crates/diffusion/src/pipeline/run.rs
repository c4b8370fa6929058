//! The way of a request: what it begins with, its prompts, the steps, and the picture.

use protocol::{GenerationRequest, Progress, Residency, ResolvedRequest, UsedLora};

use super::decode::{Decoding, Tiling};
use super::denoise::Conditioning;
use super::parts::Held;
use super::steps::{Course, Steps};
use super::text::Prompts;
use super::{Pipeline, RunOptions, Start, Step, pause};
use crate::cancel::Cancel;
use crate::engine::{Model, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Guidance, ImageSize};
use crate::picture::Picture;
use crate::scheduler::{Evaluation, Program, Wanted};
use crate::tensor::Tensor;

impl Pipeline {
    /// [`Self::generate`] with `options`. Going on from a checkpoint does no step again, and ends in the picture of
    /// the undisturbed run; a checkpoint whose latents were rounded to 16 bits ends within [`crate::TOLERANCE`] of it.
    ///
    /// # Errors
    /// As [`Self::generate`]; [`ErrorKind::InvalidRequest`] for a checkpoint that does not fit request and package, and for
    /// tiles that the decoder cannot be run on.
    pub async fn run(
        &self,
        request: &ResolvedRequest,
        options: RunOptions,
        on_step: &mut dyn FnMut(Step),
        cancel: &Cancel,
    ) -> Result<Picture> {
        let size = ImageSize {
            width: request.width,
            height: request.height,
        };
        let shape = self.manifest.latents.shape(size);
        let begun = match &options.start {
            Some(start) => Some(self.begun(start, size).await?),
            None => None,
        };
        let beside = if self.manifest.sees_picture()? {
            Some(self.beside(options.start.as_ref(), size).await?)
        } else {
            None
        };
        if let (Some(start), Some(begun)) = (&options.start, &begun)
            && start.skipped(request.num_inference_steps) == request.num_inference_steps
        {
            let [c, h, w] = shape;
            let latents = Tensor::f32(&[1, c, h, w], begun.latents().to_vec())?;
            let latents = self.stepper.upload(latents).await?;
            let picture = self
                .decode(&latents, size, options.decode_tile, cancel)
                .await?;
            return Ok(start.finish(picture));
        }
        let program = self.program(request, options.start.as_ref(), shape)?;
        let steps = program.steps.len() as u32;
        let course = Course {
            program: &program,
            stepper: &*self.stepper,
            seed: request.seed,
            variation: request.variation,
            guidance_scale: self.manifest.guidance.factor(request.guidance_scale),
            guided: self.manifest.guidance_interval,
            rescaled: self.manifest.guidance == Guidance::ClassifierFreeRescaled,
            negated: self.manifest.denoiser.negated,
            shape,
            begun: begun.as_ref(),
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
            let conditioning = self.condition_of(request, size).await?;
            pause(cancel).await?;
            Some(conditioning)
        } else {
            None
        };
        let mut run = Steps::begin(course, options.resume).await?;
        if let Some(conditioning) = conditioning {
            let name = &self.manifest.denoiser.graph;
            let denoiser = self.part(name, &request.loras).await?;
            pause(cancel).await?;
            let denoise = async |latents: &Value, evaluation: &Evaluation, guided: bool| {
                let beside = beside.as_deref();
                let conditioning = conditioning.at(guided);
                self.denoise(&*denoiser, latents, evaluation, conditioning, beside)
                    .await
            };
            while run.done() < steps {
                let done = run.done() + 1;
                // One graph at a time: the decoder would be a second one.
                let decoded = self.residency() == Residency::Kept
                    && preview_due(done, steps, options.decoded_previews);
                let mapped = options.latent_previews && done < steps;
                let denoised = run.step(&denoise, decoded || mapped, cancel).await?;
                let preview = match denoised.filter(|_| !cancel.is_cancelled()) {
                    Some(latents) if decoded => Some(
                        self.decode(&latents, size, options.decode_tile, cancel)
                            .await?,
                    ),
                    Some(latents) => self.map_to_rgb(latents, shape).await?,
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
        let picture = self
            .decode(run.latents(), size, options.decode_tile, cancel)
            .await?;
        Ok(match &options.start {
            Some(start) => start.finish(picture),
            None => picture,
        })
    }

    /// The program of a picture, without the steps that its start leaves out.
    fn program(
        &self,
        request: &ResolvedRequest,
        start: Option<&Start>,
        [_, h, w]: [usize; 3],
    ) -> Result<Program> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidRequest, message);
        let steps = request.num_inference_steps;
        let wanted = Wanted {
            steps,
            skip: start.map_or(0, |start| start.skipped(steps)),
            image_tokens: self.manifest.latents.tokens([h, w]) as u32,
        };
        let kind = self.manifest.scheduler.chosen(request.sampler.as_deref());
        let kind = kind.map_err(|e| invalid(e.to_string()))?;
        kind.program(wanted).map_err(|e| invalid(e.to_string()))
    }

    /// A graph with what LoRAs add to its weights.
    pub(super) async fn part(&self, name: &str, loras: &[UsedLora]) -> Result<Held> {
        let graph = self.manifest.graph(name)?;
        let mix = self.loras.mix(&self.manifest, name, loras);
        self.parts.graph((name, graph), &self.loras, mix).await
    }

    async fn map_to_rgb(&self, latents: Value, [_, h, w]: [usize; 3]) -> Result<Option<Picture>> {
        let Some(map) = &self.manifest.latents.rgb else {
            return Ok(None);
        };
        let latents = latents.into_tensor().await?.into_f32()?;
        map.picture(&latents, w, h).map(Some)
    }

    /// Checks a request against the package and fills defaults in.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`], also where the request has no seed.
    pub fn resolve(&self, request: &GenerationRequest) -> Result<ResolvedRequest> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidRequest, message);
        let seed = request.seed;
        let seed = seed.ok_or_else(|| invalid("the request has no seed".to_owned()))?;
        let resolved = request.clone().resolve(&self.summary, seed);
        resolved.map_err(|e| invalid(e.to_string()))
    }

    async fn condition_of(
        &self,
        request: &ResolvedRequest,
        size: ImageSize,
    ) -> Result<Conditioning> {
        let scale = request.guidance_scale;
        let guidance = self.manifest.guidance;
        let texts = self
            .texts(Prompts {
                prompt: request.text.clone(),
                loras: request.loras.clone(),
                negative: request.negative_prompt.clone(),
                syntax: request.prompt_syntax,
                clip_skip: request.clip_skip,
                guided: guidance.is_free() && guidance.factor(scale) > 1.0,
            })
            .await?;
        self.conditioning(&texts, size, scale).await
    }

    async fn decode(
        &self,
        latents: &Value,
        size: ImageSize,
        tile: Option<usize>,
        cancel: &Cancel,
    ) -> Result<Picture> {
        let decoder = self.part(&self.manifest.decoder.graph, &[]).await?;
        self.decoding(&*decoder, size)
            .decode(&*self.stepper, latents, self.tiling(tile), cancel)
            .await
    }

    /// The side of the tiles, in latents, that a picture of this size is decoded in where [`RunOptions::decode_tile`] leaves it open;
    /// `None`: it is decoded at once. Engines that decode in the same tiles make the same picture.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn decode_tile(&self, size: ImageSize) -> Result<Option<usize>> {
        let decoder = self.part(&self.manifest.decoder.graph, &[]).await?;
        self.decoding(&*decoder, size).tile(self.tiling(None))
    }

    fn decoding<'d>(&'d self, decoder: &'d dyn Model, size: ImageSize) -> Decoding<'d> {
        Decoding {
            manifest: &self.manifest,
            decoder,
            size,
        }
    }

    fn tiling(&self, side: Option<usize>) -> Tiling {
        Tiling {
            side,
            sparing: self.residency() != Residency::Kept,
        }
    }
}

/// Whether one of `previews` pictures is shown after `step`: after those closest above equal parts of the steps.
fn preview_due(step: u32, steps: u32, previews: u32) -> bool {
    let part = |step: u32| u64::from(step) * (u64::from(previews) + 1) / u64::from(steps.max(1));
    step < steps && part(step) > part(step.saturating_sub(1))
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
