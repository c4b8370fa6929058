//! The noise that a diffusion model was trained with, in the words of diffusers' `scheduler_config.json`.

use protocol::RequestError;
use serde::{Deserialize, Serialize};

use super::sigmas::Sigmas;

/// Longest training schedule accepted.
const MAX_TRAIN_TIMESTEPS: u32 = 100_000;

/// How noise grew over the training's timesteps, and how inference picks among them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSchedule {
    /// Timesteps of the training.
    pub num_train_timesteps: u32,
    /// First β.
    pub beta_start: f64,
    /// Last β.
    pub beta_end: f64,
    /// How β grows.
    pub beta_schedule: BetaSchedule,
    /// What the denoiser answers.
    pub prediction_type: Prediction,
    /// Which timesteps inference takes.
    pub timestep_spacing: Spacing,
    /// Added to the timesteps of [`Spacing::Leading`].
    #[serde(default)]
    pub steps_offset: u32,
    /// DDIM: whether the last step goes to no noise at all, instead of to the noise of timestep 0.
    #[serde(default)]
    pub set_alpha_to_one: bool,
    /// β of every timestep, in place of `beta_schedule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_betas: Option<Vec<f64>>,
    /// Whether β is rescaled so that nothing of the picture is left at the last timestep (Lin et al., arXiv:2305.08891,
    /// algorithm 1).
    #[serde(default, skip_serializing_if = "is_false")]
    pub rescale_betas_zero_snr: bool,
    /// Where the picture that an answer says is cut off on both sides of 0 (`clip_sample_range`), for the samplers that do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_sample: Option<f64>,
    /// How the noise levels of the steps are chosen.
    #[serde(default, skip_serializing_if = "Sigmas::is_default")]
    pub sigmas: Sigmas,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// How β grows from start to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// Evenly.
    Linear,
    /// Its root evenly: latent diffusion models.
    ScaledLinear,
    /// As a squared cosine of ᾱ (Nichol & Dhariwal, arXiv:2102.09672); start and end are not used.
    SquaredcosCapV2,
}

/// What the denoiser answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    /// The noise.
    Epsilon,
    /// The velocity `√ᾱ ε − √(1−ᾱ) x₀` (Salimans & Ho, arXiv:2202.00512).
    VPrediction,
    /// The picture.
    Sample,
    /// The velocity `ε − x₀` of a flow, beside levels of a flow.
    FlowPrediction,
}

/// Which timesteps inference takes (Lin et al., arXiv:2305.08891, table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// From the first on.
    Leading,
    /// From the last back.
    Trailing,
    /// First and last, and evenly between.
    Linspace,
}

impl TrainingSchedule {
    /// That of Stable Diffusion 1 and 2.
    pub fn stable_diffusion() -> Self {
        Self {
            num_train_timesteps: 1000,
            beta_start: 0.00085,
            beta_end: 0.012,
            beta_schedule: BetaSchedule::ScaledLinear,
            prediction_type: Prediction::Epsilon,
            timestep_spacing: Spacing::Leading,
            steps_offset: 1,
            set_alpha_to_one: false,
            trained_betas: None,
            rescale_betas_zero_snr: false,
            clip_sample: None,
            sigmas: Sigmas::default(),
        }
    }

