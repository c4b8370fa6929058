//! Packages that `models add` makes of tiny pipelines of every family, and their pictures against diffusers'
//! (bench/fixtures/export_families.py): on the processor and on a GPU, latents after each step and the picture.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "families/authors.rs"]
mod authors;
#[path = "families/checkpoints.rs"]
mod checkpoints;
#[path = "families/gemma.rs"]
mod gemma;
#[expect(
    dead_code,
    reason = "these tests use a part of what those of the stages share"
)]
#[path = "../../crates/diffusion/tests/support/goldens.rs"]
mod goldens;
#[path = "families/hub.rs"]
mod hub;
#[path = "families/language.rs"]
mod language;
#[path = "families/lora.rs"]
mod lora;
#[path = "families/smaller.rs"]
mod smaller;
#[path = "families/t5.rs"]
mod t5;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clap::Parser;
use diffusion::manifest::FileEntry;
use diffusion::{
    Cancel, CpuEngine, Engine, GenerationRequest, GpuEngine, Package, Picture, Pipeline,
    RunOptions, Start, Step, TOLERANCE,
};
use futures::executor::block_on;
use goldens::{Case, Golden, near};
use onnx_gpu::AdapterChoice;
use server::config::{Cli, Command};

/// How far latents may be off, as a share of their range.
const LATENTS: f32 = 1e-4;
/// The same where the graphs' ports round to 16 bits.
const LATENTS_OF_HALVES: f32 = 2e-2;

/// What `demo-hub models add` says.
fn add(models: &Path, folder: &Path, more: &[&str]) -> Result<String, String> {
    let id = id_of(folder);
    let mut line = vec!["demo-hub", "models", "add", folder.to_str().unwrap()];
    line.extend(["--id", &id, "--license", "mit"]);
    line.extend(["--models-dir", models.to_str().unwrap()]);
    line.extend(more);
    added(Cli::try_parse_from(line).unwrap())
}

fn added(cli: Cli) -> Result<String, String> {
    let Command::Models(config) = cli.command else {
        unreachable!()
    };
    let mut report = Vec::new();
    let done = server::models::run(config, &mut report);
    let said = String::from_utf8(report).unwrap();
    done.map(|()| said).map_err(|error| format!("{error:#}"))
}

fn id_of(folder: &Path) -> String {
    format!("test/{}", folder.file_name().unwrap().to_str().unwrap())
}

fn id(case: &Case) -> String {
    id_of(&case.folder())
}

/// What a folder of one file level does not say.
fn more(case: &Case) -> &'static [&'static str] {
    if case.folder().ends_with("sd15-flat") {
        &["--latent-scale", "0.18215", "--size", "64x64"]
    } else if case.folder().join("transformer").is_dir() {
        &["--size", "64x64"]
    } else {
        &[]
    }
}

/// The packages of all cases' folders, made once each.
struct Packages {
    dir: tempfile::TempDir,
    made: BTreeMap<PathBuf, String>,
}

/// Which of a case's folders a package is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Export,
    Author,
}

impl Packages {
    fn of(cases: &[Case]) -> Self {
        Self::from(cases, From::Export)
    }

    fn from(cases: &[Case], from: From) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut made = BTreeMap::new();
        for case in cases {
            let (folder, more) = match from {
                From::Export => (case.folder(), more(case)),
                From::Author => (case.author().unwrap(), &[][..]),
            };
            made.entry(case.folder()).or_insert_with(|| {
                let said = add(dir.path(), &folder, more);
                said.unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
            });
        }
        Self { dir, made }
    }

    fn folder(&self, case: &Case) -> PathBuf {
        self.dir.path().join(id(case).replace('/', "--"))
    }

    fn open(&self, case: &Case) -> Package {
        Package::from_dir(&self.folder(case)).unwrap()
    }
}

fn picture(golden: &Golden, name: &str) -> Picture {
    let shape = golden.shape(name);
    Picture {
        width: shape[1] as u32,
        height: shape[0] as u32,
        rgb: golden.u8(name),
    }
}

