//! Packages that `models add` makes of tiny pipelines of every family, and their pictures against diffusers'
//! (bench/fixtures/export_families.py): on the processor and on a GPU, latents after each step and the picture.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[expect(
    dead_code,
    reason = "these tests use a part of what those of the stages share"
)]
#[path = "../../crates/diffusion/tests/support/goldens.rs"]
mod goldens;
#[path = "families/language.rs"]
mod language;

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
    cases.retain(|case| from == From::Export || case.author().is_some());
    assert!(cases.len() >= 25, "{} cases", cases.len());
    let packages = Packages::from(&cases, from);
    let mut pipelines: BTreeMap<PathBuf, Pipeline> = BTreeMap::new();
    let mut compared = BTreeSet::new();
    for case in &cases {
        let folder = case.folder();
        // What a request changes is held to exports: of an author's folder one picture on a GPU shows that the graphs are the same.
        let again = from == From::Author && compared.contains(&folder);
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
    // rten 0.27 reads neither constants that are outside of the graph nor zero points of MatMulNBits.
    compare(
        &CpuEngine::new(),
        From::Export,
        &["sd15-external", "sd15-int4"],
    );
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

fn copied(from: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let (path, name) = entry
                .map(|entry| (entry.path(), entry.file_name()))
                .unwrap();
            if path.is_dir() {
                copy(&path, &to.join(name));
            } else {
                fs::copy(&path, to.join(name)).unwrap();
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    copy(from, &dir.path().join(from.file_name().unwrap()));
    dir
}

fn authors(name: &str) -> Case {
    let cases = goldens::cases();
    cases.into_iter().find(|case| case.name == name).unwrap()
}

/// The weights lie in the package byte for byte, each file once: those of 16 bits, and all of several.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn packages_hold_the_authors_files_as_they_are() {
    for (name, expected) in [
        (
            "sd15-fp16-plain",
            [
                ("text_encoder", "model.fp16.safetensors"),
                ("unet", "diffusion_pytorch_model.fp16.safetensors"),
                ("vae", "diffusion_pytorch_model.fp16.safetensors"),
            ],
        ),
        (
            "sdxl-absent",
            [
                ("text_encoder_2", "model.safetensors"),
                ("unet", "diffusion_pytorch_model-00001-of-"),
                ("vae", "diffusion_pytorch_model.safetensors"),
            ],
        ),
    ] {
        let case = authors(name);
        let packages = Packages::from(std::slice::from_ref(&case), From::Author);
        let package = packages.open(&case);
        let dir = packages.dir.path().join(id(&case).replace('/', "--"));
        // In main memory too, where files go once they are not needed any more: two graphs read the autoencoder's.
        let read = |file: &FileEntry| (file.name.clone(), fs::read(dir.join(&file.name)).unwrap());
        let held = Package::from_files(
            &fs::read(dir.join("manifest.json")).unwrap(),
            package.manifest.files().map(read).collect(),
        );
        block_on(Pipeline::load(held.unwrap(), &CpuEngine::new())).unwrap();
        let weights = package
            .manifest
            .files()
            .filter(|file| file.name.ends_with(".safetensors"));
        let mut found = 0;
        for file in weights {
            let (folder, own) = file.name.split_once('.').unwrap();
            let theirs = fs::read(case.author().unwrap().join(folder).join(own)).unwrap();
            assert!(
                fs::read(dir.join(&file.name)).unwrap() == theirs,
                "{}",
                file.name
            );
            let said = &packages.made[&case.folder()];
            assert!(said.contains(&file.sha256), "{said}");
            found += 1;
        }
        for (folder, own) in expected {
            let begins = format!("{folder}.{own}");
            let mut files = package.manifest.files();
            assert!(files.any(|file| file.name.starts_with(&begins)), "{begins}");
        }
        let halves = package
            .manifest
            .files()
            .filter(|file| file.name.contains("fp16"))
            .count();
        assert!(
            found >= 3 && (halves == 0 || halves == found),
            "{found}, {halves}"
        );
    }
}

/// Rewrites the header of a safetensors file, and appends to its data.
fn rewritten(path: &Path, more: &[u8], change: impl Fn(&mut serde_json::Value)) {
    let bytes = fs::read(path).unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
    change(&mut header);
    // Filled up as safetensors does it, so that numbers lie where they can be read in one go.
    let mut header = header.to_string();
    header.extend(std::iter::repeat_n(
        ' ',
        header.len().next_multiple_of(8) - header.len(),
    ));
    let length = (header.len() as u64).to_le_bytes();
    fs::write(path, [&length[..], header.as_bytes(), data, more].concat()).unwrap();
}

/// Names and shapes that checkpoints have had in other years: of the autoencoder's attention, of the text encoder's module, and a
/// buffer of numbers in it.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn checkpoints_of_other_years_make_the_same_picture() {
    let case = authors("sd15-plain");
    let dir = copied(&case.author().unwrap());
    let folder = dir.path().join("sd15");
    rewritten(
        &folder.join("vae/diffusion_pytorch_model.safetensors"),
        &[],
        |header| {
            for side in ["decoder", "encoder"] {
                for (new, old) in [
                    ("to_q", "query"),
                    ("to_k", "key"),
                    ("to_v", "value"),
                    ("to_out.0", "proj_attn"),
                ] {
                    for kind in ["weight", "bias"] {
                        let name =
                            |layer: &str| format!("{side}.mid_block.attentions.0.{layer}.{kind}");
                        let mut entry = header.as_object_mut().unwrap().remove(&name(new)).unwrap();
                        if kind == "weight" {
                            let shape = entry["shape"].as_array_mut().unwrap();
                            shape.extend([1.into(), 1.into()]);
                        }
                        header[name(old)] = entry;
                    }
                }
            }
        },
    );
    let places: Vec<u8> = (0..77i64).flat_map(i64::to_le_bytes).collect();
    rewritten(
        &folder.join("text_encoder/model.safetensors"),
        &places,
        |header| {
            let all = std::mem::take(header.as_object_mut().unwrap());
            let mut end = 0;
            for (name, entry) in all {
                if name == "__metadata__" {
                    continue;
                }
                end = end.max(entry["data_offsets"][1].as_u64().unwrap());
                header[format!("text_model.{name}")] = entry;
            }
            header["text_model.embeddings.position_ids"] = serde_json::json!({"dtype": "I64", "shape": [1, 77], "data_offsets": [end, end + 8 * 77]});
        },
    );
    let models = tempfile::tempdir().unwrap();
    add(models.path(), &folder, &[]).unwrap();
    let package = Package::from_dir(&models.path().join("test--sd15")).unwrap();
    let pipeline = block_on(Pipeline::load(package, &CpuEngine::new())).unwrap();
    let golden = case.golden();
    let (made, _) = run(&pipeline, &case, &golden);
    let difference = made.max_difference(&picture(&golden, "image")).unwrap();
    assert!(difference <= TOLERANCE, "{difference} of 255");
}

