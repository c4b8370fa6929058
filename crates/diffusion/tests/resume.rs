//! Going on from a checkpoint, and pipelines that keep nothing on the engine.
#![cfg(feature = "cpu")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use diffusion::{
    Cancel, Checkpoint, CpuEngine, ErrorKind, GenerationRequest, Package, Picture, Pipeline,
    Residency, RunOptions, Step, TOLERANCE,
};
use pollster::block_on;
use protocol::Resume;

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/glyph");
const STEPS: u32 = 4;

fn package() -> Package {
    Package::from_dir(PACKAGE.as_ref()).unwrap()
}

fn request() -> GenerationRequest {
    GenerationRequest {
        model: "demo-hub/glyph".into(),
        prompt: "red apple, flat style".into(),
        seed: Some(1),
        num_inference_steps: Some(STEPS),
        guidance_scale: Some(3.0),
        ..GenerationRequest::default()
    }
}

/// The picture, the steps that were made and the states after them.
fn run(pipeline: &Pipeline, options: RunOptions) -> (Picture, Vec<u32>, Vec<Checkpoint>) {
    let (mut steps, mut states) = (Vec::new(), Vec::new());
    let mut on_step = |step: Step| {
        steps.push(step.progress.step);
        states.extend(step.checkpoint);
    };
    let (asked, cancel) = (request(), Cancel::default());
    let picture = block_on(pipeline.run(
        &pipeline.resolve(&asked).unwrap(),
        options,
        &mut on_step,
        &cancel,
    ));
    (picture.unwrap(), steps, states)
}

#[test]
fn every_checkpoint_ends_in_the_same_picture_without_a_step_done_twice() {
    let pipeline = block_on(Pipeline::load(package(), &CpuEngine::new())).unwrap();
    let checkpoints = RunOptions {
        checkpoints: true,
        ..RunOptions::default()
    };
    let (whole, steps, states) = run(&pipeline, checkpoints);
    assert_eq!(steps, [1, 2, 3, 4]);
    assert_eq!(states.len(), 4);
    for state in states {
        let from = state.step;
        assert_eq!(state.registers, [[0.0; 0]; 0]);
        let rounded = Resume::new(from, [16, 8, 8], &state.latents, &state.registers);
        let exact = RunOptions {
            resume: Some(state),
            ..RunOptions::default()
        };
        let (picture, steps, _) = run(&pipeline, exact);
        assert_eq!(picture, whole, "from step {from}");
        assert_eq!(steps, (from + 1..=STEPS).collect::<Vec<_>>());

        let halved = RunOptions {
            resume: Some(Checkpoint {
                step: from,
                latents: rounded.read(STEPS).unwrap().latents,
                registers: Vec::new(),
            }),
            ..RunOptions::default()
        };
        let (picture, _, _) = run(&pipeline, halved);
        let difference = picture.max_difference(&whole).unwrap();
        println!("16-bit latents after step {from}: {difference} of 255");
        assert!(difference <= TOLERANCE, "from step {from}: {difference}");
    }
}

#[test]
fn checkpoints_that_do_not_fit_are_refused() {
    let pipeline = block_on(Pipeline::load(package(), &CpuEngine::new())).unwrap();
    for (step, latents, registers) in [
        (0, vec![0.0; 1024], vec![]),
        (STEPS + 1, vec![0.0; 1024], vec![]),
        (1, vec![0.0; 1023], vec![]),
        (1, vec![f32::NAN; 1024], vec![]),
        (1, vec![0.0; 1024], vec![vec![0.0; 1024]]),
    ] {
        let options = RunOptions {
            resume: Some(Checkpoint {
                step,
                latents,
                registers,
            }),
            ..RunOptions::default()
        };
        let (asked, cancel) = (request(), Cancel::default());
        let run = block_on(pipeline.run(
            &pipeline.resolve(&asked).unwrap(),
            options,
            &mut |_| {},
            &cancel,
        ));
        let error = run.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidRequest, "{error}");
    }
}

#[test]
fn graphs_on_demand_make_the_same_picture_twice() {
    let kept = block_on(Pipeline::load(package(), &CpuEngine::new())).unwrap();
    assert_eq!(kept.residency(), Residency::Kept);
    let (whole, _, _) = run(&kept, RunOptions::default());
    let passing = block_on(Pipeline::on_demand(package(), Box::new(CpuEngine::new()))).unwrap();
    assert_eq!(passing.residency(), Residency::OnDemand);
    for _ in 0..2 {
        assert_eq!(run(&passing, RunOptions::default()).0, whole);
    }
}
