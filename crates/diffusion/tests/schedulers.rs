//! Schedulers against diffusers' (data/schedulers.py).

#![allow(clippy::unwrap_used)]

use diffusion::scheduler::{Register, SchedulerKind, Wanted};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    scheduler: SchedulerKind,
    steps: u32,
    initial_scale: f32,
    timesteps: Vec<f32>,
    samples: Vec<Vec<f32>>,
    denoised: Vec<Vec<f32>>,
}

const START: [f32; 4] = [0.7, -1.3, 0.05, 2.1];

fn wanted(steps: u32) -> Wanted {
    Wanted {
        steps,
        skip: 0,
        image_tokens: 0,
    }
}

fn near(ours: f32, theirs: f32, share: f32, what: &str) {
    let tolerance = share * theirs.abs().max(1.0);
    assert!(
        (ours - theirs).abs() <= tolerance,
        "{what}: {ours}, diffusers {theirs}"
    );
}

#[test]
fn every_step_is_that_of_diffusers() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/schedulers.json")).unwrap();
    assert_eq!(cases.len(), 58 + 54 + 8 + 2);
    for case in cases {
        let what = format!("{:?}, {} steps", case.scheduler, case.steps);
        let program = case.scheduler.program(wanted(case.steps)).unwrap();
        assert_eq!(program.steps.len(), case.timesteps.len(), "{what}");
        // From σ = 4096, where the training ends in noise alone, single precision cancels out.
        let share = if case.initial_scale > 1000.0 {
            2e-4
        } else {
            1e-5
        };
        near(program.initial_scale, case.initial_scale, share, &what);
        let mut sample = START.map(|x| x * program.initial_scale);
        for (i, step) in program.evaluations().enumerate() {
            near(step.timestep, case.timesteps[i], share, &what);
            let answer =
                sample.map(|x| 0.5 * step.input_scale * x / (1.0 + step.timestep / 1000.0) - 0.1);
            for j in 0..4 {
                let (x, m) = (sample[j], answer[j]);
                let value = |register| match register {
                    Register::Latents => f64::from(x),
                    Register::Answer => f64::from(m),
                    _ => f64::NAN,
                };
                let seen = step.denoised.at(value) as f32;
                near(
                    seen,
                    case.denoised[i][j],
                    share,
                    &format!("{what}, picture after {i}"),
                );
                sample[j] = step.latents.at(value) as f32;
                near(
                    sample[j],
                    case.samples[i][j],
                    share,
                    &format!("{what}, step {i}"),
                );
            }
        }
    }
}

#[test]
fn more_steps_than_the_training_had_are_refused() {
    let kind: SchedulerKind = serde_json::from_str(
        r#"{"ddim": {"num_train_timesteps": 10, "beta_start": 0.1, "beta_end": 0.2, "beta_schedule": "linear",
            "prediction_type": "epsilon", "timestep_spacing": "leading", "steps_offset": 1}}"#,
    )
    .unwrap();
    assert!(kind.program(wanted(9)).is_ok());
    assert!(
        kind.program(wanted(10)).is_err(),
        "the offset leads beyond the last timestep"
    );
    assert!(kind.program(wanted(11)).is_err());
}
