//! DDIM without noise.

use super::training::{Prediction, TrainingSchedule};
use super::{Schedule, ScheduledStep};

pub(super) fn schedule(training: &TrainingSchedule, steps: u32) -> Schedule {
    let alphas = training.alphas_cumprod();
    let last = if training.set_alpha_to_one {
        1.0
    } else {
        alphas[0]
    };
    let timesteps = training
        .whole_timesteps(steps)
        .unwrap_or_else(|| training.linspace(steps).map(f64::round_ties_even).collect());
    let stride = f64::from(training.num_train_timesteps / steps);
    let step = |timestep: f64| {
        let a = alphas[timestep as usize];
        let before = timestep - stride;
        let next = if before < 0.0 {
            last
        } else {
            alphas[before as usize]
        };
        let (signal, noise) = (a.sqrt(), (1.0 - a).sqrt());
        // What the answer m says of the picture and of the noise, each as (share of x, share of m).
        let (picture, direction) = match training.prediction_type {
            Prediction::Epsilon => ((1.0 / signal, -noise / signal), (0.0, 1.0)),
            Prediction::VPrediction => ((signal, -noise), (noise, signal)),
            Prediction::Sample => ((0.0, 1.0), (1.0 / noise, -signal / noise)),
        };
        let (to_picture, to_noise) = (next.sqrt(), (1.0 - next).sqrt());
        ScheduledStep {
            timestep: timestep as f32,
            input_scale: 1.0,
            keep: (to_picture * picture.0 + to_noise * direction.0) as f32,
            gain: (to_picture * picture.1 + to_noise * direction.1) as f32,
            denoised: (picture.0 as f32, picture.1 as f32),
        }
    };
    Schedule {
        initial_scale: 1.0,
        steps: timesteps.into_iter().map(step).collect(),
    }
}
