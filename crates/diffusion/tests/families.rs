//! Pipelines of every family against diffusers', stage by stage (bench/fixtures/export_families.py).
//!
//! Each stage is given what diffusers gave it, so that a fault shows in the stage that has it.
#![cfg(all(feature = "cpu", feature = "gpu"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[expect(
    dead_code,
    reason = "these tests use a part of what those of packages share"
)]
#[path = "support/goldens.rs"]
mod goldens;

use std::fs;
use std::path::Path;

use diffusion::noise::randn;
use diffusion::scheduler::program::KEPT;
use diffusion::scheduler::{
    Register, Sampler, SchedulerKind, Sum, TrainingSchedule, Wanted, guide,
};
use diffusion::tokenizer::{Beside, TextSettings, Tokenizer, from_clip_files, from_ready_file};
use diffusion::{CpuEngine, Engine, Picture, TOLERANCE, Tensor};
use goldens::{Case, Golden, json, near};
use onnx_gpu::DType;
use onnx_gpu::proto::Model;
use pollster::block_on;

/// The tokenizer that lies in `folder`, if one does.
fn tokenizer(folder: &Path) -> Option<Tokenizer> {
    let optional = |name: &str| {
        let path = folder.join(name);
        if path.is_file() {
            json(&path)
        } else {
            serde_json::Value::Null
        }
    };
    let beside = Beside {
        config: optional("tokenizer_config.json"),
        special: optional("special_tokens_map.json"),
        added: optional("added_tokens.json"),
    };
    let (ready, vocab) = (folder.join("tokenizer.json"), folder.join("vocab.json"));
    let found = if ready.is_file() {
        from_ready_file(&fs::read(ready).unwrap(), &beside)
    } else if vocab.is_file() {
        let merges = fs::read_to_string(folder.join("merges.txt")).unwrap();
        from_clip_files(&fs::read(vocab).unwrap(), &merges, &beside)
    } else {
        return None;
    };
    let (found, pad) = found.map(|found| (found.json, found.pad_token)).unwrap();
    let settings = TextSettings::fixed("tokenizer.json", 77, 0);
    let unpadded = Tokenizer::from_bytes(&found, &settings).unwrap();
    let settings = TextSettings::fixed("tokenizer.json", 77, unpadded.id(&pad.unwrap()).unwrap());
    Some(Tokenizer::from_bytes(&found, &settings).unwrap())
}

#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn prompts_become_the_ids_of_transformers() {
    let mut compared = 0;
    for case in goldens::cases() {
        let golden = case.golden();
        let folder = case.folder();
        let first = tokenizer(&folder.join("tokenizer")).or_else(|| tokenizer(&folder));
        let second = tokenizer(&folder.join("tokenizer_2"));
        for (ids, tokenizer) in [("ids", first), ("ids_2", second)] {
            let negative = case.negative_prompt.as_deref().unwrap_or_default();
            for (row, text) in [("prompt", &*case.prompt), ("negative", negative)] {
                let name = format!("{ids}.{row}");
                if golden.has(&name) {
                    let ours = tokenizer.as_ref().unwrap().encode(text).unwrap().ids;
                    assert_eq!(ours, golden.i64(&name), "{}, {name}", case.name);
                    compared += 1;
                }
            }
        }
    }
    assert!(compared >= 60, "{compared} texts");
}

/// The scheduler of the case: the class that it names, or the folder's, with the folder's settings.
fn scheduler(case: &Case) -> SchedulerKind {
    let folder = case.folder();
    let path = folder.join("scheduler/scheduler_config.json");
    let flat = folder.join("scheduler_config.json");
    let config = json(if path.is_file() { &path } else { &flat });
    let class = case
        .sampler
        .as_deref()
        .or(config["_class_name"].as_str())
        .unwrap();
    let sampler = match class {
        "PNDMScheduler" => Sampler::Pndm,
        "DDIMScheduler" => Sampler::Ddim { eta: 0.0 },
        "EulerDiscreteScheduler" => Sampler::Euler,
        "EulerAncestralDiscreteScheduler" => Sampler::EulerAncestral,
        "LCMScheduler" => Sampler::Lcm {
            original_inference_steps: config["original_inference_steps"].as_u64().unwrap() as u32,
            timestep_scaling: config["timestep_scaling"].as_f64().unwrap(),
        },
        other => panic!("{other} is in no case"),
    };
    let mut training = serde_json::to_value(TrainingSchedule::stable_diffusion()).unwrap();
    for (name, value) in training.as_object_mut().unwrap() {
        if let Some(stated) = config.get(name) {
            value.clone_from(stated);
        }
    }
    SchedulerKind::Diffusion {
        sampler,
        training: serde_json::from_value(training).unwrap(),
    }
}

