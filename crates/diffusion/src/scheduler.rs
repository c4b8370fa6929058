//! How the denoiser's answers are turned into steps.
//!
//! A scheduler gives a [`Program`]: sums of latents, answers, noise and kept registers, whose shares are known before the
//! first step, so that the arithmetic of a step is the same kernel for all of them.

mod choice;
mod flow;
mod levels;
pub mod program;
pub mod samplers;
pub mod sigmas;
mod training;

use protocol::RequestError;
use serde::{Deserialize, Serialize};

pub use choice::UnknownSampler;
pub use flow::FlowMatchEuler;
pub use program::{Evaluation, Program, Register, Sum};
pub use samplers::{FlowSampler, Sampler};
pub use sigmas::Sigmas;
pub use training::{BetaSchedule, Prediction, Spacing, TrainingSchedule};

/// Schedulers that a manifest can name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchedulerKind {
    /// Euler steps through a rectified flow, see [`FlowMatchEuler`].
    FlowMatchEuler,
    /// Denoising diffusion implicit models without noise, η = 0 (Song, Meng, Ermon, arXiv:2010.02502).
    Ddim(TrainingSchedule),
    /// Euler steps through the probability flow in σ (Karras et al., arXiv:2206.00364, algorithm 2 without churn).
    EulerDiscrete(TrainingSchedule),
    /// Any sampler of a model that was trained with noise of growing β.
    Diffusion {
        /// How the steps are taken.
        sampler: Sampler,
        /// The noise of the training.
        training: TrainingSchedule,
    },
    /// Any sampler of a model that learned a flow or a consistency.
    Flow(FlowSampler),
}

/// What a program is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Steps, at least one.
    pub steps: u32,
    /// How many of the steps are left out at the beginning, less than all of them: where a picture is begun with. Samplers
    /// that go by earlier steps begin anew.
    pub skip: u32,
    /// Places of the picture that a transformer attends to, which some flows are shifted by.
    pub image_tokens: u32,
}

impl Wanted {
    /// All steps of a picture.
    pub fn all(steps: u32) -> Self {
        Self {
            steps,
            skip: 0,
            image_tokens: 1,
        }
    }

    /// One step at least.
    fn sane(self) -> Self {
        let steps = self.steps.max(1);
        Self {
            steps,
            skip: self.skip.min(steps - 1),
            ..self
        }
    }

    /// Without those of the steps that are left out.
    fn rest<T>(self, mut all: Vec<T>) -> Vec<T> {
        all.drain(..(self.skip as usize).min(all.len().saturating_sub(1)));
        all
    }
}

impl SchedulerKind {
    /// σ of the training's first and last timestep, where noise is added to pictures.
    pub fn trained_sigmas(&self) -> Option<(f64, f64)> {
        let (_, training) = self.diffusion()?;
        let sigmas = levels::trained(training);
        sigmas.first().copied().zip(sigmas.last().copied())
    }

    /// Sampler and training, where the model was trained with noise of growing β.
    pub fn diffusion(&self) -> Option<(Sampler, &TrainingSchedule)> {
        match self {
            Self::Ddim(training) => Some((Sampler::Ddim { eta: 0.0 }, training)),
            Self::EulerDiscrete(training) => Some((Sampler::Euler, training)),
            Self::Diffusion { sampler, training } => Some((*sampler, training)),
            Self::FlowMatchEuler | Self::Flow(_) => None,
        }
    }

    /// What recipes call it: the name that the first manifests had for it, or both of [`Self::sampler_name`], such as
    /// `DPM++ 2M Karras (DPMSolverMultistepScheduler)`.
    pub fn name(&self) -> String {
        match self {
            Self::FlowMatchEuler => "flow-match-euler".to_owned(),
            Self::Ddim(_) => "ddim".to_owned(),
            Self::EulerDiscrete(_) => "euler-discrete".to_owned(),
            Self::Diffusion { .. } | Self::Flow(_) => {
                let name = self.sampler_name();
                format!("{} ({})", name.a1111, name.diffusers)
            }
        }
    }

    /// The work of a picture.
    ///
    /// # Errors
    /// [`RequestError::OutOfRange`] when the training had fewer steps.
    pub fn program(&self, wanted: Wanted) -> Result<Program, RequestError> {
        let wanted = wanted.sane();
        match self {
            Self::FlowMatchEuler => Ok(flow::program(wanted)),
            Self::Flow(sampler) => Ok(sampler.program(wanted)),
            Self::Ddim(training) => Sampler::Ddim { eta: 0.0 }.program(training, wanted),
            Self::EulerDiscrete(training) => Sampler::Euler.program(training, wanted),
            Self::Diffusion { sampler, training } => sampler.program(training, wanted),
        }
    }

