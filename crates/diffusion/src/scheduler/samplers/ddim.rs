//! Denoising diffusion implicit models.

use super::super::Wanted;
use super::super::program::{Evaluation, Program, Register, Sum};
use super::super::training::TrainingSchedule;
use super::{clipped, noise_of_alpha, picture_of_alpha};

/// With the share `eta` of the noise that DDPM adds.
pub(super) fn program(training: &TrainingSchedule, eta: f64, wanted: Wanted) -> Program {
    let alphas = training.alphas_cumprod();
    let last = if training.set_alpha_to_one {
        1.0
    } else {
        alphas[0]
    };
    let stride = f64::from(training.num_train_timesteps / wanted.steps);
    let evaluation = |timestep: f64| {
        let alpha = alphas[timestep as usize];
        let before = timestep - stride;
        let next = if before < 0.0 {
            last
        } else {
            alphas[before as usize]
        };
        let variance = (1.0 - next) / (1.0 - alpha) * (1.0 - alpha / next);
        let drawn = eta * variance.max(0.0).sqrt();
        let (picture, clamped) = clipped(training, picture_of_alpha(training, alpha));
        let towards = (1.0 - next - drawn * drawn).max(0.0).sqrt();
        let latents = picture * next.sqrt()
            + noise_of_alpha(training, alpha) * towards
            + Sum::of(Register::Noise) * drawn;
        Evaluation::new(timestep, latents, picture)
            .at_level(alpha.sqrt(), (1.0 - alpha).sqrt())
            .clamping(clamped)
    };
    let timesteps = wanted.rest(training.rounded_timesteps(wanted.steps));
    Program::of_single(1.0, timesteps.into_iter().map(evaluation))
}
