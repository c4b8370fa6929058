//! Samplers of diffusion models, by their formulas; each has the shares that diffusers' class of the same name has.

mod consistency;
mod ddim;
mod ddpm;
mod deis;
mod dpm;
mod dpm_singlestep;
mod euler;
mod flow;
mod heun;
mod lambda;
mod lms;
mod pndm;
mod scm;
mod unipc;

use protocol::RequestError;
use serde::{Deserialize, Serialize};

use super::Wanted;
use super::program::{Program, Register, Sum};
use super::training::{Prediction, TrainingSchedule};
pub use ddpm::Variance;
pub use deis::Deis;
pub use dpm::{Algorithm, Dpm, Solver};
pub use dpm_singlestep::DpmSinglestep;
pub use flow::{Flow, Grid, Shift, TimeShift, TokenShift};
pub use unipc::{UniPc, Weight};

/// A sampler with its own settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampler {
    /// Euler steps in σ (Karras et al., arXiv:2206.00364, algorithm 2 without churn).
    Euler,
    /// Euler steps to a lower level of noise, and noise back up to the next one (k-diffusion's `euler_ancestral`).
    EulerAncestral,
    /// Denoising diffusion probabilistic models (Ho, Jain, Abbeel, arXiv:2006.11239).
    Ddpm(Variance),
    /// Pseudo linear multistep (Liu et al., arXiv:2202.09778), without Runge-Kutta steps first.
    Pndm,
    /// Linear multistep of order 4 in σ (k-diffusion's `lms`).
    Lms,
    /// Second order steps in σ (Karras et al., arXiv:2206.00364, algorithm 1 without churn).
    Heun,
    /// DPM-Solver++ (Lu et al., arXiv:2211.01095), over several steps.
    DpmMultistep(Dpm),
    /// The same in groups of steps, see [`DpmSinglestep`].
    DpmSinglestep(DpmSinglestep),
    /// Exponential integrators, see [`Deis`].
    Deis(Deis),
    /// A predictor and its correction, see [`UniPc`].
    UniPc(UniPc),
    /// Denoising diffusion implicit models (Song, Meng, Ermon, arXiv:2010.02502) with this share of DDPM's noise.
    Ddim {
        /// η, from 0 to 1.
        eta: f64,
    },
    /// Latent consistency models (Luo et al., arXiv:2310.04378).
    Lcm {
        /// Steps of the distillation, of which a picture takes some.
        original_inference_steps: u32,
        /// How fast the boundary condition is left.
        timestep_scaling: f64,
    },
    /// Trajectory consistency (Zheng et al., arXiv:2402.19159).
    Tcd {
        /// Steps of the distillation, of which a picture takes some.
        original_inference_steps: u32,
        /// How much noise is added anew, from 0 to 1.
        eta: f64,
    },
}

/// A sampler of models that learned a flow or a consistency of their own, without β.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowSampler {
    /// Euler steps.
    Euler(Flow),
    /// To the picture, and noise back up to the next level.
    Stochastic(Flow),
    /// Second order steps.
    Heun(Flow),
    /// Trigonometric consistency (Lu & Song, arXiv:2410.11081); the latents have the deviation `sigma_data`.
    Scm {
        /// Deviation of latents and noise.
        sigma_data: f64,
        /// Whether the denoiser learned a flow, whose time it is told and whose latents it is given, as SANA-Sprint's did.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        flow: bool,
    },
}

impl FlowSampler {
    /// The program of a picture.
    pub fn program(&self, wanted: Wanted) -> Program {
        let wanted = wanted.sane();
        match self {
            Self::Euler(flow) => flow::euler(flow, false, wanted),
            Self::Stochastic(flow) => flow::euler(flow, true, wanted),
            Self::Heun(flow) => flow::heun(flow, wanted),
            Self::Scm { sigma_data, flow } => scm::program(*sigma_data, *flow, wanted),
        }
    }

    /// What the numbers contradict, if anything.
    pub(super) fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Euler(flow) | Self::Stochastic(flow) | Self::Heun(flow) => flow.fault(),
            Self::Scm { sigma_data, .. } => {
                let positive = sigma_data.is_finite() && *sigma_data > 0.0;
                (!positive).then_some("sigma_data is not above 0")
            }
        }
    }
}

