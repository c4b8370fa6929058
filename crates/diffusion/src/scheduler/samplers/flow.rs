//! Rectified flows as diffusers steps through them: the latents are `(1 - σ) x₀ + σ ε`, the answer is `ε - x₀`.

use serde::{Deserialize, Serialize};

use super::super::Wanted;
use super::super::levels::single;
use super::super::program::{Evaluation, Program, Register, Sum};
use super::super::sigmas::Sigmas;
use super::{ANSWER, LATENTS};

/// How the levels of a flow are chosen, in the words of diffusers' `FlowMatchEulerDiscreteScheduler`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// Timesteps of the training: the time is σ times this.
    pub num_train_timesteps: u32,
    /// How far levels are moved towards noise.
    pub shift: Shift,
    /// Where the levels lie before they are moved.
    #[serde(default, skip_serializing_if = "is_trained")]
    pub grid: Grid,
    /// Where the last level is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift_terminal: Option<f64>,
    /// How levels are spread.
    #[serde(default, skip_serializing_if = "Sigmas::is_default")]
    pub sigmas: Sigmas,
}

fn is_trained(grid: &Grid) -> bool {
    *grid == Grid::Trained
}

/// Where levels lie before they are moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grid {
    /// Evenly over the training's range, whose ends a static shift has moved already: pipelines that pass no levels.
    #[default]
    Trained,
    /// Evenly from 1 to 1/n in n steps: pipelines that pass these, such as those of FLUX.
    Steps,
}

/// How far levels are moved towards noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shift {
    /// By a factor.
    Static(f64),
    /// By the exponential of a number.
    Exponential(f64),
    /// By a number.
    Linear(f64),
    /// By a number that is linear in the picture's tokens.
    Tokens(TokenShift),
    /// As FLUX.2 does, by tokens and steps.
    Flux2,
}

/// How a shift depends on the picture's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenShift {
    /// What becomes of the number.
    pub time_shift_type: TimeShift,
    /// The number at `base_image_seq_len` tokens.
    pub base_shift: f64,
    /// The number at `max_image_seq_len` tokens.
    pub max_shift: f64,
    /// Tokens.
    pub base_image_seq_len: u32,
    /// Tokens.
    pub max_image_seq_len: u32,
}

/// What becomes of a shift's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeShift {
    /// Its exponential is the factor.
    Exponential,
    /// It is the factor.
    Linear,
}

impl Shift {
    /// The factor of a picture.
    fn factor(self, wanted: Wanted) -> f64 {
        match self {
            Self::Static(factor) | Self::Linear(factor) => factor,
            Self::Exponential(mu) => libm::exp(mu),
            Self::Tokens(by) => {
                let (base, most) = (by.base_image_seq_len, by.max_image_seq_len);
                let slope = (by.max_shift - by.base_shift) / (f64::from(most) - f64::from(base));
                let tokens = f64::from(wanted.image_tokens) - f64::from(base);
                let mu = by.base_shift + slope * tokens;
                match by.time_shift_type {
                    TimeShift::Exponential => libm::exp(mu),
                    TimeShift::Linear => mu,
                }
            }
            Self::Flux2 => libm::exp(flux2(wanted)),
        }
    }
}

/// `compute_empirical_mu` of diffusers' FLUX.2 pipelines: linear in tokens at 10 and at 200 steps, and between them in steps.
fn flux2(wanted: Wanted) -> f64 {
    let tokens = f64::from(wanted.image_tokens);
    let many = 0.00016927 * tokens + 0.45666666;
    if wanted.image_tokens > 4300 {
        return many;
    }
    let few = 8.73809524e-05 * tokens + 1.89833333;
    let slope = (many - few) / 190.0;
    slope * f64::from(wanted.steps) + many - 200.0 * slope
}

