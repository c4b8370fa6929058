//! Pseudo linear multistep: registers 0 to 2 are earlier answers, the newest first; 3 is the sample that the second
//! evaluation starts from again.

use super::super::Wanted;
use super::super::program::{Evaluation, Program, Register, Sum};
use super::super::training::{Prediction, TrainingSchedule};
use super::{ANSWER, LATENTS, picture_of_alpha};

const SAVED: usize = 3;

pub(super) fn program(training: &TrainingSchedule, wanted: Wanted) -> Program {
    let alphas = training.alphas_cumprod();
    let last = if training.set_alpha_to_one {
        1.0
    } else {
        alphas[0]
    };
    let stride = f64::from(training.num_train_timesteps / wanted.steps);
    let mut timesteps = training.rounded_timesteps(wanted.steps);
    // The second timestep is evaluated twice.
    if let Some(&second) = timesteps.get(1) {
        timesteps.insert(1, second);
    }
    let timesteps = wanted.rest(timesteps);
    let alpha = |t: f64| {
        if t < 0.0 {
            last
        } else {
            alphas[(t as usize).min(alphas.len() - 1)]
        }
    };
    let (m, earlier) = (Sum::of(ANSWER), |i| Sum::of(Register::Kept(i)));
    let evaluation = |(index, &timestep): (usize, &f64)| {
        let mut kept = vec![(2, earlier(1)), (1, earlier(0)), (0, m)];
        let (mut from, mut to) = (timestep, timestep - stride);
        let (mut x, answer) = (
            Sum::of(LATENTS),
            match index {
                0 => m,
                1 => (m + earlier(0)) / 2.0,
                2 => (m * 3.0 - earlier(0)) / 2.0,
                3 => (m * 23.0 - earlier(0) * 16.0 + earlier(1) * 5.0) / 12.0,
                _ => (m * 55.0 - earlier(0) * 59.0 + earlier(1) * 37.0 - earlier(2) * 9.0) / 24.0,
            },
        );
        match index {
            0 => kept.push((SAVED, x)),
            1 => {
                kept.clear();
                x = earlier(SAVED);
                (from, to) = (timestep + stride, timestep);
            }
            _ => {}
        }
        let (a, b) = (alpha(from), alpha(to));
        let answer = match training.prediction_type {
            Prediction::VPrediction => answer * a.sqrt() + x * (1.0 - a).sqrt(),
            Prediction::Epsilon | Prediction::Sample | Prediction::FlowPrediction => answer,
        };
        let divisor = a * (1.0 - b).sqrt() + (a * (1.0 - a) * b).sqrt();
        let latents = x * (b / a).sqrt() - answer * ((b - a) / divisor);
        let picture = picture_of_alpha(training, alpha(timestep));
        let now = alpha(timestep);
        Evaluation::new(timestep, latents, picture)
            .at_level(now.sqrt(), (1.0 - now).sqrt())
            .keeping(kept)
    };
    let mut evaluations = timesteps.iter().enumerate().map(evaluation);
    // The first step is corrected by the second evaluation.
    let first: Vec<Evaluation> = evaluations.by_ref().take(2).collect();
    let others = evaluations.map(|one| vec![one]);
    Program::new(1.0, [first].into_iter().chain(others).collect())
}
