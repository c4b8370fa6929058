//! Levels of noise of the samplers in σ, the ratio of noise to picture: the latents are `x₀ + σ ε`.

use super::Wanted;
use super::sigmas::{Interpolation, Last, Time};
use super::training::{Prediction, Spacing, TrainingSchedule};

/// ᾱ of the last timestep where the training ends without any picture: σ is finite.
const LEAST_ALPHA: f64 = 1.0 / (1 << 24) as f64;

/// The times of a picture's steps and its levels of noise.
pub(super) struct Levels {
    /// What the denoiser is told at the beginning of each step.
    pub timesteps: Vec<f64>,
    /// σ at the beginning of each step, and where the last one ends.
    pub sigmas: Vec<f64>,
    /// What the noise of variance 1 is multiplied with at first.
    pub initial_scale: f64,
}

pub(super) fn levels(training: &TrainingSchedule, wanted: Wanted) -> Levels {
    let steps = wanted.steps;
    let trained = trained(training);
    let mut timesteps = training
        .whole_timesteps(steps)
        .unwrap_or_else(|| training.linspace(steps).collect());
    let ends = |levels: &[f64]| {
        let largest = levels.first().copied().unwrap_or_default();
        (largest, levels.last().copied().unwrap_or_default())
    };
    let mut sigmas: Vec<f64> = match training.sigmas.interpolation {
        Interpolation::Linear => timesteps
            .iter()
            .map(|&t| interpolate(&trained, t))
            .collect(),
        Interpolation::LogLinear => {
            let (smallest, largest) = ends(&trained);
            let (from, to) = (libm::log(largest), libm::log(smallest));
            let part = |i: u32| f64::from(i) / f64::from(steps);
            (0..=steps)
                .map(|i| libm::exp(from + part(i) * (to - from)))
                .collect()
        }
    };
    let (largest, smallest) = ends(&sigmas);
    if let Some(spread) = training.sigmas.spread(largest, smallest, steps) {
        sigmas = spread;
        timesteps = sigmas
            .iter()
            .map(|&sigma| timestep(&trained, sigma))
            .collect();
    }
    let continuous = training.sigmas.time == Time::Continuous
        && training.prediction_type == Prediction::VPrediction;
    if continuous {
        timesteps = sigmas
            .iter()
            .map(|&sigma| 0.25 * libm::log(sigma))
            .collect();
        timesteps.truncate(steps as usize);
    }
    sigmas.push(match training.sigmas.last {
        Last::Zero => 0.0,
        Last::SigmaMin => ends(&trained).0,
    });
    let sigmas: Vec<f64> = sigmas.into_iter().map(single).collect();
    let largest = sigmas[0];
    Levels {
        timesteps: wanted.rest(timesteps),
        sigmas: wanted.rest(sigmas),
        initial_scale: match training.timestep_spacing {
            Spacing::Leading => (largest * largest + 1.0).sqrt(),
            Spacing::Trailing | Spacing::Linspace => largest,
        },
    }
}

/// As diffusers keeps it.
pub(super) fn single(x: f64) -> f64 {
    f64::from(x as f32)
}

/// σ of every timestep of the training, in single precision as diffusers computes it.
pub(super) fn trained(training: &TrainingSchedule) -> Vec<f64> {
    let mut alphas = training.alphas_cumprod();
    if let Some(last) = alphas
        .last_mut()
        .filter(|_| training.rescale_betas_zero_snr)
    {
        *last = LEAST_ALPHA;
    }
    let sigma = |a: f64| f64::from(((1.0 - a as f32) / a as f32).sqrt());
    alphas.into_iter().map(sigma).collect()
}

pub(super) fn interpolate(values: &[f64], at: f64) -> f64 {
    let low = (at as usize).min(values.len() - 1);
    let high = (low + 1).min(values.len() - 1);
    values[low] + (at - low as f64) * (values[high] - values[low])
}

/// The timestep of a level, between whole ones evenly in log σ. The logarithms of the training's levels have single precision,
/// which decides where the result is rounded to a whole number next.
pub(super) fn timestep(sigmas: &[f64], sigma: f64) -> f64 {
    let log = |i: usize| single(libm::log(sigmas[i]));
    let at = libm::log(sigma.max(1e-10));
    let below = (0..sigmas.len()).take_while(|&i| log(i) <= at).count();
    let low = below.saturating_sub(1).min(sigmas.len() - 2);
    let (from, to) = (log(low), log(low + 1));
    let part = ((from - at) / (from - to)).clamp(0.0, 1.0);
    (1.0 - part) * low as f64 + part * (low + 1) as f64
}