    /// What a manifest says that no program can be made of.
    pub fn fault(&self) -> Option<&'static str> {
        match self {
            Self::FlowMatchEuler => None,
            Self::Flow(sampler) => sampler.fault(),
            _ => {
                let (sampler, training) = self.diffusion()?;
                sampler.fault(training)
            }
        }
    }
}

/// Classifier-free guidance (Ho & Salimans, arXiv:2207.12598): `u + scale (c - u)` of a conditional answer `c`
/// and an unconditional one `u`, elementwise.
pub fn guide(conditional: &[f32], unconditional: &[f32], guidance_scale: f32) -> Vec<f32> {
    conditional
        .iter()
        .zip(unconditional)
        .map(|(c, u)| u + guidance_scale * (c - u))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn guidance_extrapolates_from_the_unconditional_answer() {
        let (c, u) = ([1.0, -2.0], [0.5, 2.0]);
        assert_eq!(guide(&c, &u, 1.0), c);
        assert_eq!(guide(&c, &u, 0.0), u);
        assert_eq!(guide(&c, &u, 3.0), [2.0, -10.0]);
    }

    #[test]
    fn manifests_name_schedulers() {
        let read = |json: &str| serde_json::from_str::<SchedulerKind>(json).ok();
        assert_eq!(
            read("\"flow-match-euler\""),
            Some(SchedulerKind::FlowMatchEuler)
        );
        let ddim = r#"{"ddim": {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "prediction_type": "epsilon", "timestep_spacing": "leading", "steps_offset": 1, "set_alpha_to_one": false}}"#;
        assert_eq!(read(ddim).unwrap().name(), "ddim");
        assert_eq!(read("\"ddim\""), None);
        assert_eq!(read(&ddim.replace("epsilon", "velocity")), None);
        assert_eq!(read(&ddim.replace("leading", "karras")), None);
    }

    /// If the denoiser knows the picture, every step says so, and the last one arrives there.
    #[test]
    fn a_denoiser_that_knows_the_picture_ends_there() {
        let (data, noise) = (0.25_f64, -1.5_f64);
        for prediction_type in [
            Prediction::Epsilon,
            Prediction::VPrediction,
            Prediction::Sample,
        ] {
            for timestep_spacing in [Spacing::Leading, Spacing::Trailing, Spacing::Linspace] {
                let training = TrainingSchedule {
                    prediction_type,
                    timestep_spacing,
                    set_alpha_to_one: true,
                    ..TrainingSchedule::stable_diffusion()
                };
                for steps in [1, 4, 20] {
                    for kind in [
                        SchedulerKind::Ddim(training.clone()),
                        SchedulerKind::EulerDiscrete(training.clone()),
                    ] {
                        let in_sigma = matches!(kind, SchedulerKind::EulerDiscrete(_));
                        // There DDIM's stride is not the distance of its timesteps, in diffusers as here.
                        if !in_sigma && timestep_spacing == Spacing::Linspace {
                            continue;
                        }
                        let wanted = Wanted {
                            steps,
                            skip: 0,
                            image_tokens: 0,
                        };
                        let program = kind.program(wanted).unwrap();
                        assert_eq!(program.steps.len(), steps as usize);
                        let start = alpha(&training, program.steps[0][0].timestep);
                        let mut x = if in_sigma {
                            data + (1.0 / start - 1.0).sqrt() * noise
                        } else {
                            start.sqrt() * data + (1.0 - start).sqrt() * noise
                        };
                        for step in program.evaluations() {
                            let a = alpha(&training, step.timestep);
                            let answer = match prediction_type {
                                Prediction::Epsilon => noise,
                                Prediction::VPrediction => {
                                    a.sqrt() * noise - (1.0 - a).sqrt() * data
                                }
                                Prediction::Sample | Prediction::FlowPrediction => data,
                            };
                            let value = |register| match register {
                                Register::Latents => x,
                                Register::Answer => answer,
                                _ => f64::NAN,
                            };
                            let seen = step.denoised.at(value);
                            assert!((seen - data).abs() < 2e-4, "{kind:?} {step:?}: {seen}");
                            x = step.latents.at(value);
                        }
                        assert!((x - data).abs() < 2e-4, "{kind:?} {steps}: {x}");
                    }
                }
            }
        }
    }

    fn alpha(training: &TrainingSchedule, timestep: f32) -> f64 {
        let alphas = training.alphas_cumprod();
        let (low, part) = (timestep.floor(), f64::from(timestep.fract()));
        let at = |index: f32| {
            let a = alphas[(index as usize).min(alphas.len() - 1)];
            ((1.0 - a) / a).sqrt()
        };
        let sigma = at(low) + part * (at(low + 1.0) - at(low));
        1.0 / (sigma * sigma + 1.0)
    }
}
