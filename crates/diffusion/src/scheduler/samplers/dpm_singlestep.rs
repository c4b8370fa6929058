//! DPM-Solver++ in groups of steps of growing order: registers 0 and 1 are earlier pictures, the newest first; 2 is the sample
//! that the group started from.

use super::super::Wanted;
use super::super::program::{Evaluation, Program, Register, Sum};
use super::super::sigmas::Last;
use super::super::training::TrainingSchedule;
use super::LATENTS;
use super::dpm::{Algorithm, Solver, Step};
use super::lambda::{Class, Level, schedule};
use serde::{Deserialize, Serialize};

const STARTED: usize = 2;

/// Settings of the solver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpmSinglestep {
    /// Steps of a group, 1 to 3.
    pub solver_order: u8,
    /// With noise or without.
    pub algorithm_type: Algorithm,
    /// How orders beyond the first are reckoned.
    pub solver_type: Solver,
    /// Whether the steps end in lower orders where they do not make whole groups.
    pub lower_order_final: bool,
}

pub(super) fn program(training: &TrainingSchedule, dpm: DpmSinglestep, wanted: Wanted) -> Program {
    let (timesteps, levels) = schedule(training, Class::DpmSinglestep, wanted);
    let skip = wanted.skip as usize;
    let orders = orders(training, dpm, timesteps.len() + skip);
    let earlier = |i| Sum::of(Register::Kept(i));
    let noise = dpm.algorithm_type == Algorithm::Noise;
    let evaluation = |(index, &timestep): (usize, &f64)| {
        let order = orders
            .get(index + skip)
            .copied()
            .unwrap_or(1)
            .min(index + 1);
        let picture = levels[index].picture(training.prediction_type);
        let start = if order == 1 {
            Sum::of(LATENTS)
        } else {
            earlier(STARTED)
        };
        // The group's levels, its first one first, and the pictures there.
        let group = &levels[index + 1 - order..=index];
        let pictures = match order {
            1 => vec![picture],
            2 => vec![earlier(0), picture],
            _ => vec![earlier(1), earlier(0), picture],
        };
        let step = Step::new(group[0], levels[index + 1], noise);
        let latents =
            step.first_order(start, pictures[0]) + higher(&step, group, &pictures, dpm.solver_type);
        Evaluation::new(timestep, latents, picture)
            .at_level(levels[index].alpha, levels[index].sigma)
            .keeping(vec![(STARTED, start), (1, earlier(0)), (0, picture)])
    };
    Program::of_single(1.0, timesteps.iter().enumerate().map(evaluation))
}

/// What the group's further pictures add.
fn higher(step: &Step, group: &[Level], pictures: &[Sum], solver: Solver) -> Sum {
    let place = |i: usize| (group[i].lambda - group[0].lambda) / step.h;
    let slope = |i: usize| (pictures[i] - pictures[0]) / place(i);
    match (group.len(), solver) {
        (1, _) => Sum::default(),
        (2, Solver::Midpoint) => slope(1) * (-0.5 * step.to.alpha * step.fallen),
        (2, Solver::Heun) => slope(1) * step.slope(),
        (_, Solver::Midpoint) => slope(2) * step.slope(),
        (_, Solver::Heun) => {
            let (near, far) = (place(1), place(2));
            let (first, second) = (slope(1), slope(2));
            let d1 = (first * far - second * near) / (far - near);
            let d2 = (second - first) * (2.0 / (far - near));
            let bend = (step.fallen - step.grown) / (step.grown * step.grown);
            let noisy = (step.grown - step.fallen) / (step.grown * step.grown);
            let curve = if step.noise {
                // As it stands there: not the mirror of the form without noise.
                noisy - 0.5
            } else {
                0.5 - bend
            };
            d1 * step.slope() + d2 * (step.to.alpha * curve)
        }
    }
}

/// The order of each step.
fn orders(training: &TrainingSchedule, dpm: DpmSinglestep, steps: usize) -> Vec<usize> {
    let order = usize::from(dpm.solver_order).clamp(1, 3);
    let to_nothing = training.sigmas.last == Last::Zero;
    let lower = dpm.lower_order_final || !steps.is_multiple_of(order) || to_nothing;
    let mut orders: Vec<usize> = (0..steps).map(|i| i % order + 1).collect();
    if lower {
        let end: &[usize] = match (order, steps % order) {
            (3, 0) => &[1, 2, 1],
            (2, 0) => &[1, 1],
            _ => &[],
        };
        let from = steps.saturating_sub(end.len());
        for (order, lower) in orders[from..].iter_mut().zip(end) {
            *order = *lower;
        }
    }
    if let Some(last) = orders.last_mut().filter(|_| to_nothing) {
        *last = 1;
    }
    orders
}
