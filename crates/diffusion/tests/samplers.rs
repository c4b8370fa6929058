//! Samplers against diffusers' (data/samplers.py).

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use diffusion::scheduler::program::KEPT;
use diffusion::scheduler::sigmas::Spread;
use diffusion::scheduler::{
    Evaluation, FlowSampler, Program, Register, SchedulerKind, Spacing, Sum, TrainingSchedule,
    Wanted,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    scheduler: SchedulerKind,
    steps: u32,
    initial_scale: f64,
    timesteps: Vec<f64>,
    /// After the first evaluation and after the last.
    samples: Vec<[f64; 4]>,
    /// How far single precision takes diffusers from double precision, as a share of the largest value.
    single: f64,
}

/// Tokens of the pictures that data/samplers.py shifts by.
const IMAGE_TOKENS: u32 = 1024;
const START: [f64; 4] = [0.7, -1.3, 0.05, 2.1];
/// Largest difference, as a share of the largest value of the sample.
const TOLERANCE: f64 = 1e-5;

impl Case {
    fn program(&self) -> Program {
        let wanted = Wanted {
            steps: self.steps,
            skip: 0,
            image_tokens: IMAGE_TOKENS,
        };
        assert_eq!(self.scheduler.fault(), None, "{:?}", self.scheduler);
        self.scheduler.program(wanted).unwrap()
    }

    /// What single precision can be held to: diffusers' own rounding is no part of its formulas.
    fn tolerance(&self) -> f64 {
        TOLERANCE + 2.0 * self.single
    }

    /// The row of the table that it belongs to.
    fn row(&self) -> String {
        let json = match &self.scheduler {
            SchedulerKind::Diffusion { sampler, training } => {
                let TrainingSchedule {
                    timestep_spacing,
                    prediction_type,
                    sigmas,
                    clip_sample,
                    rescale_betas_zero_snr,
                    ..
                } = training;
                let said = serde_json::json!([sigmas, clip_sample, rescale_betas_zero_snr]);
                let said = said.to_string().replace("[{},null,false]", "");
                let sampler = serde_json::to_string(sampler).unwrap();
                format!("{sampler} {timestep_spacing:?} {prediction_type:?} {said}")
            }
            other => serde_json::to_string(other).unwrap(),
        };
        json.replace(['"', '{', '}'], "")
    }
}

/// The values of registers at one place of the latents.
#[derive(Clone, Copy, Default)]
struct Values {
    latents: f64,
    answer: f64,
    noise: f64,
    clamped: f64,
    kept: [f64; KEPT],
}

impl Values {
    /// A sum, without the register `lost`.
    fn of(&self, sum: &Sum, lost: Option<Register>) -> f64 {
        sum.at(|register| match register {
            _ if Some(register) == lost => 0.0,
            Register::Latents => self.latents,
            Register::Answer => self.answer,
            Register::Noise => self.noise,
            Register::Clamped => self.clamped,
            Register::Kept(index) => self.kept[index],
        })
    }

    fn after(mut self, evaluation: &Evaluation, lost: Option<Register>) -> Self {
        if let Some((sum, limit)) = &evaluation.clamped {
            self.clamped = self.of(sum, lost).clamp(-limit, *limit);
        }
        let mut next = self;
        next.latents = self.of(&evaluation.latents, lost);
        for (kept, sum) in &evaluation.kept {
            next.kept[*kept] = self.of(sum, lost);
        }
        next
    }
}

/// The samples after every evaluation of a program.
fn samples(program: &Program, start: [f64; 4], lost: Option<Register>) -> Vec<[f64; 4]> {
    let mut places = start.map(|x| Values {
        latents: x * f64::from(program.initial_scale),
        ..Values::default()
    });
    let mut samples = Vec::new();
    for (index, evaluation) in program.evaluations().enumerate() {
        let t = f64::from(evaluation.timestep);
        for (j, values) in places.iter_mut().enumerate() {
            let x = f64::from(evaluation.input_scale) * values.latents;
            values.answer = (2.0 * x + t / 150.0 + j as f64).cos() + 0.3 * (5.0 * x).sin();
            values.noise = 1.3 * (1.7 * (index as f64 + 1.0) + j as f64).sin();
            *values = values.after(evaluation, lost);
        }
        samples.push(places.map(|values| values.latents));
    }
    samples
}

/// The largest difference of two samples, as a share of the largest value of `theirs`; infinite for what is no number.
fn difference(ours: &[f64; 4], theirs: &[f64; 4]) -> f64 {
    let largest = theirs.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    let pairs = ours.iter().zip(theirs);
    pairs.fold(0.0, |most, (a, b)| {
        let share = (a - b).abs() / largest;
        if share.is_nan() {
            f64::INFINITY
        } else {
            most.max(share)
        }
    })
}

