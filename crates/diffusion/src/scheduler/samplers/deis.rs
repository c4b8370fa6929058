//! Exponential integrators of the noise, its polynomial in log ρ (Zhang & Chen, arXiv:2204.13902): registers 0 and 1 are
//! earlier noises, the newest first.

use serde::{Deserialize, Serialize};

use super::super::Wanted;
use super::super::program::{Evaluation, Program, Register, Sum};
use super::super::training::TrainingSchedule;
use super::LATENTS;
use super::lambda::{Class, Level, schedule};

/// Fewer steps than this end in lower orders, where that is asked for.
const FEW: usize = 15;

/// Settings of the solver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deis {
    /// Noises that a step goes by, 1 to 3.
    pub solver_order: u8,
    /// Whether a few steps end in lower orders.
    pub lower_order_final: bool,
}

pub(super) fn program(training: &TrainingSchedule, deis: Deis, wanted: Wanted) -> Program {
    let (timesteps, levels) = schedule(training, Class::Deis, wanted);
    let count = timesteps.len();
    let few = deis.lower_order_final && count + (wanted.skip as usize) < FEW;
    let most = usize::from(deis.solver_order).clamp(1, 3);
    let earlier = |i| Sum::of(Register::Kept(i));
    let x = Sum::of(LATENTS);
    let evaluation = |(index, &timestep): (usize, &f64)| {
        let (from, to) = (levels[index], levels[index + 1]);
        let left = count - index;
        let order = match most.min(index + 1) {
            _ if left == 1 && few => 1,
            3 if left == 2 && few => 2,
            order => order,
        };
        let picture = from.picture(training.prediction_type);
        let noise = (x - picture * from.alpha) / from.sigma;
        let noises = [noise, earlier(0), earlier(1)];
        let rho = |level: &Level| level.sigma / level.alpha;
        let known: Vec<f64> = (0..order).map(|i| rho(&levels[index - i])).collect();
        let moved = if order == 1 {
            noise * (rho(&to) - known[0])
        } else {
            (0..order).fold(Sum::default(), |sum, i| {
                let part = integral(&known, i, rho(&to)) - integral(&known, i, known[0]);
                sum + noises[i] * part
            })
        };
        let latents = (x / from.alpha + moved) * to.alpha;
        Evaluation::new(timestep, latents, picture)
            .at_level(from.alpha, from.sigma)
            .keeping(match most {
                1 => Vec::new(),
                2 => vec![(0, noise)],
                _ => vec![(1, earlier(0)), (0, noise)],
            })
    };
    Program::of_single(1.0, timesteps.iter().enumerate().map(evaluation))
}

/// Antiderivative at `t` of the polynomial in log ρ that is 1 at `known[i]` and 0 at the others.
fn integral(known: &[f64], i: usize, t: f64) -> f64 {
    let at = libm::log(t);
    let others: Vec<f64> = (0..known.len())
        .filter(|&other| other != i)
        .map(|other| libm::log(known[other]))
        .collect();
    let scale: f64 = others
        .iter()
        .map(|other| libm::log(known[i]) - other)
        .product();
    match others[..] {
        [c] => t * (at - c - 1.0) / scale,
        [c, d] => t * (at * at - (c + d + 2.0) * at + c * d + c + d + 2.0) / scale,
        _ => t / scale,
    }
}
