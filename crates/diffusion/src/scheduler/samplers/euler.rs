//! Euler steps in σ, with noise and without.

use super::super::Wanted;
use super::super::levels::{Levels, levels};
use super::super::program::{Evaluation, Program, Register, Sum};
use super::super::training::TrainingSchedule;
use super::{LATENTS, picture_of_sigma};

/// `ancestral`: to a lower level, and noise back up to the next one.
pub(super) fn program(training: &TrainingSchedule, ancestral: bool, wanted: Wanted) -> Program {
    let Levels {
        timesteps,
        sigmas,
        initial_scale,
    } = levels(training, wanted);
    let evaluation = |(index, &timestep): (usize, &f64)| {
        let (from, to) = (sigmas[index], sigmas[index + 1]);
        let up = if ancestral {
            let variance = to * to * (from * from - to * to) / (from * from);
            variance.max(0.0).sqrt()
        } else {
            0.0
        };
        let down = (to * to - up * up).max(0.0).sqrt();
        let x = Sum::of(LATENTS);
        let picture = picture_of_sigma(training, from);
        let ratio = down / from;
        let latents = x * ratio + picture * (1.0 - ratio) + Sum::of(Register::Noise) * up;
        Evaluation::new(timestep, latents, picture)
            .at_level(1.0, from)
            .scaled(1.0 / (from * from + 1.0).sqrt())
    };
    Program::of_single(initial_scale, timesteps.iter().enumerate().map(evaluation))
}
