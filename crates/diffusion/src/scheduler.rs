//! How the denoiser's answers are turned into steps.

use serde::Deserialize;

/// Schedulers that a manifest can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SchedulerKind {
    /// Euler steps through a rectified flow, see [`FlowMatchEuler`].
    #[serde(rename = "flow-match-euler")]
    FlowMatchEuler,
}

impl SchedulerKind {
    /// The manifest's name of the scheduler.
    pub fn name(self) -> &'static str {
        match self {
            Self::FlowMatchEuler => "flow-match-euler",
        }
    }
}

/// Euler integration of a rectified flow (Liu, Gong, Liu, arXiv:2209.03003) from noise at t = 1 to data at
/// t = 0 in equal steps: `x += (t_next - t) v(x, t)`.
#[derive(Clone, Debug)]
pub struct FlowMatchEuler {
    steps: u32,
}

impl FlowMatchEuler {
    /// A schedule of `num_inference_steps` equal steps, at least one.
    pub fn new(num_inference_steps: u32) -> Self {
        Self {
            steps: num_inference_steps.max(1),
        }
    }

    /// Time at which step `index` starts; 1 for the first, 0 after the last.
    pub fn timestep(&self, index: u32) -> f32 {
        (1.0 - f64::from(index) / f64::from(self.steps)) as f32
    }

    /// Moves `latents` through step `index` along `velocity`.
    pub fn step(&self, index: u32, latents: &mut [f32], velocity: &[f32]) {
        let dt = self.timestep(index + 1) - self.timestep(index);
        for (x, v) in latents.iter_mut().zip(velocity) {
            *x += dt * v;
        }
    }
}

/// Classifier-free guidance (Ho & Salimans, arXiv:2207.12598): `u + scale (c - u)` of a conditional answer `c`
/// and an unconditional one `u`, elementwise.
pub fn guide(conditional: &[f32], unconditional: &[f32], guidance_scale: f32) -> Vec<f32> {
    conditional
        .iter()
        .zip(unconditional)
        .map(|(c, u)| u + guidance_scale * (c - u))
        .collect()
}