/// How far a program is from what diffusers does, and what is wrong with it beside that.
fn compared(case: &Case, program: &Program) -> Result<f64, String> {
    let ours: Vec<f64> = program
        .evaluations()
        .map(|evaluation| f64::from(evaluation.timestep))
        .collect();
    let near = |a: &f64, b: &f64| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
    let equal = ours.len() == case.timesteps.len();
    if !equal || !ours.iter().zip(&case.timesteps).all(|(a, b)| near(a, b)) {
        let theirs = &case.timesteps;
        return Err(format!("timesteps {ours:?}, diffusers {theirs:?}"));
    }
    let scale = f64::from(program.initial_scale);
    if !near(&scale, &case.initial_scale) {
        return Err(format!("{scale}, diffusers {}", case.initial_scale));
    }
    let ours = samples(program, START, None);
    let first = difference(&ours[0], &case.samples[0]);
    let last = difference(&ours[ours.len() - 1], &case.samples[case.samples.len() - 1]);
    Ok(first.max(last))
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/samplers.json")).unwrap();
    assert!(cases.len() > 900);
    cases
}

#[test]
fn every_sampler_takes_the_steps_of_diffusers() {
    let mut worst: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in &cases() {
        let row = case.row();
        match compared(case, &case.program()) {
            Ok(share) => {
                if share > case.tolerance() {
                    wrong.push(format!(
                        "{row}, {} steps: {share:.1e}, where single precision takes {:.1e}",
                        case.steps, case.single
                    ));
                }
                let entry = worst.entry(row).or_default();
                *entry = (entry.0.max(share), entry.1.max(case.single));
            }
            Err(what) => wrong.push(format!("{row}, {} steps: {what}", case.steps)),
        }
    }
    println!(
        "largest relative difference; that of diffusers in single precision from itself in double"
    );
    for (row, (difference, single)) in &worst {
        println!("{difference:.1e}  {single:.1e}  {row}");
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The table above would notice a register that is lost between two evaluations, and noise that is not drawn.
#[test]
fn lost_registers_change_the_samples() {
    // So that noise of σ = 14 does not stand before all that comes after it.
    let start = START.map(|x| x / 50.0);
    let mut lost = 0;
    // Where levels fall steeply, what a multistep keeps for longest hardly counts.
    let spread = |case: &Case| match &case.scheduler {
        SchedulerKind::Diffusion { training, .. } => training.sigmas.spread != Spread::Trained,
        _ => false,
    };
    for case in cases()
        .iter()
        .filter(|case| case.steps == 7 && !spread(case))
    {
        let program = case.program();
        let whole = samples(&program, start, None);
        let registers = (0..KEPT).map(Register::Kept).chain([Register::Noise]);
        for register in registers {
            let mut sums = program.evaluations().map(|e| e.latents.share(register));
            if sums.all(|share| share == 0.0) {
                continue;
            }
            let without = samples(&program, start, Some(register));
            let differences = whole.iter().zip(&without).map(|(a, b)| difference(b, a));
            let most = differences.fold(0.0, f64::max);
            let noticed = most > 50.0 * TOLERANCE;
            assert!(noticed, "{}: {register:?}, {most}", case.row());
            lost += 1;
        }
    }
    assert!(lost > 100, "{lost}");
}

/// The same for a sign that is wrong and a shift that is dropped.
#[test]
fn flipped_signs_and_dropped_shifts_change_the_samples() {
    let mut changed = (0, 0);
    for case in cases().iter().filter(|case| case.steps == 7) {
        let mut program = case.program();
        for evaluation in program.steps.iter_mut().flatten() {
            let answer = Sum::of(Register::Answer);
            let share = evaluation.latents.share(Register::Answer);
            evaluation.latents = evaluation.latents - answer * (2.0 * share);
        }
        if program != case.program() {
            assert!(compared(case, &program).unwrap() > 1e-3, "{}", case.row());
            changed.0 += 1;
        }
        let SchedulerKind::Flow(FlowSampler::Euler(flow) | FlowSampler::Heun(flow)) =
            &case.scheduler
        else {
            continue;
        };
        let mut flow = *flow;
        flow.shift = diffusion::scheduler::samplers::Shift::Static(1.0);
        let unshifted = SchedulerKind::Flow(FlowSampler::Euler(flow));
        let wanted = Wanted {
            steps: 7,
            skip: 0,
            image_tokens: IMAGE_TOKENS,
        };
        let unshifted = unshifted.program(wanted).unwrap();
        if unshifted != case.program() {
            let differs = compared(case, &unshifted).map_or(true, |share| share > 1e-3);
            assert!(differs, "{}", case.row());
            changed.1 += 1;
        }
    }
    assert!(changed.0 > 100 && changed.1 > 5, "{changed:?}");
}

/// Every spacing, prediction, spread and count of steps is in the table.
#[test]
fn the_table_is_whole() {
    let cases = cases();
    let of = |case: &Case| match &case.scheduler {
        SchedulerKind::Diffusion { training, .. } => Some(training.timestep_spacing),
        _ => None,
    };
    for spacing in [Spacing::Leading, Spacing::Trailing, Spacing::Linspace] {
        for steps in [1, 2, 4, 7, 20] {
            let found = cases.iter().filter(|case| case.steps == steps);
            let found = found.filter(|case| of(case) == Some(spacing)).count();
            assert!(found > 25, "{spacing:?}, {steps} steps: {found}");
        }
    }
}
