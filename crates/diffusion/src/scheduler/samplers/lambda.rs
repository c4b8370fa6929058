//! Levels of noise and timesteps of the solvers in λ.

use super::super::Wanted;
use super::super::levels::{interpolate, single, timestep, trained};
use super::super::program::Sum;
use super::super::sigmas::{Last, Spread};
use super::super::training::{BetaSchedule, Prediction, Spacing, TrainingSchedule};
use super::{ANSWER, LATENTS};

/// A level of noise: shares of picture and noise in the latents, and the logarithm of their ratio.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub alpha: f64,
    pub sigma: f64,
    pub lambda: f64,
}

impl Level {
    fn new(alpha: f64, sigma: f64) -> Self {
        Self {
            alpha,
            sigma,
            lambda: libm::log(alpha) - libm::log(sigma),
        }
    }

    /// The picture that an answer says.
    pub fn picture(&self, prediction: Prediction) -> Sum {
        let (x, m) = (Sum::of(LATENTS), Sum::of(ANSWER));
        match prediction {
            Prediction::Epsilon => (x - m * self.sigma) / self.alpha,
            Prediction::VPrediction => x * self.alpha - m * self.sigma,
            Prediction::Sample => m,
            Prediction::FlowPrediction => x - m * self.sigma,
        }
    }
}

/// How a class differs from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    DpmMultistep,
    DpmSinglestep,
    UniPc,
    Deis,
}

/// Timesteps, and levels with the last one's end.
pub(super) fn schedule(
    training: &TrainingSchedule,
    class: Class,
    wanted: Wanted,
) -> (Vec<f64>, Vec<Level>) {
    let steps = wanted.steps;
    let sigmas = trained(training);
    let n = f64::from(training.num_train_timesteps);
    let (mut timesteps, mut ratios) = (Vec::new(), Vec::new());
    let ends = sigmas.last().copied().zip(sigmas.first().copied());
    let spread = ends.and_then(|(max, min)| training.sigmas.spread(max, min, steps));
    let is_spread = spread.is_some() || training.sigmas.flow_shift.is_some();
    if let Some(shift) = training.sigmas.flow_shift {
        ratios = flow(class, shift, n, steps);
        timesteps = ratios.iter().map(|sigma| (sigma * n).trunc()).collect();
    } else if let Some(spread) = spread {
        let rounds = match training.sigmas.spread {
            Spread::Karras | Spread::Lu => {
                class != Class::DpmMultistep
                    || training.beta_schedule != BetaSchedule::SquaredcosCapV2
            }
            Spread::Trained | Spread::Exponential | Spread::Beta => false,
        };
        for sigma in spread {
            let t = timestep(&sigmas, sigma);
            timesteps.push(if rounds {
                t.round_ties_even()
            } else {
                t.trunc()
            });
            ratios.push(sigma);
        }
    } else {
        timesteps = whole(training, &sigmas, class, steps);
        ratios = timesteps.iter().map(|&t| interpolate(&sigmas, t)).collect();
    }
    let smallest = sigmas.first().copied().unwrap_or_default();
    let end = ratios.last().copied().unwrap_or_default();
    ratios.push(match (class, training.sigmas.last) {
        (Class::Deis, _) if is_spread => end,
        (Class::Deis, _) => smallest,
        (_, Last::Zero) => 0.0,
        (Class::UniPc, Last::SigmaMin) if is_spread => end,
        (_, Last::SigmaMin) => smallest,
    });
    let level = |ratio: f64| {
        let sigma = single(ratio);
        if training.sigmas.flow_shift.is_some() {
            return Level::new(1.0 - sigma, sigma);
        }
        let alpha = 1.0 / (sigma * sigma + 1.0).sqrt();
        Level::new(alpha, sigma * alpha)
    };
    let levels = wanted.rest(ratios).into_iter().map(level).collect();
    (wanted.rest(timesteps), levels)
}

/// Levels of a flow: evenly from noise, which no step begins at quite.
fn flow(class: Class, shift: f64, n: f64, steps: u32) -> Vec<f64> {
    let shifted = |sigma: f64| shift * sigma / (1.0 + (shift - 1.0) * sigma);
    let part = |i: u32| f64::from(i) / f64::from(steps);
    let level = |i: u32| {
        if class != Class::UniPc {
            // From the picture's side: 1 - 1/n is the noisiest.
            return shifted((1.0 - 1.0 / n) * (1.0 - part(i)));
        }
        let sigma = shifted(1.0 + part(i) * (1.0 / n - 1.0));
        if (sigma - 1.0).abs() < LEAST {
            sigma - LEAST
        } else {
            sigma
        }
    };
    (0..steps).map(level).collect()
}

/// How far UniPC keeps from noise alone.
const LEAST: f64 = 1e-6;

/// Whole timesteps of the spacing.
fn whole(training: &TrainingSchedule, sigmas: &[f64], class: Class, steps: u32) -> Vec<f64> {
    let n = training.num_train_timesteps;
    // λ falls with the timestep.
    let lambda = |sigma: &f64| -libm::log(*sigma);
    let least = training.sigmas.lambda_min.unwrap_or(f64::NEG_INFINITY);
    let clipped = sigmas
        .iter()
        .rev()
        .take_while(|sigma| lambda(sigma) < least);
    let n = n - (clipped.count() as u32).min(n - 1);
    let spacing = match class {
        Class::DpmSinglestep => Spacing::Linspace,
        _ => training.timestep_spacing,
    };
    match spacing {
        Spacing::Linspace => (1..=steps)
            .rev()
            .map(|i| (f64::from(n - 1) * f64::from(i) / f64::from(steps)).round_ties_even())
            .collect(),
        Spacing::Leading => (1..=steps)
            .rev()
            .map(|i| f64::from(i * (n / (steps + 1)) + training.steps_offset))
            .collect(),
        Spacing::Trailing => training.rounded_timesteps(steps),
    }
}