/// Noise, times, scales, guidance and steps; the answers are those that diffusers' denoiser gave.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn answers_become_the_latents_of_diffusers() {
    let mut compared = 0;
    for case in goldens::cases().iter().filter(|case| !case.mask) {
        let golden = case.golden();
        let program = scheduler(case).program(Wanted {
            steps: case.steps,
            skip: case.skipped(),
            image_tokens: 0,
        });
        let program = program.unwrap();
        let count = golden.f32("latents.initial").len();
        let drawn = |draw| randn(case.seed, draw, count);
        let mut latents: Vec<f32> = drawn(0).iter().map(|x| x * program.initial_scale).collect();
        if case.image {
            // What the encoder gave is held in the tests of whole pipelines.
            latents = golden.f32("latents.initial");
        }
        near(&latents, &golden.f32("latents.initial"), 1e-6, &case.name);
        let mut kept = vec![vec![0.0; count]; KEPT];
        let times = golden.f32("timesteps");
        let samples = golden.rows("denoiser.samples");
        let answers = golden.rows("denoiser.answers");
        let steps = golden.rows("latents.steps");
        assert_eq!(program.evaluations().count(), times.len(), "{}", case.name);
        for (index, evaluation) in program.evaluations().enumerate() {
            let what = format!("{}, evaluation {index}", case.name);
            assert_eq!(evaluation.timestep, times[index], "{what}");
            assert_eq!(evaluation.clamped, None, "{what}");
            let seen: Vec<f32> = latents.iter().map(|x| x * evaluation.input_scale).collect();
            near(&seen, &samples[index], 1e-5, &format!("{what}, sample"));
            let answer = match answers[index].split_at_checked(count) {
                Some((negative, prompt)) if !prompt.is_empty() => {
                    guide(prompt, negative, case.guidance_scale)
                }
                _ => answers[index].clone(),
            };
            let noise = drawn(index as u32 + 1);
            let sum = |sum: &Sum| -> Vec<f32> {
                let value = |i: usize, register| match register {
                    Register::Latents => f64::from(latents[i]),
                    Register::Answer => f64::from(answer[i]),
                    Register::Noise => f64::from(noise[i]),
                    Register::Kept(k) => f64::from(kept[k][i]),
                    Register::Clamped => f64::NAN,
                };
                let at = |i| sum.at(|register| value(i, register)) as f32;
                (0..count).map(at).collect()
            };
            let next = sum(&evaluation.latents);
            let written: Vec<_> = evaluation.kept.iter().map(|(k, s)| (*k, sum(s))).collect();
            latents = next;
            for (register, values) in written {
                kept[register] = values;
            }
            near(&latents, &steps[index], 1e-5, &what);
            compared += 1;
        }
        let config = case.folder().join("vae_decoder/config.json");
        if config.is_file() {
            let scale = json(&config)["scaling_factor"].as_f64().unwrap() as f32;
            let scaled: Vec<f32> = latents.iter().map(|x| x / scale).collect();
            near(&scaled, &golden.f32("latents.decoded"), 1e-5, &case.name);
        }
    }
    assert!(compared >= 90, "{compared} evaluations");
}

/// A graph of an export on rten.
struct Graph {
    model: Box<dyn diffusion::Model>,
    declared: onnx_gpu::proto::Graph,
}

impl Graph {
    fn load(case: &Case, part: &str) -> Self {
        let bytes = fs::read(case.folder().join(part).join("model.onnx")).unwrap();
        Self {
            model: block_on(CpuEngine::new().load(part, &bytes)).unwrap(),
            declared: Model::parse(&bytes).unwrap().graph,
        }
    }

    /// The outputs on one row of values each, in the types that the ports have.
    fn run(&self, given: &[(&str, &[usize], Vec<f32>)]) -> Vec<(String, Vec<f32>)> {
        let inputs = self.declared.inputs.iter().map(|port| {
            let (name, shape, values) = given.iter().find(|(name, ..)| *name == port.name).unwrap();
            let rank = port.shape.as_ref().unwrap().len();
            let shape = [&vec![1; rank - shape.len()], *shape].concat();
            let tensor = match port.dtype {
                DType::I64 => Tensor::i64(&shape, values.iter().map(|&x| x as i64).collect()),
                DType::I32 => Tensor::i32(&shape, values.iter().map(|&x| x as i32).collect()),
                _ => Tensor::f32(&shape, values.clone()),
            };
            (*name, tensor.unwrap())
        });
        let outputs = block_on(self.model.run(inputs.collect())).unwrap();
        let values = |(name, tensor): (String, Tensor)| (name, tensor.into_f32().unwrap());
        outputs.into_iter().map(values).collect()
    }
}

fn of(outputs: &[(String, Vec<f32>)], name: &str) -> Vec<f32> {
    let found = outputs.iter().find(|(output, _)| output == name);
    found.unwrap_or_else(|| panic!("no {name}")).1.clone()
}

