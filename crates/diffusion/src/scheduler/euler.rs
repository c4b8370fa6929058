//! Euler steps in σ, the ratio of noise to picture: the latents are `x₀ + σ ε`.

use super::training::{Prediction, Spacing, TrainingSchedule};
use super::{Schedule, ScheduledStep};

pub(super) fn schedule(training: &TrainingSchedule, steps: u32) -> Schedule {
    let sigmas: Vec<f64> = training
        .alphas_cumprod()
        .into_iter()
        .map(|a| ((1.0 - a) / a).sqrt())
        .collect();
    let timesteps = training
        .whole_timesteps(steps)
        .unwrap_or_else(|| training.linspace(steps).collect());
    let mut levels: Vec<f64> = timesteps.iter().map(|&t| interpolate(&sigmas, t)).collect();
    levels.push(0.0);
    let step = |(index, &timestep): (usize, &f64)| {
        let (sigma, next) = (levels[index], levels[index + 1]);
        let whole = sigma * sigma + 1.0;
        // What the answer m says of the picture, as (share of x, share of m).
        let picture = match training.prediction_type {
            Prediction::Epsilon => (1.0, -sigma),
            Prediction::VPrediction => (1.0 / whole, -sigma / whole.sqrt()),
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

fn interpolate(values: &[f64], at: f64) -> f64 {
    let low = (at as usize).min(values.len() - 1);
    let high = (low + 1).min(values.len() - 1);
    values[low] + (at - low as f64) * (values[high] - values[low])
}