/// Configurations and weights that are others make other pictures.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn other_networks_make_other_pictures() {
    type Change = fn(&Path);
    fn set(path: &Path, name: &str, value: serde_json::Value) {
        let mut config: serde_json::Value = goldens::json(path);
        assert_ne!(config[name], value, "{name}");
        config[name] = value;
        fs::write(path, config.to_string()).unwrap();
    }
    /// Exchanges the names of two weights.
    fn swap(path: &Path, one: &str, other: &str) {
        rewritten(path, &[], |header| {
            let first = header[one].take();
            assert!(first.is_object(), "{one}");
            header[one] = header[other].take();
            header[other] = first;
        });
    }
    let changes: [(&str, &str, Change); 9] = [
        ("heads", "sd15-plain", |dir| {
            set(
                &dir.join("unet/config.json"),
                "attention_head_dim",
                2.into(),
            )
        }),
        ("order of waves", "sd15-plain", |dir| {
            set(
                &dir.join("unet/config.json"),
                "flip_sin_to_cos",
                false.into(),
            )
        }),
        ("frequencies", "sd15-plain", |dir| {
            set(&dir.join("unet/config.json"), "freq_shift", 1.into())
        }),
        ("groups", "sd15-plain", |dir| {
            set(&dir.join("vae/config.json"), "norm_num_groups", 2.into())
        }),
        ("scale", "sd15-plain", |dir| {
            set(&dir.join("vae/config.json"), "scaling_factor", 1.0.into())
        }),
        ("function", "sd15-plain", |dir| {
            set(
                &dir.join("text_encoder/config.json"),
                "hidden_act",
                "relu".into(),
            )
        }),
        // That of the padding: of many equal ids the first one counts, on both engines.
        ("pooling", "sdxl-square", |dir| {
            set(
                &dir.join("text_encoder_2/config.json"),
                "eos_token_id",
                0.into(),
            )
        }),
        ("keys and queries", "sd15-plain", |dir| {
            let attention = "up_blocks.1.attentions.0.transformer_blocks.0.attn2";
            let path = dir.join("unet/diffusion_pytorch_model.safetensors");
            swap(
                &path,
                &format!("{attention}.to_k.weight"),
                &format!("{attention}.to_v.weight"),
            );
        }),
        ("halves of a block", "sd15-plain", |dir| {
            let path = dir.join("vae/diffusion_pytorch_model.safetensors");
            swap(
                &path,
                "decoder.mid_block.resnets.0.conv1.weight",
                "decoder.mid_block.resnets.0.conv2.weight",
            );
        }),
    ];
    for (what, name, change) in changes {
        let case = authors(name);
        let golden = case.golden();
        let dir = copied(&case.author().unwrap());
        let folder = dir.path().join(case.author().unwrap().file_name().unwrap());
        change(&folder);
        let models = tempfile::tempdir().unwrap();
        add(models.path(), &folder, &[]).unwrap();
        let package = Package::from_dir(&models.path().join(id(&case).replace('/', "--"))).unwrap();
        let pipeline = block_on(Pipeline::load(package, &CpuEngine::new())).unwrap();
        let (made, _) = run(&pipeline, &case, &golden);
        let difference = made.max_difference(&picture(&golden, "image")).unwrap();
        println!("{what}: {difference} of 255");
        assert!(difference > 2 * TOLERANCE, "{what}: {difference} of 255");
    }
}

