//! The loop of steps, with graphs that are formulas: registers in hand-overs, evaluations, draws.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/small.rs"]
mod small;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use async_trait::async_trait;
use diffusion::manifest::Interval;
use diffusion::scheduler::{SchedulerKind, TrainingSchedule};
use diffusion::{
    Cancel, Checkpoint, Engine, ErrorKind, GenerationRequest, Model, Package, Pipeline, Result,
    RunOptions, RunsOn, Step, Tensor,
};
use pollster::block_on;
use protocol::Resume;
use serde_json::json;
use small::{LENGTH, Small};

const SHAPE: [usize; 4] = [1, 4, 2, 2];
const STEPS: u32 = 6;

/// Counts what the denoiser is asked.
#[derive(Clone, Default)]
struct Formulas {
    asked: Rc<Cell<usize>>,
    /// What the denoiser was told of the prompts.
    texts: Rc<RefCell<Vec<f32>>>,
    /// Answers 0.
    silent: bool,
}

/// The denoiser.
fn answer(x: f32, t: f32, text: f32) -> f32 {
    (0.5 * x + t / 150.0 + text).cos()
}

struct Formula {
    component: String,
    engine: Formulas,
}

#[async_trait(?Send)]
impl Engine for Formulas {
    fn backend(&self) -> String {
        "test".into()
    }

    fn adapter(&self) -> String {
        "test".into()
    }

    fn shared(&self) -> Box<dyn Engine> {
        Box::new(self.clone())
    }

    async fn load(&self, component: &str, _onnx: &[u8]) -> Result<Box<dyn Model>> {
        Ok(Box::new(Formula {
            component: component.to_owned(),
            engine: self.clone(),
        }))
    }
}

#[async_trait(?Send)]
impl Model for Formula {
    fn takes(&self, _name: &str, _shape: &[usize]) -> bool {
        false
    }

    async fn run(&self, inputs: Vec<(&str, Tensor)>) -> Result<Vec<(String, Tensor)>> {
        let float = |index: usize| inputs[index].1.clone().into_f32();
        let (name, shape, data) = match &*self.component {
            "text_encoder" => {
                let diffusion::tensor::Data::I64(ids) = inputs[0].1.data() else {
                    unreachable!()
                };
                let states = ids.iter().flat_map(|&id| [id as f32 / 100.0; 4]);
                ("last_hidden_state", vec![1, LENGTH, 4], states.collect())
            }
            "denoiser" => {
                let Formulas {
                    asked,
                    texts,
                    silent,
                } = &self.engine;
                asked.set(asked.get() + 1);
                let (t, text) = (float(1)?[0], float(2)?.iter().sum::<f32>());
                texts.borrow_mut().push(text);
                let share = if *silent { 0.0 } else { 1.0 };
                let answers = float(0)?.into_iter().map(|x| share * answer(x, t, text));
                ("out_sample", SHAPE.to_vec(), answers.collect())
            }
            _ => ("sample", vec![1, 3, 16, 16], vec![0.0; 3 * 256]),
        };
        Ok(vec![(name.to_owned(), Tensor::f32(&shape, data)?)])
    }
}

fn package(scheduler: &SchedulerKind) -> Package {
    Small {
        id: "test/formulas",
        scheduler: &json!(scheduler),
        latents: [4, 2, 2],
        picture: [16, 16],
        steps: STEPS,
        graphs: [b"a formula"; 3],
    }
    .package()
}

fn sampled_by(name: &str) -> SchedulerKind {
    let trained = SchedulerKind::EulerDiscrete(TrainingSchedule::stable_diffusion());
    trained.with_sampler(name).unwrap()
}

struct Loop {
    pipeline: Pipeline,
    asked: Rc<Cell<usize>>,
    texts: Rc<RefCell<Vec<f32>>>,
}

impl Loop {
    fn of(kind: &SchedulerKind) -> Self {
        Self::with(kind, false)
    }

    /// With guidance from `start` to `stop` of the steps.
    fn guided_from(kind: &SchedulerKind, start: f32, stop: f32) -> Self {
        let engine = Formulas::default();
        let mut package = package(kind);
        package.manifest.guidance_interval = Some(Interval { start, stop });
        Self {
            pipeline: block_on(Pipeline::load(package, &engine)).unwrap(),
            asked: engine.asked,
            texts: engine.texts,
        }
    }

    fn with(kind: &SchedulerKind, silent: bool) -> Self {
        let engine = Formulas {
            silent,
            ..Formulas::default()
        };
        Self {
            pipeline: block_on(Pipeline::load(package(kind), &engine)).unwrap(),
            asked: engine.asked,
            texts: engine.texts,
        }
    }

    /// The states after the steps that were made.
    fn run(&self, resume: Option<Checkpoint>, guidance: f32) -> Result<Vec<Checkpoint>> {
        self.sampled(None, resume, guidance)
    }

