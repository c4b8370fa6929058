//! Levels of noise and timesteps of the solvers in λ.

use super::super::levels;
use super::super::sigmas::{Last, Spread};
use super::super::training::{BetaSchedule, Spacing, TrainingSchedule};

/// A level of noise: σ of `x₀ + σ ε`, shares of picture and noise in the latents, and half the logarithm of their ratio.
#[derive(Clone, Copy)]
pub(super) struct Level {
    pub alpha: f64,
    pub sigma: f64,
    pub lambda: f64,
}

impl Level {
    pub fn of(ratio: f64) -> Self {
        let alpha = 1.0 / (ratio * ratio + 1.0).sqrt();
        let sigma = ratio * alpha;
        Self {
            alpha,
            sigma,
            lambda: libm::log(alpha) - libm::log(sigma),
        }
    }
}

/// Timesteps and σ, the last one's end included.
pub(super) fn schedule(training: &TrainingSchedule, steps: u32) -> (Vec<f64>, Vec<f64>) {
    let trained = levels::trained(training);
    let n = training.num_train_timesteps;
    let (mut timesteps, mut ratios) = (Vec::new(), Vec::new());
    let ends = trained.last().copied().zip(trained.first().copied());
    let spread = ends.and_then(|(max, min)| training.sigmas.spread(max, min, steps));
    if let Some(spread) = spread {
        let rounds = training.sigmas.spread == Spread::Karras
            && training.beta_schedule != BetaSchedule::SquaredcosCapV2;
        for sigma in spread {
            let t = levels::timestep(&trained, sigma);
            timesteps.push(if rounds {
                t.round_ties_even()
            } else {
                t.trunc()
            });
            ratios.push(sigma);
        }
    } else {
        timesteps = match training.timestep_spacing {
            Spacing::Linspace => (1..=steps)
                .rev()
                .map(|i| (f64::from(n - 1) * f64::from(i) / f64::from(steps)).round_ties_even())
                .collect(),
            Spacing::Leading => (1..=steps)
                .rev()
                .map(|i| f64::from(i * (n / (steps + 1)) + training.steps_offset))
                .collect(),
            Spacing::Trailing => training.rounded_timesteps(steps),
        };
        ratios = timesteps
            .iter()
            .map(|&t| levels::interpolate(&trained, t))
            .collect();
    }
    ratios.push(match training.sigmas.last {
        Last::Zero => 0.0,
        Last::SigmaMin => trained.first().copied().unwrap_or_default(),
    });
    (timesteps, ratios)
}