/// What is not what its configuration says is refused by name, and nothing is left behind.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn what_cannot_be_built_is_refused_by_name() {
    fn config(dir: &Path, change: impl Fn(&mut serde_json::Value)) {
        let path = dir.join("unet/config.json");
        let mut config: serde_json::Value = goldens::json(&path);
        change(&mut config);
        fs::write(path, config.to_string()).unwrap();
    }
    type Change = fn(&Path);
    let changes: [(&str, Change); 7] = [
        ("twist", |dir| config(dir, |c| c["twist"] = 1.into())),
        ("resnet_time_scale_shift", |dir| {
            config(dir, |c| c["resnet_time_scale_shift"] = "scale_shift".into())
        }),
        ("AttnDownBlock2D", |dir| {
            config(dir, |c| c["down_block_types"][0] = "AttnDownBlock2D".into())
        }),
        ("UNet3DConditionModel", |dir| {
            config(dir, |c| c["_class_name"] = "UNet3DConditionModel".into())
        }),
        ("nothing reads mid_block", |dir| {
            config(dir, |c| c["mid_block_type"] = serde_json::Value::Null)
        }),
        ("the weights lack down_blocks.0.resnets.1", |dir| {
            config(dir, |c| c["layers_per_block"] = 2.into())
        }),
        ("a pickle", |dir| {
            let unet = dir.join("unet");
            fs::rename(
                unet.join("diffusion_pytorch_model.safetensors"),
                unet.join("diffusion_pytorch_model.bin"),
            )
            .unwrap();
        }),
    ];
    let author = authors("sd15-plain").author().unwrap();
    for (said, change) in changes {
        let dir = copied(&author);
        let folder = dir.path().join(author.file_name().unwrap());
        change(&folder);
        let models = tempfile::tempdir().unwrap();
        let error = add(models.path(), &folder, &[]).unwrap_err();
        assert!(error.contains(said), "{said}: {error}");
        assert_eq!(fs::read_dir(models.path()).unwrap().count(), 0, "{said}");
    }
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

/// A hub that has one model, the folder of an author, and what it was asked for: paths, and whether for a part alone.
struct HubOf {
    url: String,
    asked: Arc<Mutex<Vec<(String, bool)>>>,
    _runtime: tokio::runtime::Runtime,
}

impl HubOf {
    fn start(folder: &Path) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (folder, seen) = (folder.to_owned(), Arc::clone(&asked));
        let answer = move |request: axum::extract::Request| {
            let (status, headers, body) = answered(&folder, &seen, &request);
            let mut response = axum::http::Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            std::future::ready(response.body(axum::body::Body::from(body)).unwrap())
        };
        let app = axum::Router::new().fallback(answer);
        runtime.spawn(async { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            asked,
            _runtime: runtime,
        }
    }

    fn add(&self, models: &Path) -> Result<String, String> {
        let line = [
            "demo-hub",
            "models",
            "add",
            "maker/model",
            "--hub-url",
            &self.url,
        ];
        let line = line
            .into_iter()
            .chain(["--models-dir", models.to_str().unwrap()]);
        added(Cli::try_parse_from(line).unwrap())
    }
}