/// Runs a case; gives the picture and the latents after each step.
fn run(pipeline: &Pipeline, case: &Case, golden: &Golden) -> (Picture, Vec<Vec<f32>>) {
    let request = GenerationRequest {
        model: id(case),
        prompt: case.prompt.clone(),
        negative_prompt: case.negative_prompt.clone(),
        seed: Some(case.seed),
        num_inference_steps: Some(case.steps),
        guidance_scale: Some(case.guidance_scale),
        width: Some(case.width),
        height: Some(case.height),
        sampler: case.sampler.clone(),
        clip_skip: case.clip_skip,
        ..GenerationRequest::default()
    };
    let start = case.image.then(|| Start {
        picture: picture(golden, "input.image"),
        strength: case.strength.unwrap_or(1.0),
        mask: case.mask.then(|| golden.u8("input.mask")),
        // What diffusers gives is what the autoencoder makes of all of it.
        keep_outside: false,
    });
    let options = RunOptions {
        checkpoints: true,
        start,
        ..RunOptions::default()
    };
    let mut latents = Vec::new();
    let mut on_step = |step: Step| latents.push(step.checkpoint.unwrap().latents);
    let request = pipeline.resolve(&request).unwrap();
    let made = block_on(pipeline.run(&request, options, &mut on_step, &Cancel::default()));
    let made = made.unwrap_or_else(|e| panic!("{}: {e}", case.name));
    (made, latents)
}

fn compare(engine: &dyn Engine, from: From, skipped: &[&str]) {
    let mut cases = goldens::cases();
    cases.retain(|case| match from {
        // Exports of Stable Diffusion 1 give nothing but what is behind the last norm.
        From::Export => case.clip_skip.is_none() || !case.folder().ends_with("sd15"),
        From::Author => case.author().is_some(),
    });
    assert!(cases.len() >= 25, "{} cases", cases.len());
    let packages = Packages::from(&cases, from);
    let mut pipelines: BTreeMap<PathBuf, Pipeline> = BTreeMap::new();
    let mut compared = BTreeSet::new();
    for case in &cases {
        let folder = case.folder();
        // What a request changes is held to exports: of an author's folder one picture on a GPU shows that the graphs are the same.
        let again = from == From::Author && compared.contains(&folder) && case.clip_skip.is_none();
        if again && engine.backend() != CpuEngine::new().backend() {
            continue;
        }
        if skipped.iter().any(|name| folder.ends_with(name)) {
            assert!(
                packages.made[&folder].contains("does not run on"),
                "{}",
                case.name
            );
            continue;
        }
        let golden = case.golden();
        let pipeline = pipelines
            .entry(folder.clone())
            .or_insert_with(|| block_on(Pipeline::load(packages.open(case), engine)).unwrap());
        let (made, latents) = run(pipeline, case, &golden);
        // Graphs that are built have ports of 32 bits, whatever their weights are.
        let halves = from == From::Export && folder.ends_with("sd15-fp16");
        let share = if halves { LATENTS_OF_HALVES } else { LATENTS };
        let steps = golden.rows("latents.steps");
        // A step may be made of several evaluations; the golden has each.
        let spare = steps.len() - latents.len();
        for (index, ours) in latents.iter().enumerate() {
            let theirs = &steps[index + spare];
            near(ours, theirs, share, &format!("{}, step {index}", case.name));
        }
        let difference = made.max_difference(&picture(&golden, "image")).unwrap();
        let allowed = case.tolerance.unwrap_or(TOLERANCE);
        println!(
            "{}: {} steps, {difference} of 255 on {}",
            case.name,
            latents.len(),
            pipeline.backend()
        );
        assert!(difference <= allowed, "{}: {difference} of 255", case.name);
        compared.insert(folder);
    }
    assert!(compared.len() >= 12, "{compared:?}");
}

#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn packages_make_the_pictures_of_diffusers_on_the_processor() {
    // rten 0.27 does not read constants that are outside of the graph.
    compare(&CpuEngine::new(), From::Export, &["sd15-external"]);
}

#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn packages_make_the_pictures_of_diffusers_on_a_gpu() {
    let engine = block_on(GpuEngine::request(AdapterChoice::HighPerformance)).unwrap();
    compare(&engine, From::Export, &[]);
}

