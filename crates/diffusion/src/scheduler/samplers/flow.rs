//! Rectified flows as diffusers steps through them: the latents are `(1 - σ) x₀ + σ ε`, the answer is `ε - x₀`.

use serde::{Deserialize, Serialize};

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
    /// Where the last level is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift_terminal: Option<f64>,
    /// How levels are spread.
    #[serde(default, skip_serializing_if = "Sigmas::is_default")]
    pub sigmas: Sigmas,
}

/// How far levels are moved towards noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shift {
    /// By a factor, once for the range of levels and once for the levels in it.
    Static(f64),
    /// By the exponential of a number that the size of the picture gives.
    Exponential(f64),
    /// By a number that the size of the picture gives.
    Linear(f64),
}

impl Shift {
    fn shifted(self, sigma: f64) -> f64 {
        match self {
            Self::Static(factor) => factor * sigma / (1.0 + (factor - 1.0) * sigma),
            Self::Exponential(mu) => Self::Linear(libm::exp(mu)).shifted(sigma),
            Self::Linear(factor) => factor / (factor + (1.0 / sigma - 1.0)),
        }
    }
}

impl Flow {
    /// Levels of `steps` steps and 0, where the last one ends.
    fn levels(&self, steps: u32) -> Vec<f64> {
        let least = 1.0 / f64::from(self.num_train_timesteps);
        // The range of a static shift is shifted itself.
        let (max, min) = match self.shift {
            Shift::Static(_) => (self.shift.shifted(1.0), self.shift.shifted(least)),
            Shift::Exponential(_) | Shift::Linear(_) => (1.0, least),
        };
        let part = |i: u32| f64::from(i) / f64::from(steps.max(2) - 1);
        let mut sigmas: Vec<f64> = (0..steps)
            .map(|i| self.shift.shifted(max + part(i) * (min - max)))
            .collect();
        let ends = (sigmas.first().copied(), sigmas.last().copied());
        let (Some(mut first), Some(mut last)) = ends else {
            return sigmas;
        };
        if let Some(terminal) = self.shift_terminal {
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
        sigmas
    }

    fn timestep(&self, sigma: f64) -> f64 {
        sigma * f64::from(self.num_train_timesteps)
    }
}

/// Euler steps; `stochastic`: to the picture, and noise back up to the next level.
pub(super) fn euler(flow: &Flow, stochastic: bool, steps: u32) -> Program {
    let sigmas = flow.levels(steps);
    let (x, m) = (Sum::of(LATENTS), Sum::of(ANSWER));
    let evaluation = |pair: &[f64]| {
        let (sigma, next) = (pair[0], pair[1]);
        let picture = x - m * sigma;
        let latents = if stochastic {
            picture * (1.0 - next) + Sum::of(Register::Noise) * next
        } else {
            x + m * (next - sigma)
        };
        Evaluation::new(flow.timestep(sigma), latents, picture)
    };
    Program::of_single(1.0, sigmas.windows(2).map(evaluation))
}

/// Second order steps, two evaluations each but the last: register 0 is the first answer, 1 the sample before it.
pub(super) fn heun(flow: &Flow, steps: u32) -> Program {
    let sigmas = flow.levels(steps);
    let (x, m) = (Sum::of(LATENTS), Sum::of(ANSWER));
    let step = |pair: &[f64]| {
        let (sigma, next) = (pair[0], pair[1]);
        let to = next - sigma;
        let first = Evaluation::new(flow.timestep(sigma), x + m * to, x - m * sigma);
        if next == 0.0 {
            return vec![first];
        }
        let mean = (Sum::of(Register::Kept(0)) + m) / 2.0;
        let latents = Sum::of(Register::Kept(1)) + mean * to;
        let second = Evaluation::new(flow.timestep(next), latents, x - m * next);
        vec![first.keeping(vec![(0, m), (1, x)]), second]
    };
    Program {
        initial_scale: 1.0,
        steps: sigmas.windows(2).map(step).collect(),
    }
}