fn answered(
    folder: &Path,
    asked: &Mutex<Vec<(String, bool)>>,
    request: &axum::extract::Request,
) -> (u16, Vec<(&'static str, String)>, Vec<u8>) {
    let path = request.uri().path();
    if path == "/api/models/maker/model" {
        let siblings = files_below(folder).into_iter().map(|file| {
            let bytes = fs::read(folder.join(&file)).unwrap();
            let sha256 = server::images::verify::sha256_hex(&bytes);
            serde_json::json!({"rfilename": file, "size": bytes.len(), "lfs": {"sha256": sha256, "size": bytes.len(), "pointerSize": 134}})
        });
        let model = serde_json::json!({
            "_id": "638f", "id": "maker/model", "modelId": "maker/model", "author": "maker", "sha": "451f4fe1", "private": false,
            "gated": false, "disabled": false, "downloads": 1, "likes": 1, "lastModified": "2024-09-07T16:20:30.000Z",
            "createdAt": "2024-08-30T10:00:00.000Z", "pipeline_tag": "text-to-image", "library_name": "diffusers",
            "tags": ["license:mit"], "cardData": {"license": "mit"}, "siblings": siblings.collect::<Vec<_>>()});
        return (200, Vec::new(), model.to_string().into_bytes());
    }
    let file = path.strip_prefix("/maker/model/resolve/451f4fe1/").unwrap();
    let all = fs::read(folder.join(file)).unwrap();
    let range = request
        .headers()
        .get("range")
        .map(|range| range.to_str().unwrap().to_owned());
    asked
        .lock()
        .unwrap()
        .push((file.to_owned(), range.is_some()));
    let Some(range) = range else {
        return (200, Vec::new(), all);
    };
    let (first, last) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let range = format!("bytes {first}-{last}/{}", all.len());
    (
        206,
        vec![("content-range", range)],
        all[first..=last].to_vec(),
    )
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(
                files_below(&path)
                    .into_iter()
                    .map(|file| format!("{name}/{file}")),
            );
        } else {
            found.push(name);
        }
    }
    found
}

/// From the hub as from a folder, headers before weights: what cannot be built costs no download.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn the_hub_is_asked_for_weights_once_their_graphs_are_built() {
    for name in ["sdxl-absent", "sd15-fp16-plain"] {
        let author = authors(name).author().unwrap();
        let models = tempfile::tempdir().unwrap();
        let hub = HubOf::start(&author);
        hub.add(models.path()).unwrap();
        let package = Package::from_dir(&models.path().join("maker--model")).unwrap();
        let asked = hub.asked.lock().unwrap().clone();
        for file in package
            .manifest
            .files()
            .filter(|file| file.name.ends_with(".safetensors"))
        {
            let (folder, own) = file.name.split_once('.').unwrap();
            let path = format!("{folder}/{own}");
            let theirs = fs::read(author.join(&path)).unwrap();
            assert_eq!(
                file.sha256,
                server::images::verify::sha256_hex(&theirs),
                "{path}"
            );
            let parts: Vec<bool> = asked
                .iter()
                .filter(|(file, _)| *file == path)
                .map(|(_, part)| *part)
                .collect();
            assert_eq!(
                parts,
                [true, true, false],
                "{path}: its length, its header, and all of it"
            );
        }
        let first = asked
            .iter()
            .position(|(file, part)| file.ends_with(".safetensors") && !part)
            .unwrap();
        assert!(asked[first..].iter().all(|(_, part)| !part), "{name}");
        // Neither the other precision nor anything that no part needs.
        let unused = asked
            .iter()
            .find(|(file, _)| name.contains("fp16") && file.ends_with("model.safetensors"));
        assert_eq!(unused, None);
    }

    let author = authors("sd15-plain").author().unwrap();
    let dir = copied(&author);
    let folder = dir.path().join(author.file_name().unwrap());
    let path = folder.join("vae/config.json");
    let mut config: serde_json::Value = goldens::json(&path);
    config["mid_block_add_attention"] = false.into();
    fs::write(&path, config.to_string()).unwrap();
    let models = tempfile::tempdir().unwrap();
    let hub = HubOf::start(&folder);
    let error = hub.add(models.path()).unwrap_err();
    assert!(
        error.contains("nothing reads decoder.mid_block.attentions.0"),
        "{error}"
    );
    let asked = hub.asked.lock().unwrap();
    assert!(
        asked
            .iter()
            .all(|(file, part)| !file.ends_with(".safetensors") || *part),
        "{asked:?}"
    );
}