    fn sampled(
        &self,
        sampler: Option<&str>,
        resume: Option<Checkpoint>,
        guidance: f32,
    ) -> Result<Vec<Checkpoint>> {
        let request = GenerationRequest {
            sampler: sampler.map(str::to_owned),
            model: "test/formulas".into(),
            prompt: "a photo of an apple".into(),
            negative_prompt: Some("the dog".into()),
            seed: Some(3),
            num_inference_steps: Some(STEPS),
            guidance_scale: Some(guidance),
            ..GenerationRequest::default()
        };
        let options = RunOptions {
            checkpoints: true,
            resume,
            ..RunOptions::default()
        };
        let (mut states, cancel) = (Vec::new(), Cancel::default());
        let mut on_step = |step: Step| {
            assert_eq!(step.progress.total_steps, STEPS);
            states.extend(step.checkpoint);
        };
        let request = self.pipeline.resolve(&request)?;
        let run = self.pipeline.run(&request, options, &mut on_step, &cancel);
        block_on(run).map(|_| states)
    }
}

/// The largest difference, as a share of the largest value.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let largest = a.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let pairs = a.iter().zip(b);
    pairs.fold(0.0f32, |most, (a, b)| most.max((a - b).abs())) / largest
}

/// What each sampler keeps after the third of six steps.
const KEPT: [(&str, usize); 12] = [
    ("LMS", 3),
    ("PLMS", 3),
    ("DPM++ 2M Karras", 1),
    ("DPM++ 3M SDE", 2),
    ("DPM++ 2S", 2),
    ("UniPC", 3),
    ("DEIS", 1),
    // Within a step alone.
    ("Heun", 0),
    ("Euler", 0),
    ("Euler a", 0),
    ("DDIM", 0),
    ("DDPM", 0),
];

#[test]
fn a_hand_over_after_any_step_ends_in_the_same_latents() {
    for (name, kept) in KEPT {
        let pipeline = Loop::of(&sampled_by(name));
        let states = pipeline.run(None, 3.0).unwrap();
        let end = &states[STEPS as usize - 1];
        assert_eq!(states[2].registers.len(), kept, "{name}");
        assert!(end.latents.iter().all(|x| x.is_finite()), "{name}");
        assert_eq!(
            end.registers.len(),
            0,
            "{name}: nothing is read after the last step"
        );
        for state in &states {
            let steps = pipeline.run(Some(state.clone()), 3.0).unwrap();
            assert_eq!(steps.len(), (STEPS - state.step) as usize, "{name}");
            if let Some(last) = steps.last() {
                assert_eq!(last, end, "{name} from step {}", state.step);
            }
            // As it travels to the server: 16 bits.
            let sent = Resume::new(state.step, [4, 2, 2], &state.latents, &state.registers);
            let sent = sent.read(STEPS).unwrap();
            let rounded = Checkpoint {
                step: state.step,
                latents: sent.latents,
                registers: sent.registers,
            };
            let steps = pipeline.run(Some(rounded), 3.0).unwrap();
            if let Some(last) = steps.last() {
                let share = difference(&end.latents, &last.latents);
                assert!(share < 0.05, "{name} from step {}: {share}", state.step);
            }
        }
    }
}

#[test]
fn registers_that_are_lost_in_a_hand_over_are_refused_or_show() {
    for (name, kept) in KEPT {
        let pipeline = Loop::of(&sampled_by(name));
        let states = pipeline.run(None, 3.0).unwrap();
        let (state, end) = (&states[2], &states[STEPS as usize - 1]);
        for register in 0..kept {
            let mut lost = state.clone();
            lost.registers[register].fill(0.0);
            let steps = pipeline.run(Some(lost), 3.0).unwrap();
            let share = difference(&end.latents, &steps[steps.len() - 1].latents);
            assert!(share > 5e-4, "{name}, register {register}: {share}");
            let mut lost = state.clone();
            lost.registers.remove(register);
            let error = pipeline.run(Some(lost), 3.0).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::InvalidRequest, "{error}");
            let mut bad = state.clone();
            bad.registers[register][0] = f32::NAN;
            let error = pipeline.run(Some(bad), 3.0).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::InvalidRequest, "{error}");
        }
        let mut more = state.clone();
        more.registers.push(vec![0.0; 16]);
        let error = pipeline.run(Some(more), 3.0).unwrap_err();
        assert!(error.to_string().contains("registers"), "{error}");
    }
}

/// The additions and their order are those of single precision that pictures were always made with, so that no picture of the
/// first models changes: `x + dt (u + g (c - u))`.
#[test]
fn euler_steps_through_a_flow_are_these_bits() {
    let model = Loop::of(&SchedulerKind::FlowMatchEuler);
    let states = model.run(None, 3.0).unwrap();
    let [prompt, negative] = model.texts.borrow()[..2] else {
        unreachable!()
    };
    let time = |step: u32| (1.0 - f64::from(step) / f64::from(STEPS)) as f32;
    let mut x = diffusion::noise::randn(3, 0, 16);
    for (index, state) in (0..).zip(&states) {
        let (t, dt) = (time(index), time(index + 1) - time(index));
        for x in &mut x {
            let (c, u) = (answer(*x, t, prompt), answer(*x, t, negative));
            let guided = u + 3.0 * (c - u);
            *x += dt * guided;
        }
        assert_eq!(state.latents, x, "step {}", index + 1);
    }
}

