//! Ancestral steps of the training's own process.

use serde::{Deserialize, Serialize};

use super::super::Wanted;
use super::super::program::{Evaluation, Program, Register, Sum};
use super::super::training::TrainingSchedule;
use super::{LATENTS, clipped, picture_of_alpha};

/// Least variance.
const LEAST: f64 = 1e-20;

/// How much noise a step adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variance {
    /// That of the posterior where the data are one point.
    FixedSmall,
    /// The same; what is added is as large as the variance's root.
    FixedSmallLog,
    /// β.
    FixedLarge,
}

pub(super) fn program(training: &TrainingSchedule, variance: Variance, wanted: Wanted) -> Program {
    let alphas = training.alphas_cumprod();
    let timesteps = wanted.rest(training.rounded_timesteps(wanted.steps));
    let evaluation = |(index, &timestep): (usize, &f64)| {
        let bar = alphas[timestep as usize];
        let before = timesteps
            .get(index + 1)
            .map_or(1.0, |&next| alphas[next as usize]);
        let alpha = bar / before;
        let beta = 1.0 - alpha;
        let (picture, clamped) = clipped(training, picture_of_alpha(training, bar));
        let mean = picture * (before.sqrt() * beta / (1.0 - bar))
            + Sum::of(LATENTS) * (alpha.sqrt() * (1.0 - before) / (1.0 - bar));
        let variance = match variance {
            Variance::FixedSmall | Variance::FixedSmallLog => {
                ((1.0 - before) / (1.0 - bar) * beta).max(LEAST)
            }
            Variance::FixedLarge => beta,
        };
        let drawn = if timestep > 0.0 { variance.sqrt() } else { 0.0 };
        let latents = mean + Sum::of(Register::Noise) * drawn;
        Evaluation::new(timestep, latents, picture)
            .at_level(bar.sqrt(), (1.0 - bar).sqrt())
            .clamping(clamped)
    };
    Program::of_single(1.0, timesteps.iter().enumerate().map(evaluation))
}
