//! Linear multistep: registers 0 to 2 are earlier derivatives, the newest first.

use super::super::Wanted;
use super::super::levels::{Levels, levels};
use super::super::program::{Evaluation, Program, Register, Sum};
use super::super::training::TrainingSchedule;
use super::{LATENTS, picture_of_sigma};

const ORDER: usize = 4;

pub(super) fn program(training: &TrainingSchedule, wanted: Wanted) -> Program {
    let Levels {
        timesteps,
        sigmas,
        initial_scale,
    } = levels(training, wanted);
    let evaluation = |(index, &timestep): (usize, &f64)| {
        let sigma = sigmas[index];
        let x = Sum::of(LATENTS);
        let picture = picture_of_sigma(training, sigma);
        let derivative = (x - picture) / sigma;
        let earlier = |i| Sum::of(Register::Kept(i));
        let order = ORDER.min(index + 1);
        let latents = (0..order).fold(x, |sum, k| {
            let of = if k == 0 { derivative } else { earlier(k - 1) };
            sum + of * share(&sigmas, index, order, k)
        });
        Evaluation::new(timestep, latents, picture)
            .at_level(1.0, sigma)
            .scaled(1.0 / (sigma * sigma + 1.0).sqrt())
            .keeping(vec![(2, earlier(1)), (1, earlier(0)), (0, derivative)])
    };
    Program::of_single(initial_scale, timesteps.iter().enumerate().map(evaluation))
}

/// Integral from one level to the next of the polynomial that is 1 at level `index - k` and 0 at the others of the last
/// `order`; of degree 3 at most, so two points of Gauss and Legendre suffice.
fn share(sigmas: &[f64], index: usize, order: usize, k: usize) -> f64 {
    let (from, to) = (sigmas[index], sigmas[index + 1]);
    let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
    let basis = |tau: f64| {
        (0..order)
            .filter(|&other| other != k)
            .map(|other| {
                (tau - sigmas[index - other]) / (sigmas[index - k] - sigmas[index - other])
            })
            .product::<f64>()
    };
    let root = 1.0 / 3f64.sqrt();
    half * (basis(middle - half * root) + basis(middle + half * root))
}
