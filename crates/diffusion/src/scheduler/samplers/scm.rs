//! Continuous-time consistency with trigonometric times (Lu & Song, arXiv:2410.11081), as SANA-Sprint samples it.

use super::super::Wanted;
use super::super::program::{Evaluation, Program, Register, Sum};
use super::{ANSWER, LATENTS};

/// The first time: a quarter turn, as diffusers rounds it.
#[allow(clippy::approx_constant)]
const FIRST: f64 = 1.57080;
/// The time between the two steps of SANA-Sprint.
const BETWEEN: f64 = 1.3;

/// Latents and noise have the deviation `sigma_data`; the answer is the velocity along the arc, or that of a `flow`.
pub(super) fn program(sigma_data: f64, flow: bool, wanted: Wanted) -> Program {
    let steps = wanted.steps;
    let times: Vec<f64> = if steps == 2 {
        vec![FIRST, BETWEEN, 0.0]
    } else {
        let part = |i: u32| 1.0 - f64::from(i) / f64::from(steps);
        (0..=steps).map(|i| FIRST * part(i)).collect()
    };
    let evaluation = |pair: &[f64]| {
        let (time, next) = (pair[0], pair[1]);
        let (share, of_noise) = (libm::cos(time), libm::sin(time));
        let asked = Asked::at(time, sigma_data, flow);
        let picture = Sum::of(LATENTS) * share - asked.velocity * of_noise;
        let noise = Sum::of(Register::Noise) * (libm::sin(next) * sigma_data);
        let deviation = if flow { sigma_data } else { 1.0 };
        Evaluation::new(asked.time, picture * libm::cos(next) + noise, picture)
            .scaled(asked.scale)
            .at_level(share, of_noise * deviation)
    };
    let times = wanted.rest(times);
    // The pipeline of flows multiplies its first noise itself.
    let first = if flow { sigma_data } else { 1.0 };
    Program::of_single(first, times.windows(2).map(evaluation))
}

/// What a denoiser is told and given at a time of the arc, and the velocity that its answer says.
struct Asked {
    time: f64,
    scale: f64,
    velocity: Sum,
}

impl Asked {
    /// On the arc, picture and noise have the shares cos t and sin t; in a flow 1 - s and s, where s = sin t / (cos t + sin t).
    fn at(time: f64, sigma_data: f64, flow: bool) -> Self {
        let answer = Sum::of(ANSWER);
        if !flow {
            return Self {
                time,
                scale: 1.0,
                velocity: answer,
            };
        }
        let (cos, sin) = (libm::cos(time), libm::sin(time));
        let s = sin / (cos + sin);
        let length = (s * s + (1.0 - s) * (1.0 - s)).sqrt();
        let given = Sum::of(LATENTS) * (length / sigma_data);
        let along = given * (1.0 - 2.0 * s) + answer * (1.0 - 2.0 * s + 2.0 * s * s);
        Self {
            time: s,
            scale: length / sigma_data,
            velocity: along * (sigma_data / length),
        }
    }
}
