//! Rectified flow.

use super::Wanted;
use super::program::{Evaluation, Program, Register, Sum};

pub(super) fn program(wanted: Wanted) -> Program {
    let flow = FlowMatchEuler::new(wanted.steps);
    let (x, velocity) = (Sum::of(Register::Latents), Sum::of(Register::Answer));
    let step = |index| {
        let time = f64::from(flow.timestep(index));
        Evaluation::new(
            time,
            x + velocity * f64::from(flow.dt(index)),
            x + velocity * f64::from(flow.dt_to_data(index)),
        )
        .at_level(1.0 - time, time)
    };
    Program::of_single(1.0, (wanted.skip..wanted.steps).map(step))
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

    /// How far step `index` goes; negative, because time runs down.
    pub fn dt(&self, index: u32) -> f32 {
        self.timestep(index + 1) - self.timestep(index)
    }

    /// How far it is from the start of step `index` to the data, if the flow goes on straight.
    pub fn dt_to_data(&self, index: u32) -> f32 {
        -self.timestep(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn euler(x: &mut [f32], velocity: &[f32], dt: f32) {
        for (x, v) in x.iter_mut().zip(velocity) {
            *x += dt * v;
        }
    }
    /// A straight flow, x(t) = data + t (noise - data), is integrated exactly whatever the number of steps.
    #[test]
    fn straight_flows_end_at_the_data() {
        let (data, noise) = (0.25, -1.5);
        for steps in [1, 3, 8, 50] {
            let scheduler = FlowMatchEuler::new(steps);
            assert_eq!(scheduler.timestep(0), 1.0);
            assert_eq!(scheduler.timestep(steps), 0.0);
            let mut x = [noise];
            for i in 0..steps {
                euler(&mut x, &[noise - data], scheduler.dt(i));
            }
            assert!((x[0] - data).abs() < 1e-5, "{x:?} after {steps} steps");

            // A straight flow shows where it ends after every step.
            let mut x = [noise];
            for i in 0..steps {
                euler(&mut x, &[noise - data], scheduler.dt(i));
                let mut shown = x;
                euler(&mut shown, &[noise - data], scheduler.dt_to_data(i + 1));
                assert!((shown[0] - data).abs() < 1e-5, "{shown:?} after step {i}");
            }
        }
    }

    /// dx/dt = x from t = 1 to 0 in n Euler steps: x = (1 - 1/n)^n.
    #[test]
    fn curved_flows_take_explicit_euler_steps() {
        let scheduler = FlowMatchEuler::new(8);
        let mut x = [1.0f32];
        for i in 0..8 {
            let velocity = x;
            euler(&mut x, &velocity, scheduler.dt(i));
        }
        assert!((x[0] - 0.875f32.powi(8)).abs() < 1e-6);
    }
}
