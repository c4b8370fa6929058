//! Models that were distilled to go to the picture at once: latent consistency models and trajectory consistency.

use super::super::Wanted;
use super::super::program::{Evaluation, Program, Register, Sum};
use super::super::training::TrainingSchedule;
use super::{LATENTS, clipped, noise_of_alpha, picture_of_alpha};

/// Deviation of the pictures that the boundary condition goes by.
const SIGMA_DATA: f64 = 0.5;

/// The timesteps of a picture: of `original` steps of the distillation every so-manieth, from the last on.
fn timesteps(training: &TrainingSchedule, original: u32, wanted: Wanted) -> Vec<u32> {
    let steps = wanted.steps;
    let stride = training.num_train_timesteps / original.max(1);
    let last_to_first = |place: u32| (original - place) * stride - 1;
    let place = |i: u32| (f64::from(i) * (f64::from(original) / f64::from(steps))) as u32;
    (wanted.skip..steps)
        .map(|i| last_to_first(place(i)))
        .collect()
}

fn shares(alphas: &[f64], timestep: u32) -> [f64; 2] {
    let alpha = alphas[timestep as usize];
    [alpha.sqrt(), (1.0 - alpha).sqrt()]
}

/// Latent consistency (Luo et al., arXiv:2310.04378): to the picture, and noise back up to the next level.
pub(super) fn lcm(
    training: &TrainingSchedule,
    original: u32,
    timestep_scaling: f64,
    wanted: Wanted,
) -> Program {
    let alphas = training.alphas_cumprod();
    let timesteps = timesteps(training, original, wanted);
    let evaluation = |(index, &timestep): (usize, &u32)| {
        let picture = picture_of_alpha(training, alphas[timestep as usize]);
        let (picture, clamped) = clipped(training, picture);
        let scaled = f64::from(timestep) * timestep_scaling;
        let whole = scaled * scaled + SIGMA_DATA * SIGMA_DATA;
        let denoised = picture * (scaled / whole.sqrt())
            + Sum::of(LATENTS) * (SIGMA_DATA * SIGMA_DATA / whole);
        let latents = timesteps.get(index + 1).map_or(denoised, |&next| {
            let alpha = alphas[next as usize];
            denoised * alpha.sqrt() + Sum::of(Register::Noise) * (1.0 - alpha).sqrt()
        });
        let [picture, noise] = shares(&alphas, timestep);
        Evaluation::new(f64::from(timestep), latents, denoised)
            .at_level(picture, noise)
            .clamping(clamped)
    };
    Program::of_single(1.0, timesteps.iter().enumerate().map(evaluation))
}

/// Trajectory consistency (Zheng et al., arXiv:2402.19159): along the trajectory to below the next level, and noise back up
/// to it; `eta` is how far below.
pub(super) fn tcd(training: &TrainingSchedule, original: u32, eta: f64, wanted: Wanted) -> Program {
    let alphas = training.alphas_cumprod();
    let timesteps = timesteps(training, original, wanted);
    let evaluation = |(index, &timestep): (usize, &u32)| {
        let alpha = alphas[timestep as usize];
        let following = timesteps.get(index + 1);
        let next = following.copied().unwrap_or_default();
        let below = alphas[((1.0 - eta) as f32 * next as f32) as usize];
        let picture = picture_of_alpha(training, alpha);
        let noised =
            picture * below.sqrt() + noise_of_alpha(training, alpha) * (1.0 - below).sqrt();
        let ratio = alphas[next as usize] / below;
        let draws = following.is_some() && eta > 0.0;
        let latents =
            noised * ratio.sqrt() + Sum::of(Register::Noise) * (1.0 - ratio).max(0.0).sqrt();
        let latents = if draws { latents } else { noised };
        let [share, noise] = shares(&alphas, timestep);
        Evaluation::new(f64::from(timestep), latents, picture).at_level(share, noise)
    };
    Program::of_single(1.0, timesteps.iter().enumerate().map(evaluation))
}
