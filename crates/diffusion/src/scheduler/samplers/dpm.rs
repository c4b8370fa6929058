//! DPM-Solver++ over several steps: registers 0 and 1 are earlier pictures, the newest first.

use serde::{Deserialize, Serialize};

use super::super::Wanted;
use super::super::program::{Evaluation, Program, Register, Sum};
use super::super::sigmas::Last;
use super::super::training::TrainingSchedule;
use super::LATENTS;
use super::lambda::{Class, Level, schedule};

/// Fewer steps than this end in lower orders, where that is asked for.
const FEW: usize = 15;

/// Settings of the solver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dpm {
    /// Pictures that a step goes by, 1 to 3.
    pub solver_order: u8,
    /// With noise or without.
    pub algorithm_type: Algorithm,
    /// How the second order is reckoned.
    pub solver_type: Solver,
    /// Whether a few steps end in lower orders.
    pub lower_order_final: bool,
    /// Whether the last step is of first order.
    pub euler_at_final: bool,
}

/// With noise or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// Without.
    #[serde(rename = "dpmsolver++")]
    Plain,
    /// With.
    #[serde(rename = "sde-dpmsolver++")]
    Noise,
}

/// How the second order is reckoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// At the middle of the step.
    Midpoint,
    /// At its end.
    Heun,
}

pub(super) fn program(training: &TrainingSchedule, dpm: Dpm, wanted: Wanted) -> Program {
    let (timesteps, levels) = schedule(training, Class::DpmMultistep, wanted);
    let count = timesteps.len();
    let evaluation = |(index, &timestep): (usize, &f64)| {
        let few = dpm.lower_order_final && count + (wanted.skip as usize) < FEW;
        let left = count - index;
        let ends = dpm.euler_at_final || few || training.sigmas.last == Last::Zero;
        let first = left == 1 && ends;
        let order = usize::from(dpm.solver_order).clamp(1, 3).min(index + 1);
        let order = match order {
            _ if first => 1,
            3 if left == 2 && few => 2,
            order => order,
        };
        let picture = levels[index].picture(training.prediction_type);
        let earlier = |i| Sum::of(Register::Kept(i));
        let pictures = [picture, earlier(0), earlier(1)];
        let latents = step(&levels, index, order, dpm, pictures);
        Evaluation::new(timestep, latents, picture)
            .at_level(levels[index].alpha, levels[index].sigma)
            .keeping(match dpm.solver_order {
                0 | 1 => Vec::new(),
                2 => vec![(0, picture)],
                _ => vec![(1, earlier(0)), (0, picture)],
            })
    };
    Program::of_single(1.0, timesteps.iter().enumerate().map(evaluation))
}

/// A step of DPM-Solver++ from one level to another.
pub(super) struct Step {
    pub from: Level,
    pub to: Level,
    pub noise: bool,
    /// How far λ goes.
    pub h: f64,
    /// `-h`, or `-2h` with noise.
    pub grown: f64,
    /// `exp(grown) - 1`.
    pub fallen: f64,
}

impl Step {
    pub fn new(from: Level, to: Level, noise: bool) -> Self {
        let h = to.lambda - from.lambda;
        let grown = if noise { -2.0 * h } else { -h };
        Self {
            from,
            to,
            noise,
            h,
            grown,
            fallen: libm::expm1(grown),
        }
    }

    /// From the sample `x` by the picture `m` alone, with the step's noise.
    pub fn first_order(&self, x: Sum, m: Sum) -> Sum {
        let Self { from, to, .. } = self;
        let (decay, drawn) = if self.noise {
            let drawn = to.sigma * (-self.fallen).max(0.0).sqrt();
            (libm::exp(-self.h), drawn)
        } else {
            (1.0, 0.0)
        };
        x * (to.sigma / from.sigma * decay) - m * (to.alpha * self.fallen)
            + Sum::of(Register::Noise) * drawn
    }

    /// What stands at the derivative of the picture by λ, times h.
    pub fn slope(&self) -> f64 {
        self.to.alpha * (self.fallen / -self.grown + 1.0)
    }
}

/// The latents after a step of `order` by the pictures `m`, the newest first.
fn step(levels: &[Level], index: usize, order: usize, dpm: Dpm, m: [Sum; 3]) -> Sum {
    let (from, to) = (levels[index], levels[index + 1]);
    let start = Step::new(from, to, dpm.algorithm_type == Algorithm::Noise);
    let Step {
        noise,
        h,
        grown,
        fallen,
        ..
    } = start;
    let base = start.first_order(Sum::of(LATENTS), m[0]);
    if order == 1 {
        return base;
    }
    let before = |steps: usize| from_before(levels, index, steps) / h;
    let r0 = before(0);
    let d1_0 = (m[0] - m[1]) / r0;
    // What stands at the derivatives of the picture by λ, times h to their order.
    let heun = start.slope();
    if order == 2 {
        return match dpm.solver_type {
            Solver::Midpoint => base - d1_0 * (0.5 * to.alpha * fallen),
            Solver::Heun => base + d1_0 * heun,
        };
    }
    let r1 = before(1);
    let d1_1 = (m[1] - m[2]) / r1;
    let d1 = d1_0 + (d1_0 - d1_1) * (r0 / (r0 + r1));
    let d2 = (d1_0 - d1_1) / (r0 + r1);
    let bend = (fallen - grown) / (grown * grown);
    let curve = if noise { -bend - 0.5 } else { 0.5 - bend };
    base + d1 * heun + d2 * (to.alpha * curve)
}

/// How far λ went `steps` steps before the one at `index`.
fn from_before(levels: &[Level], index: usize, steps: usize) -> f64 {
    levels[index - steps].lambda - levels[index - steps - 1].lambda
}
