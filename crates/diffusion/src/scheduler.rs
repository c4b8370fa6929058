//! How the denoiser's answers are turned into steps.
//!
//! Every scheduler here is linear: a step takes the latents `x` and the guided answer `m` to `keep x + gain m`. A [`Schedule`]
//! is the list of these numbers for a count of steps, so that the arithmetic of a step is the same kernel for all of them.

mod ddim;
mod euler;
mod flow;
pub mod sigmas;
mod training;

use protocol::RequestError;
use serde::{Deserialize, Serialize};

pub use flow::FlowMatchEuler;
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
}

impl SchedulerKind {
    /// σ of the training's first and last timestep, where noise is added to pictures.
    pub fn trained_sigmas(&self) -> Option<(f64, f64)> {
        match self {
            Self::FlowMatchEuler => None,
            Self::Ddim(training) | Self::EulerDiscrete(training) => {
                let sigmas = euler::trained(training);
                sigmas.first().copied().zip(sigmas.last().copied())
            }
        }
    }

    /// The manifest's name of the scheduler.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FlowMatchEuler => "flow-match-euler",
            Self::Ddim(_) => "ddim",
            Self::EulerDiscrete(_) => "euler-discrete",
        }
    }

    /// The steps of a picture.
    ///
    /// # Errors
    /// [`RequestError::OutOfRange`] when the training had fewer steps.
    pub fn schedule(&self, num_inference_steps: u32) -> Result<Schedule, RequestError> {
        let steps = num_inference_steps.max(1);
        match self {
            Self::FlowMatchEuler => Ok(flow::schedule(steps)),
            Self::Ddim(training) => Ok(ddim::schedule(training.checked(steps)?, steps)),
            Self::EulerDiscrete(training) => Ok(euler::schedule(training.checked(steps)?, steps)),
        }
    }

    /// What a manifest says that no schedule can be made of.
    pub fn fault(&self) -> Option<&'static str> {
        match self {
            Self::FlowMatchEuler => None,
            Self::Ddim(training) => {
                let from_noise_alone = training.rescale_betas_zero_snr
                    && training.prediction_type == Prediction::Epsilon;
                let divides = "rescale_betas_zero_snr leaves nothing to tell the picture from where the denoiser answers with epsilon";
                training.fault().or(from_noise_alone.then_some(divides))
            }
            Self::EulerDiscrete(training) => training.fault(),
        }
    }
}

/// The steps of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// What the noise of variance 1 is multiplied with at first.
    pub initial_scale: f32,
    /// The steps, from noise to picture.
    pub steps: Vec<ScheduledStep>,
}

/// One step: the latents `x` become `keep x + gain m`, where `m` is the guided answer to `input_scale x` at `timestep`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduledStep {
    /// What the denoiser is told of the time.
    pub timestep: f32,
    /// What the latents are multiplied with on their way into the denoiser.
    pub input_scale: f32,
    /// Share of the latents.
    pub keep: f32,
    /// Share of the answer.
    pub gain: f32,
    /// `keep` and `gain` that give the picture as the denoiser expects it from here.
    pub denoised: (f32, f32),
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
        assert_eq!(read(ddim).map(|kind| kind.name()), Some("ddim"));
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
                        let schedule = kind.schedule(steps).unwrap();
                        assert_eq!(schedule.steps.len(), steps as usize);
                        let start = alpha(&training, schedule.steps[0].timestep);
                        let mut x = if in_sigma {
                            data + (1.0 / start - 1.0).sqrt() * noise
                        } else {
                            start.sqrt() * data + (1.0 - start).sqrt() * noise
                        };
                        for step in &schedule.steps {
                            let a = alpha(&training, step.timestep);
                            let answer = match prediction_type {
                                Prediction::Epsilon => noise,
                                Prediction::VPrediction => {
                                    a.sqrt() * noise - (1.0 - a).sqrt() * data
                                }
                                Prediction::Sample => data,
                            };
                            let seen = f64::from(step.denoised.0) * x
                                + f64::from(step.denoised.1) * answer;
                            assert!((seen - data).abs() < 2e-4, "{kind:?} {step:?}: {seen}");
                            x = f64::from(step.keep) * x + f64::from(step.gain) * answer;
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