impl Flow {
    pub(super) fn fault(&self) -> Option<&'static str> {
        let factor = match self.shift {
            Shift::Static(factor) | Shift::Linear(factor) => factor.is_finite() && factor > 0.0,
            Shift::Exponential(mu) => mu.is_finite(),
            Shift::Tokens(by) => {
                let falls = by.base_shift.is_finite() && by.max_shift.is_finite();
                falls && by.base_image_seq_len < by.max_image_seq_len
            }
            Shift::Flux2 => true,
        };
        if self.num_train_timesteps == 0 {
            Some("num_train_timesteps is 0")
        } else if !factor {
            Some("the shift is no number above 0")
        } else if self
            .shift_terminal
            .is_some_and(|x| !(0.0..1.0).contains(&x))
        {
            Some("shift_terminal is not between 0 and 1")
        } else {
            self.sigmas.fault()
        }
    }

    /// Levels of the steps and 0, where the last one ends.
    fn levels(&self, wanted: Wanted) -> Vec<f64> {
        let steps = wanted.steps;
        let factor = self.shift.factor(wanted);
        let shifted = |sigma: f64| factor * sigma / (1.0 + (factor - 1.0) * sigma);
        let (max, min) = match (self.grid, self.shift) {
            (Grid::Steps, _) => (1.0, 1.0 / f64::from(steps)),
            // The range of a static shift is shifted itself.
            (Grid::Trained, Shift::Static(_)) => {
                let least = 1.0 / f64::from(self.num_train_timesteps);
                (single(shifted(1.0)), single(shifted(least)))
            }
            (Grid::Trained, _) => (1.0, 1.0 / f64::from(self.num_train_timesteps)),
        };
        let part = |i: u32| f64::from(i) / f64::from(steps.max(2) - 1);
        let mut sigmas: Vec<f64> = (0..steps)
            .map(|i| shifted(max + part(i) * (min - max)))
            .collect();
        let ends = (sigmas.first().copied(), sigmas.last().copied());
        let (Some(mut first), Some(mut last)) = ends else {
            return sigmas;
        };
        // A picture of one step has no last level to move.
        if let Some(terminal) = self.shift_terminal.filter(|_| last < 1.0) {
            let factor = (1.0 - last) / (1.0 - terminal);
            let stretched = |sigma: f64| 1.0 - (1.0 - sigma) / factor;
            sigmas
                .iter_mut()
                .for_each(|sigma| *sigma = stretched(*sigma));
            (first, last) = (stretched(first), stretched(last));
        }
        if let Some(spread) = self.sigmas.spread(first, last, steps) {
            sigmas = spread;
        }
        sigmas.push(0.0);
        wanted.rest(sigmas.into_iter().map(single).collect())
    }

    fn timestep(&self, sigma: f64) -> f64 {
        sigma * f64::from(self.num_train_timesteps)
    }
}

/// Euler steps; `stochastic`: to the picture, and noise back up to the next level.
pub(super) fn euler(flow: &Flow, stochastic: bool, wanted: Wanted) -> Program {
    let sigmas = flow.levels(wanted);
    let (x, m) = (Sum::of(LATENTS), Sum::of(ANSWER));
    let evaluation = |pair: &[f64]| {
        let (sigma, next) = (pair[0], pair[1]);
        let picture = x - m * sigma;
        let latents = if stochastic {
            picture * (1.0 - next) + Sum::of(Register::Noise) * next
        } else {
            x + m * (next - sigma)
        };
        Evaluation::new(flow.timestep(sigma), latents, picture).at_level(1.0 - sigma, sigma)
    };
    Program::of_single(1.0, sigmas.windows(2).map(evaluation))
}

/// Second order steps, two evaluations each but the last: register 0 is the first answer, 1 the sample before it.
pub(super) fn heun(flow: &Flow, wanted: Wanted) -> Program {
    let sigmas = flow.levels(wanted);
    let (x, m) = (Sum::of(LATENTS), Sum::of(ANSWER));
    let step = |pair: &[f64]| {
        let (sigma, next) = (pair[0], pair[1]);
        let to = next - sigma;
        let first = Evaluation::new(flow.timestep(sigma), x + m * to, x - m * sigma)
            .at_level(1.0 - sigma, sigma);
        if next == 0.0 {
            return vec![first];
        }
        let mean = (Sum::of(Register::Kept(0)) + m) / 2.0;
        let latents = Sum::of(Register::Kept(1)) + mean * to;
        let second =
            Evaluation::new(flow.timestep(next), latents, x - m * next).at_level(1.0 - next, next);
        vec![first.keeping(vec![(0, m), (1, x)]), second]
    };
    Program::new(1.0, sigmas.windows(2).map(step).collect())
}
