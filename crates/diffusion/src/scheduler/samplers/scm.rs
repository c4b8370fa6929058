//! Continuous-time consistency with trigonometric times (Lu & Song, arXiv:2410.11081), as SANA-Sprint samples it.

use super::super::Wanted;
use super::super::program::{Evaluation, Program, Register, Sum};
use super::{ANSWER, LATENTS};

/// The first time: a quarter turn, as diffusers rounds it.
#[allow(clippy::approx_constant)]
const FIRST: f64 = 1.57080;
/// The time between the two steps of SANA-Sprint.
const BETWEEN: f64 = 1.3;

/// Latents and noise have the deviation `sigma_data`; the answer is the velocity along the arc.
pub(super) fn program(sigma_data: f64, wanted: Wanted) -> Program {
    let steps = wanted.steps;
    let times: Vec<f64> = if steps == 2 {
        vec![FIRST, BETWEEN, 0.0]
    } else {
        let part = |i: u32| 1.0 - f64::from(i) / f64::from(steps);
        (0..=steps).map(|i| FIRST * part(i)).collect()
    };
    let evaluation = |pair: &[f64]| {
        let (time, next) = (pair[0], pair[1]);
        let picture = Sum::of(LATENTS) * libm::cos(time) - Sum::of(ANSWER) * libm::sin(time);
        let noise = Sum::of(Register::Noise) * (libm::sin(next) * sigma_data);
        Evaluation::new(time, picture * libm::cos(next) + noise, picture)
            .at_level(libm::cos(time), libm::sin(time))
    };
    let times = wanted.rest(times);
    Program::of_single(1.0, times.windows(2).map(evaluation))
}