    /// What the numbers contradict, if anything.
    pub(super) fn fault(&self) -> Option<&'static str> {
        let beta = |beta: f64| beta > 0.0 && beta < 1.0;
        if !(2..=MAX_TRAIN_TIMESTEPS).contains(&self.num_train_timesteps) {
            Some("num_train_timesteps is not between 2 and 100,000")
        } else if !beta(self.beta_start) || !beta(self.beta_end) {
            Some("beta_start and beta_end are not between 0 and 1")
        } else if self.steps_offset >= self.num_train_timesteps {
            Some("steps_offset is beyond the training's timesteps")
        } else if self
            .clip_sample
            .is_some_and(|x| !(x.is_finite() && x > 0.0))
        {
            Some("clip_sample_range is not above 0")
        } else if (self.prediction_type == Prediction::FlowPrediction)
            != self.sigmas.flow_shift.is_some()
        {
            Some("flow_prediction and use_flow_sigmas go with each other")
        } else if let Some(betas) = &self.trained_betas {
            if betas.len() != self.num_train_timesteps as usize {
                Some("trained_betas are not one for each of num_train_timesteps")
            } else if !betas.iter().copied().all(beta) {
                Some("trained_betas are not all between 0 and 1")
            } else {
                self.sigmas.fault()
            }
        } else {
            self.sigmas.fault()
        }
    }

    pub(super) fn checked(&self, steps: u32) -> Result<&Self, RequestError> {
        let last = self.num_train_timesteps / steps * (steps - 1) + self.steps_offset;
        let fits = self.timestep_spacing != Spacing::Leading || last < self.num_train_timesteps;
        if steps <= self.num_train_timesteps && fits {
            return Ok(self);
        }
        Err(RequestError::OutOfRange {
            field: "num_inference_steps",
            value: steps.to_string(),
            min: "1".to_owned(),
            max: (self.num_train_timesteps - self.steps_offset).to_string(),
        })
    }

    /// ᾱ of every timestep: the share of the picture in the noisy one. As in diffusers, β and 1 - β have single precision.
    pub fn alphas_cumprod(&self) -> Vec<f64> {
        let betas = self.betas();
        if !self.rescale_betas_zero_snr {
            return cumulated(betas);
        }
        let roots: Vec<f32> = cumulated(betas)
            .iter()
            .map(|&a| (a as f32).sqrt())
            .collect();
        let (first, last) = match roots[..] {
            [first, .., last] => (first, last),
            _ => return Vec::new(),
        };
        let bars = roots
            .iter()
            .map(|root| ((root - last) * (first / (first - last))).powi(2));
        let mut before = 1.0;
        let betas = bars.map(|bar: f32| {
            let beta = 1.0 - bar / before;
            before = bar;
            beta
        });
        cumulated(betas.collect())
    }

    fn betas(&self) -> Vec<f32> {
        let n = self.num_train_timesteps;
        if let Some(betas) = &self.trained_betas {
            return betas.iter().map(|&beta| beta as f32).collect();
        }
        // As torch.linspace: from both ends to the middle.
        let between = |start: f64, end: f64, i: u32| {
            let (start, end) = (start as f32, end as f32);
            let step = (end - start) / (n - 1) as f32;
            if i < n / 2 {
                start + step * i as f32
            } else {
                end - step * (n - 1 - i) as f32
            }
        };
        let alpha_bar = |t: f64| {
            let angle = (t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2;
            libm::cos(angle).powi(2)
        };
        let part = |i: u32| f64::from(i) / f64::from(n);
        let beta = |i: u32| match self.beta_schedule {
            BetaSchedule::Linear => between(self.beta_start, self.beta_end, i),
            BetaSchedule::ScaledLinear => {
                between(self.beta_start.sqrt(), self.beta_end.sqrt(), i).powi(2)
            }
            BetaSchedule::SquaredcosCapV2 => {
                (1.0 - alpha_bar(part(i + 1)) / alpha_bar(part(i))).min(0.999) as f32
            }
        };
        (0..n).map(beta).collect()
    }

    /// The timesteps of [`Spacing::Leading`] and [`Spacing::Trailing`], from noise to picture; `None` for
    /// [`Spacing::Linspace`], which schedulers round differently.
    pub(super) fn whole_timesteps(&self, steps: u32) -> Option<Vec<f64>> {
        let n = f64::from(self.num_train_timesteps);
        match self.timestep_spacing {
            Spacing::Leading => {
                let ratio = self.num_train_timesteps / steps;
                let leading = (0..steps)
                    .rev()
                    .map(|i| f64::from(i * ratio + self.steps_offset));
                Some(leading.collect())
            }
            Spacing::Trailing => {
                let ratio = n / f64::from(steps);
                let trailing = (0..steps).map(|i| {
                    let timestep = (n - f64::from(i) * ratio).round_ties_even() - 1.0;
                    timestep.max(0.0)
                });
                Some(trailing.collect())
            }
            Spacing::Linspace => None,
        }
    }

    /// The timesteps of any spacing, rounded to whole ones.
    pub(super) fn rounded_timesteps(&self, steps: u32) -> Vec<f64> {
        self.whole_timesteps(steps)
            .unwrap_or_else(|| self.linspace(steps).map(f64::round_ties_even).collect())
    }

    /// Evenly from the last timestep to the first.
    pub(super) fn linspace(&self, steps: u32) -> impl Iterator<Item = f64> {
        let last = f64::from(self.num_train_timesteps - 1);
        let gaps = f64::from(steps.max(2) - 1);
        (0..steps).rev().map(move |i| last * f64::from(i) / gaps)
    }
}

/// Products of 1 - β, which are kept in single precision.
fn cumulated(betas: Vec<f32>) -> Vec<f64> {
    let mut product = 1.0;
    let mut next = |beta: f32| {
        product *= f64::from(1.0 - beta);
        f64::from(product as f32)
    };
    betas.into_iter().map(&mut next).collect()
}
