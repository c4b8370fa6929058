//! Second order steps in σ, two evaluations each but the last: register 0 is the first derivative, 1 the sample before it.

use super::super::Wanted;
use super::super::levels::{Levels, levels};
use super::super::program::{Evaluation, Program, Register, Sum};
use super::super::training::TrainingSchedule;
use super::{LATENTS, clipped, picture_of_sigma};

pub(super) fn program(training: &TrainingSchedule, wanted: Wanted) -> Program {
    let Levels {
        timesteps,
        sigmas,
        initial_scale,
    } = levels(training, wanted);
    let scale = |sigma: f64| 1.0 / (sigma * sigma + 1.0).sqrt();
    let x = Sum::of(LATENTS);
    let step = |(index, &timestep): (usize, &f64)| {
        let (sigma, next) = (sigmas[index], sigmas[index + 1]);
        let to = next - sigma;
        let (picture, clamped) = clipped(training, picture_of_sigma(training, sigma));
        let derivative = (x - picture) / sigma;
        let first = Evaluation::new(timestep, x + derivative * to, picture)
            .at_level(1.0, sigma)
            .clamping(clamped)
            .scaled(scale(sigma));
        let Some(&timestep) = timesteps.get(index + 1) else {
            return vec![first];
        };
        let (picture, clamped) = clipped(training, picture_of_sigma(training, next));
        let mean = (Sum::of(Register::Kept(0)) + (x - picture) / next) / 2.0;
        let latents = Sum::of(Register::Kept(1)) + mean * to;
        let second = Evaluation::new(timestep, latents, picture)
            .at_level(1.0, next)
            .clamping(clamped)
            .scaled(scale(next));
        vec![first.keeping(vec![(0, derivative), (1, x)]), second]
    };
    Program::new(
        initial_scale,
        timesteps.iter().enumerate().map(step).collect(),
    )
}
