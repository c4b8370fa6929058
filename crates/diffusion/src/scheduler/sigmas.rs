//! Noise levels of the steps, in the words of diffusers' `scheduler_config.json`.

use serde::{Deserialize, Serialize};

/// How the noise levels σ of the steps are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sigmas {
    /// How they are spread.
    #[serde(skip_serializing_if = "is_default")]
    pub spread: Spread,
    /// `interpolation_type`: how levels come from the training's.
    #[serde(skip_serializing_if = "is_default")]
    pub interpolation: Interpolation,
    /// `final_sigmas_type`: where the last step ends.
    #[serde(skip_serializing_if = "is_default")]
    pub last: Last,
    /// `sigma_min`: the smallest of spread levels, in place of the last timestep's.
    #[serde(skip_serializing_if = "is_default")]
    pub min: Option<f64>,
    /// `sigma_max`: the largest of spread levels, in place of the first timestep's.
    #[serde(skip_serializing_if = "is_default")]
    pub max: Option<f64>,
    /// `timestep_type`: what the denoiser is told of the time.
    #[serde(skip_serializing_if = "is_default")]
    pub time: Time,
    /// `lambda_min_clipped`: solvers in λ leave timesteps below it out.
    #[serde(skip_serializing_if = "is_default")]
    pub lambda_min: Option<f64>,
    /// `use_flow_sigmas` and `flow_shift`: the levels are those of a flow, whatever the training's are, moved towards noise
    /// by this factor.
    #[serde(skip_serializing_if = "is_default")]
    pub flow_shift: Option<f64>,
}

/// How levels are spread between the largest and the smallest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// They are the timesteps'.
    #[default]
    Trained,
    /// Evenly in σ^(1/7) (Karras et al., arXiv:2206.00364, equation 5).
    Karras,
    /// Evenly in log σ.
    Exponential,
    /// Evenly in log σ, at whole timesteps (Lu et al., arXiv:2206.00927, with ρ = 1).
    Lu,
    /// By quantiles of the beta distribution with α = β = 0.6 (Lee et al., arXiv:2407.12173).
    Beta,
}

/// How levels come from the training's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Evenly between those of the neighbouring timesteps.
    #[default]
    Linear,
    /// Evenly in log σ from the training's largest to its smallest, where the last step ends.
    LogLinear,
}

/// Where the last step ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Last {
    /// At no noise.
    #[default]
    Zero,
    /// At the level of the training's first timestep.
    SigmaMin,
}

/// What the denoiser is told of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Time {
    /// The training's timestep.
    #[default]
    Discrete,
    /// `log σ / 4`, for denoisers that answer with the velocity.
    Continuous,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Sigmas {
    pub(super) fn is_default(&self) -> bool {
        is_default(self)
    }

    pub(super) fn fault(&self) -> Option<&'static str> {
        let level = |value: Option<f64>| value.is_none_or(|x| x.is_finite() && x > 0.0);
        let falls = self.min.zip(self.max).is_none_or(|(min, max)| min < max);
        if !level(self.flow_shift) {
            Some("flow_shift is not above 0")
        } else if !level(self.min) || !level(self.max) {
            Some("sigma_min and sigma_max are not above 0")
        } else if !falls {
            Some("sigma_min is not below sigma_max")
        } else {
            None
        }
    }

    /// `steps` levels from `largest` to `smallest`; nothing where they are the timesteps'.
    pub(super) fn spread(&self, largest: f64, smallest: f64, steps: u32) -> Option<Vec<f64>> {
        let (max, min) = (self.max.unwrap_or(largest), self.min.unwrap_or(smallest));
        let part = |i: u32| f64::from(i) / f64::from(steps.max(2) - 1);
        let level: Box<dyn Fn(u32) -> f64> = match self.spread {
            Spread::Trained => return None,
            Spread::Karras => {
                let root = |sigma: f64| libm::pow(sigma, 1.0 / 7.0);
                let (from, to) = (root(max), root(min));
                Box::new(move |i| (from + part(i) * (to - from)).powi(7))
            }
            Spread::Exponential | Spread::Lu => {
                let (from, to) = (libm::log(max), libm::log(min));
                Box::new(move |i| libm::exp(from + part(i) * (to - from)))
            }
            Spread::Beta => Box::new(move |i| min + beta_quantile(1.0 - part(i)) * (max - min)),
        };
        Some((0..steps).map(level).collect())
    }
}

/// Parameters of the beta distribution.
const BETA: f64 = 0.6;

/// Quantile of the beta distribution with both parameters [`BETA`], by halving: the distribution is known, see [`beta`].
fn beta_quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if beta(middle) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The distribution function, symmetric about a half; below it by the series
/// `x^a / B(a, b) Σ (1 - b) … (n - b) / n! · x^n / (a + n)` from n = 0 on (DLMF 8.17.7).
fn beta(x: f64) -> f64 {
    if x > 0.5 {
        return 1.0 - beta(1.0 - x);
    }
    let whole = libm::exp(2.0 * libm::lgamma(BETA) - libm::lgamma(2.0 * BETA));
    let (mut term, mut sum) = (1.0, 1.0 / BETA);
    for n in 1..200 {
        let n = f64::from(n);
        term *= (n - BETA) * x / n;
        sum += term / (BETA + n);
    }
    libm::pow(x, BETA) * sum / whole
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.beta.ppf(p, 0.6, 0.6)` of SciPy 1.17.1.
    #[test]
    fn quantiles_are_those_of_scipy() {
        for (probability, expected) in QUANTILES {
            let ours = beta_quantile(probability);
            assert!(
                (ours - expected).abs() < 1e-12,
                "{probability}: {ours}, SciPy {expected}"
            );
        }
    }

    const QUANTILES: [(f64, f64); 6] = [
        (0.0, 0.0),
        (0.001, 1.855873851745199e-05),
        (0.1, 0.03958440558878085),
        (0.5, 0.5000000000000001),
        (0.77, 0.8461624142323502),
        (1.0, 1.0),
    ];
}