/// A sampler that is chosen makes what it makes where it is the model's own.
#[test]
fn a_chosen_sampler_takes_the_steps() {
    let trained = SchedulerKind::EulerDiscrete(TrainingSchedule::stable_diffusion());
    let model = Loop::of(&trained);
    for name in ["DPM++ 2M Karras", "PLMS", "Euler a"] {
        let chosen = model.sampled(Some(name), None, 3.0).unwrap();
        assert_eq!(chosen, Loop::of(&sampled_by(name)).run(None, 3.0).unwrap());
        let own = model.run(None, 3.0).unwrap();
        assert!(
            difference(&own[5].latents, &chosen[5].latents) > 1e-3,
            "{name}"
        );
    }
    let request = GenerationRequest {
        model: "test/formulas".into(),
        prompt: "a photo of an apple".into(),
        seed: Some(3),
        sampler: Some("PLMS".into()),
        ..GenerationRequest::default()
    };
    let request = model.pipeline.resolve(&request).unwrap();
    let recipe = model.pipeline.recipe(&request, RunsOn::Server, 1);
    assert_eq!(recipe.scheduler, "PLMS (PNDMScheduler)");
    let error = model.sampled(Some("LCM"), None, 3.0).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidRequest, "{error}");
    assert!(error.to_string().contains("Euler a"), "{error}");
}

#[test]
fn evaluations_are_those_that_guidance_and_sampler_need() {
    let steps = STEPS as usize;
    for (name, evaluations) in [
        ("Euler", steps),
        ("Heun", 2 * steps - 1),
        ("PLMS", steps + 1),
    ] {
        let pipeline = Loop::of(&sampled_by(name));
        pipeline.run(None, 3.0).unwrap();
        assert_eq!(pipeline.asked.replace(0), 2 * evaluations, "{name}");
        // At a scale of 1 the negative prompt has no weight.
        pipeline.run(None, 1.0).unwrap();
        assert_eq!(pipeline.asked.replace(0), evaluations, "{name}");
    }
}

/// Draw i + 1 at evaluation i: to the picture, which is where the latents are where the answer is 0, and back up to σ.
/// Whole shares of six steps, as `BaseGuidance` of diffusers cuts them: of 0.2 to 0.7 the second, third and fourth.
#[test]
fn outside_its_interval_guidance_costs_nothing() {
    let kind = sampled_by("Euler");
    let asked = |guided: &Loop, scale| {
        guided.asked.set(0);
        let states = guided.run(None, scale).unwrap();
        (guided.asked.get(), states)
    };
    let (all, everywhere) = asked(&Loop::of(&kind), 3.0);
    let (one, unguided) = asked(&Loop::of(&kind), 1.0);
    assert_eq!((all, one), (12, 6));
    let (whole, same) = asked(&Loop::guided_from(&kind, 0.0, 1.0), 3.0);
    assert_eq!((whole, &same), (12, &everywhere));
    let (some, states) = asked(&Loop::guided_from(&kind, 0.2, 0.7), 3.0);
    assert_eq!(some, 9);
    assert_eq!(states[0], unguided[0]);
    assert_ne!(states[1], unguided[1]);
    let (early, states) = asked(&Loop::guided_from(&kind, 0.0, 0.5), 3.0);
    assert_eq!(early, 9);
    assert_eq!(states[2], everywhere[2]);
    assert_ne!(states[3], everywhere[3]);
}

#[test]
fn noise_on_the_way_is_the_next_draw_of_the_seed() {
    let flow = json!({"flow": {"stochastic": {"num_train_timesteps": 1000, "shift": {"static": 1.0}, "grid": "steps"}}});
    let pipeline = Loop::with(&serde_json::from_value(flow).unwrap(), true);
    let states = pipeline.run(None, 1.0).unwrap();
    let draw = |draw: u32| diffusion::noise::randn(3, draw, 16);
    let mut x = draw(0);
    for (index, state) in (1..).zip(&states) {
        let sigma = 1.0 - index as f32 / STEPS as f32;
        let pairs = x.iter().zip(draw(index));
        x = pairs.map(|(x, z)| (1.0 - sigma) * x + sigma * z).collect();
        assert!(difference(&x, &state.latents) < 1e-5, "step {index}");
    }
    // A hand-over goes on with the same draws.
    let steps = pipeline.run(Some(states[2].clone()), 1.0).unwrap();
    assert_eq!(steps, states[3..]);
}