/// What the denoiser sees of a text, and the pooled text.
fn conditioning(case: &Case, golden: &Golden, row: &str) -> (Vec<f32>, Option<Vec<f32>>) {
    let ids = |name: &str| -> Vec<f32> {
        let ids = golden.i64(&format!("{name}.{row}"));
        ids.iter().map(|&id| id as f32).collect()
    };
    let run = |part: &str, ids: Vec<f32>| {
        let length = ids.len();
        Graph::load(case, part).run(&[("input_ids", &[length], ids)])
    };
    let first = run("text_encoder", ids("ids"));
    if !golden.has("ids_2.prompt") {
        return (of(&first, "last_hidden_state"), None);
    }
    // SDXL takes the states before the last layer's, side by side.
    let second = run("text_encoder_2", ids("ids_2"));
    let states = |outputs: &[(String, Vec<f32>)]| {
        let layers = outputs
            .iter()
            .filter(|(name, _)| name.starts_with("hidden_states."));
        of(outputs, &format!("hidden_states.{}", layers.count() - 2))
    };
    let (one, two) = (states(&first), states(&second));
    let length = golden.shape("ids.prompt")[0];
    let rows = one
        .chunks(one.len() / length)
        .zip(two.chunks(two.len() / length));
    let beside = rows.flat_map(|(one, two)| [one, two].concat()).collect();
    (beside, Some(of(&second, "text_embeds")))
}

/// The answer to a row of an evaluation.
fn denoised(denoiser: &Graph, golden: &Golden, index: usize, row: &str) -> Vec<f32> {
    let shape = golden.shape("denoiser.samples");
    let sample = golden.rows("denoiser.samples").swap_remove(index);
    let time = vec![golden.f32("timesteps")[index]];
    let tensors = [
        ("encoder_hidden_states", format!("hidden.{row}")),
        ("text_embeds", format!("pooled.{row}")),
        ("time_ids", "time_ids".to_owned()),
        ("timestep_cond", "timestep_cond".to_owned()),
    ];
    let tensors = tensors
        .iter()
        .filter(|(_, name)| golden.has(name))
        .map(|(port, name)| (*port, golden.shape(name), golden.f32(name)));
    let tensors: Vec<_> = tensors.collect();
    let mut given: Vec<(&str, &[usize], Vec<f32>)> =
        vec![("sample", &shape[1..], sample), ("timestep", &[], time)];
    for (port, shape, values) in &tensors {
        given.push((port, shape, values.clone()));
    }
    of(&denoiser.run(&given), "out_sample")
}

/// Encoders, denoiser and decoder on rten, each on what diffusers gave its own.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn graphs_give_what_the_networks_gave() {
    let cases = goldens::cases();
    let mut compared = 0;
    for case in cases
        .iter()
        .filter(|case| !case.is_layout() && case.clip_skip.is_none())
    {
        let (golden, name) = (case.golden(), &case.name);
        for row in ["prompt", "negative"] {
            if golden.has(&format!("ids.{row}")) {
                let (hidden, pooled) = conditioning(case, &golden, row);
                near(&hidden, &golden.f32(&format!("hidden.{row}")), 1e-4, name);
                if let Some(pooled) = pooled {
                    near(&pooled, &golden.f32(&format!("pooled.{row}")), 1e-4, name);
                }
            } else if golden.has(&format!("hidden.{row}")) {
                let zeros = golden.f32(&format!("hidden.{row}"));
                assert!(zeros.iter().all(|x| *x == 0.0), "{name}, {row}");
            }
        }
        let denoiser = Graph::load(case, "unet");
        let answers = golden.rows("denoiser.answers");
        for (index, answer) in answers.iter().enumerate() {
            let rows: &[&str] = if golden.has("hidden.negative") {
                &["negative", "prompt"]
            } else {
                &["prompt"]
            };
            let ours = rows
                .iter()
                .flat_map(|row| denoised(&denoiser, &golden, index, row));
            let what = format!("{name}, evaluation {index}");
            near(&ours.collect::<Vec<_>>(), answer, 1e-4, &what);
        }
        let decoder = Graph::load(case, "vae_decoder");
        let latents = golden.f32("latents.decoded");
        let shape = golden.shape("latents.decoded");
        let planes = of(
            &decoder.run(&[("latent_sample", &shape, latents)]),
            "sample",
        );
        let ours = Picture::from_planar(case.width, case.height, &planes).unwrap();
        let theirs = Picture {
            width: case.width,
            height: case.height,
            rgb: golden.u8("image"),
        };
        let difference = ours.max_difference(&theirs).unwrap();
        let allowed = case.tolerance.unwrap_or(TOLERANCE);
        assert!(difference <= allowed, "{name}: {difference} of 255");
        compared += 1;
    }
    assert!(compared >= 25, "{compared} cases");
}