#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn authors_files_make_the_pictures_of_diffusers_on_the_processor() {
    compare(&CpuEngine::new(), From::Author, &[]);
}

#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn authors_files_make_the_pictures_of_diffusers_on_a_gpu() {
    let engine = block_on(GpuEngine::request(AdapterChoice::HighPerformance)).unwrap();
    compare(&engine, From::Author, &[]);
}

/// A mask leaves what is outside untouched; strength 0 gives the picture back as the autoencoder has it.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn what_is_outside_of_a_mask_stays_and_strength_nothing_changes_nothing() {
    let cases = goldens::cases();
    let case = cases
        .iter()
        .find(|case| case.name == "sd15-inpaint")
        .unwrap();
    let packages = Packages::of(std::slice::from_ref(case));
    let pipeline = block_on(Pipeline::load(packages.open(case), &CpuEngine::new())).unwrap();
    let golden = case.golden();
    let (before, mask) = (picture(&golden, "input.image"), golden.u8("input.mask"));
    let make = |strength, mask: Option<Vec<u8>>| {
        let request = GenerationRequest {
            model: id(case),
            prompt: case.prompt.clone(),
            seed: Some(case.seed),
            num_inference_steps: Some(case.steps),
            ..GenerationRequest::default()
        };
        let options = RunOptions {
            start: Some(Start {
                picture: before.clone(),
                strength,
                mask,
                keep_outside: true,
            }),
            ..RunOptions::default()
        };
        let request = pipeline.resolve(&request).unwrap();
        block_on(pipeline.run(&request, options, &mut |_| {}, &Cancel::default())).unwrap()
    };
    let made = make(0.6, Some(mask.clone()));
    let pixels = made.rgb.chunks(3).zip(before.rgb.chunks(3)).zip(&mask);
    let (mut kept, mut changed) = (0, 0);
    for ((after, before), mask) in pixels {
        if *mask < 128 {
            assert_eq!(after, before);
            kept += 1;
        } else if after != before {
            changed += 1;
        }
    }
    assert!(
        kept > 100 && changed > 100,
        "{kept} kept, {changed} changed"
    );
    // The autoencoder's own error is what it makes of its own latents: no prompt and no seed has a part in it.
    let back = make(0.0, None);
    assert_eq!(back, make(0.0, None));
    assert_ne!(back, make(0.2, None));
}

/// What would be a fault of the packer shows: text encoders swapped, the answer's sign flipped, the scale or the pooled text of
/// another encoder left out.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn other_wirings_make_other_pictures() {
    let cases = goldens::cases();
    let case = cases
        .iter()
        .find(|case| case.name == "sdxl-negative")
        .unwrap();
    let packages = Packages::of(std::slice::from_ref(case));
    let path = packages
        .dir
        .path()
        .join(id(case).replace('/', "--"))
        .join("manifest.json");
    let manifest: serde_json::Value = goldens::json(&path);
    let golden = case.golden();
    let expected = picture(&golden, "image");
    let changes: [fn(&mut serde_json::Value); 4] = [
        |m| {
            m["denoiser"]["inputs"]["encoder_hidden_states"]["values"] =
                serde_json::json!(["states_2", "states"])
        },
        |m| m["denoiser"]["negated"] = true.into(),
        |m| m["decoder"]["scale"] = 1.0.into(),
        |m| {
            m["texts"]["prompt_2"]["padding"]["token"] =
                m["texts"]["prompt"]["padding"]["token"].clone()
        },
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut other = manifest.clone();
        change(&mut other);
        assert_ne!(other, manifest, "change {index}");
        std::fs::write(&path, other.to_string()).unwrap();
        let engine = CpuEngine::new();
        let pipeline = Pipeline::load(packages.open(case), &engine);
        let pipeline = block_on(pipeline).unwrap();
        let (made, _) = run(&pipeline, case, &golden);
        let difference = made.max_difference(&expected).unwrap();
        assert!(
            difference > 5 * TOLERANCE,
            "change {index}: {difference} of 255"
        );
    }
}
