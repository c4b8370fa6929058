//! Euler steps in σ, the ratio of noise to picture: the latents are `x₀ + σ ε`.

use super::sigmas::{Interpolation, Last, Time};
use super::training::{Prediction, Spacing, TrainingSchedule};
use super::{Schedule, ScheduledStep};

/// ᾱ of the last timestep where the training ends without any picture: σ is finite.
const LEAST_ALPHA: f64 = 1.0 / (1 << 24) as f64;

pub(super) fn schedule(training: &TrainingSchedule, steps: u32) -> Schedule {
    let sigmas = trained(training);
    let mut timesteps = training
        .whole_timesteps(steps)
        .unwrap_or_else(|| training.linspace(steps).collect());
    let ends = |levels: &[f64]| {
        let largest = levels.first().copied().unwrap_or_default();
        (largest, levels.last().copied().unwrap_or_default())
    };
    let mut levels: Vec<f64> = match training.sigmas.interpolation {
        Interpolation::Linear => timesteps.iter().map(|&t| interpolate(&sigmas, t)).collect(),
        Interpolation::LogLinear => {
            let (smallest, largest) = ends(&sigmas);
            let (from, to) = (libm::log(largest), libm::log(smallest));
            let part = |i: u32| f64::from(i) / f64::from(steps);
            (0..=steps)
                .map(|i| libm::exp(from + part(i) * (to - from)))
                .collect()
        }
    };
    let (largest, smallest) = ends(&levels);
    if let Some(spread) = training.sigmas.spread(largest, smallest, steps) {
        levels = spread;
        timesteps = levels
            .iter()
            .map(|&sigma| timestep(&sigmas, sigma))
            .collect();
    }
    let continuous = training.sigmas.time == Time::Continuous
        && training.prediction_type == Prediction::VPrediction;
    if continuous {
        timesteps = levels
            .iter()
            .map(|&sigma| 0.25 * libm::log(sigma))
            .collect();
        timesteps.truncate(steps as usize);
    }
    levels.push(match training.sigmas.last {
        Last::Zero => 0.0,
        Last::SigmaMin => ends(&sigmas).0,
    });
    let step = |(index, &timestep): (usize, &f64)| {
        let (sigma, next) = (levels[index], levels[index + 1]);
        let whole = sigma * sigma + 1.0;
        // What the answer m says of the picture, as (share of x, share of m).
        let picture = match training.prediction_type {
            Prediction::Epsilon => (1.0, -sigma),
            Prediction::VPrediction => (1.0 / whole, -sigma / whole.sqrt()),
            Prediction::Sample => (0.0, 1.0),
        };
        let ratio = next / sigma;
        ScheduledStep {
            timestep: timestep as f32,
            input_scale: (1.0 / whole.sqrt()) as f32,
            // x + (next - sigma) (x - picture) / sigma
            keep: (ratio + (1.0 - ratio) * picture.0) as f32,
            gain: ((1.0 - ratio) * picture.1) as f32,
            denoised: (picture.0 as f32, picture.1 as f32),
        }
    };
    let largest = levels[0];
    Schedule {
        initial_scale: match training.timestep_spacing {
            Spacing::Leading => (largest * largest + 1.0).sqrt() as f32,
            Spacing::Trailing | Spacing::Linspace => largest as f32,
        },
        steps: timesteps.iter().enumerate().map(step).collect(),
    }
}

/// σ of every timestep of the training.
pub(super) fn trained(training: &TrainingSchedule) -> Vec<f64> {
    let mut alphas = training.alphas_cumprod();
    if let Some(last) = alphas
        .last_mut()
        .filter(|_| training.rescale_betas_zero_snr)
    {
        *last = LEAST_ALPHA;
    }
    alphas.into_iter().map(|a| ((1.0 - a) / a).sqrt()).collect()
}

fn interpolate(values: &[f64], at: f64) -> f64 {
    let low = (at as usize).min(values.len() - 1);
    let high = (low + 1).min(values.len() - 1);
    values[low] + (at - low as f64) * (values[high] - values[low])
}

/// The timestep of a level, between whole ones evenly in log σ.
fn timestep(sigmas: &[f64], sigma: f64) -> f64 {
    let at = sigmas.partition_point(|&level| level <= sigma);
    let low = at.saturating_sub(1).min(sigmas.len() - 2);
    let [from, to] = [low, low + 1].map(|i| libm::log(sigmas[i]));
    let part = ((libm::log(sigma) - from) / (to - from)).clamp(0.0, 1.0);
    low as f64 + part
}