impl Sampler {
    /// The program of a picture.
    ///
    /// # Errors
    /// [`RequestError::OutOfRange`] when the training had fewer steps.
    pub fn program(
        &self,
        training: &TrainingSchedule,
        wanted: Wanted,
    ) -> Result<Program, RequestError> {
        let wanted = wanted.sane();
        let steps = wanted.steps;
        let training = training.checked(steps)?;
        let distilled = |original: u32| {
            let most = original.min(training.num_train_timesteps);
            if (1..=most).contains(&steps) && original <= training.num_train_timesteps {
                return Ok(original);
            }
            Err(RequestError::OutOfRange {
                field: "num_inference_steps",
                value: steps.to_string(),
                min: "1".to_owned(),
                max: most.to_string(),
            })
        };
        Ok(match *self {
            Self::Euler => euler::program(training, false, wanted),
            Self::EulerAncestral => euler::program(training, true, wanted),
            Self::Ddpm(variance) => ddpm::program(training, variance, wanted),
            Self::Pndm => pndm::program(training, wanted),
            Self::Lms => lms::program(training, wanted),
            Self::Heun => heun::program(training, wanted),
            Self::DpmMultistep(dpm) => dpm::program(training, dpm, wanted),
            Self::DpmSinglestep(dpm) => dpm_singlestep::program(training, dpm, wanted),
            Self::Deis(solver) => deis::program(training, solver, wanted),
            Self::UniPc(solver) => unipc::program(training, solver, wanted),
            Self::Ddim { eta } => ddim::program(training, eta, wanted),
            Self::Lcm {
                original_inference_steps,
                timestep_scaling,
            } => {
                let original = distilled(original_inference_steps)?;
                consistency::lcm(training, original, timestep_scaling, wanted)
            }
            Self::Tcd {
                original_inference_steps,
                eta,
            } => consistency::tcd(training, distilled(original_inference_steps)?, eta, wanted),
        })
    }
}

impl Sampler {
    /// What its settings and the training contradict, if anything.
    pub(super) fn fault(&self, training: &TrainingSchedule) -> Option<&'static str> {
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let order = |order: u8| (1..=3).contains(&order);
        let in_lambda = matches!(
            self,
            Self::DpmMultistep(_) | Self::DpmSinglestep(_) | Self::UniPc(_) | Self::Deis(_)
        );
        let by_alpha = matches!(
            self,
            Self::Ddim { .. } | Self::Ddpm(_) | Self::Pndm | Self::Lcm { .. } | Self::Tcd { .. }
        );
        let ordered = match self {
            Self::DpmMultistep(dpm) => order(dpm.solver_order),
            Self::DpmSinglestep(dpm) => order(dpm.solver_order),
            Self::UniPc(solver) => order(solver.solver_order),
            Self::Deis(solver) => order(solver.solver_order),
            _ => true,
        };
        let shared = match self {
            Self::Ddim { eta } | Self::Tcd { eta, .. } => share(*eta),
            Self::Lcm {
                timestep_scaling, ..
            } => timestep_scaling.is_finite(),
            _ => true,
        };
        let unknown = match self {
            Self::Pndm | Self::EulerAncestral | Self::Heun => {
                training.prediction_type == Prediction::Sample
            }
            _ => false,
        };
        let nothing_left =
            training.rescale_betas_zero_snr && training.prediction_type == Prediction::Epsilon;
        if !ordered {
            Some("solver_order is not 1, 2 or 3")
        } else if !shared {
            Some("eta or timestep_scaling is out of range")
        } else if unknown {
            Some("the sampler does not take the prediction_type sample")
        } else if !in_lambda && training.sigmas.flow_shift.is_some() {
            Some("the sampler does not go through the levels of a flow")
        } else if by_alpha && nothing_left {
            Some(
                "rescale_betas_zero_snr leaves nothing to tell the picture from where the denoiser answers with epsilon",
            )
        } else {
            training.fault()
        }
    }
}

const LATENTS: Register = Register::Latents;
const ANSWER: Register = Register::Answer;

/// The picture that an answer says, where the latents are `√ᾱ x₀ + √(1-ᾱ) ε`.
fn picture_of_alpha(training: &TrainingSchedule, alpha: f64) -> Sum {
    let (x, m) = (Sum::of(LATENTS), Sum::of(ANSWER));
    let (signal, noise) = (alpha.sqrt(), (1.0 - alpha).sqrt());
    match training.prediction_type {
        Prediction::Epsilon => (x - m * noise) / signal,
        Prediction::VPrediction => x * signal - m * noise,
        Prediction::Sample => m,
        Prediction::FlowPrediction => x - m * noise,
    }
}

/// A picture, cut off where the training says so, and what an evaluation needs to know of it.
fn clipped(training: &TrainingSchedule, picture: Sum) -> (Sum, Option<(Sum, f64)>) {
    match training.clip_sample {
        Some(limit) => (Sum::of(Register::Clamped), Some((picture, limit))),
        None => (picture, None),
    }
}

/// The noise that an answer says, where the latents are `√ᾱ x₀ + √(1-ᾱ) ε`.
fn noise_of_alpha(training: &TrainingSchedule, alpha: f64) -> Sum {
    let (x, m) = (Sum::of(LATENTS), Sum::of(ANSWER));
    let (signal, noise) = (alpha.sqrt(), (1.0 - alpha).sqrt());
    match training.prediction_type {
        Prediction::Epsilon | Prediction::FlowPrediction => m,
        Prediction::VPrediction => m * signal + x * noise,
        Prediction::Sample => (x - m * signal) / noise,
    }
}

/// The picture that an answer says, where the latents are `x₀ + σ ε`.
fn picture_of_sigma(training: &TrainingSchedule, sigma: f64) -> Sum {
    let (x, m) = (Sum::of(LATENTS), Sum::of(ANSWER));
    let whole = sigma * sigma + 1.0;
    match training.prediction_type {
        Prediction::Epsilon | Prediction::FlowPrediction => x - m * sigma,
        Prediction::VPrediction => x / whole - m * (sigma / whole.sqrt()),
        Prediction::Sample => m,
    }
}
