//! Pipelines whose text encoder is a language model, added from safetensors as their authors publish them
//! (bench/fixtures/families/language.py): ids, hidden states, latents after each step and the picture.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diffusion::tokenizer::Tokenizer;
use diffusion::{CpuEngine, Engine, GpuEngine, Model, Package, Pipeline, TOLERANCE, Tensor};
use futures::executor::block_on;
use onnx_gpu::AdapterChoice;
use serde_json::{Value, json};

use super::goldens::{self, Case, Golden, near};
use super::{LATENTS, Packages, picture, run};

const CASES: &str = "language.json";

/// The language model of a package.
fn encoder(packages: &Packages, case: &Case, engine: &dyn Engine) -> Box<dyn Model> {
    let dir = packages.folder(case);
    let package = Package::from_dir(&dir).unwrap();
    let run = &package.manifest.conditioning[0];
    let graph = package.manifest.graph(&run.graph).unwrap();
    let mut files = HashMap::new();
    for file in graph.files() {
        files.insert(file.to_owned(), std::fs::read(dir.join(file)).unwrap());
    }
    block_on(engine.load_graph(&run.graph, graph, &in_memory(files), None)).unwrap()
}

/// Ids and hidden states of a row.
fn texts(packages: &Packages, case: &Case, model: &dyn Model, golden: &Golden, row: &str) {
    let dir = packages.folder(case);
    let package = Package::from_dir(&dir).unwrap();
    let manifest = &package.manifest;
    let settings = &manifest.texts["prompt"];
    let json = std::fs::read(dir.join(&settings.file)).unwrap();
    let tokenizer = Tokenizer::from_bytes(&json, settings).unwrap();
    let negative = case.negative_prompt.as_deref().unwrap_or_default();
    let text = if row == "prompt" {
        &*case.prompt
    } else {
        negative
    };
    let tokens = match row {
        "prompt" => tokenizer.encode(text).unwrap(),
        _ => tokenizer.encode_negative(text).unwrap(),
    };
    let what = format!("{}, {row}", case.name);
    assert_eq!(tokens.ids, golden.i64(&format!("ids.{row}")), "{what}");
    let all = tokens.ids.len();
    let kept = settings
        .keep
        .map_or_else(|| (0..all).collect(), |keep| keep.positions(all));
    if golden.has(&format!("mask.{row}")) {
        let seen: Vec<i64> = kept.iter().map(|&at| tokens.mask[at]).collect();
        assert_eq!(seen, golden.i64(&format!("mask.{row}")), "{what}");
    }
    let run = &manifest.conditioning[0];
    let shape = [1, all];
    let inputs = vec![
        (
            "input_ids",
            Tensor::i64(&shape, tokens.ids.clone()).unwrap(),
        ),
        (
            "attention_mask",
            Tensor::i64(&shape, tokens.mask.clone()).unwrap(),
        ),
    ];
    let outputs: HashMap<String, Tensor> =
        block_on(model.run(inputs)).unwrap().into_iter().collect();
    // Side by side in the order in which the denoiser is given them.
    let names = match &manifest.denoiser.inputs["encoder_hidden_states"] {
        diffusion::manifest::Feed::Values(names) => names,
        other => panic!("{other:?}"),
    };
    let states = names.iter().map(|name| {
        let (output, _) = run
            .outputs
            .iter()
            .find(|(_, value)| *value == name)
            .unwrap();
        outputs[output].clone()
    });
    let states = Tensor::beside(&states.collect::<Vec<_>>())
        .unwrap()
        .into_f32()
        .unwrap();
    let width = states.len() / all;
    let ours = kept.iter().map(|&at| &states[at * width..][..width]);
    let theirs = golden.f32(&format!("hidden.{row}"));
    // Where the denoiser is told of padding, nobody sees its states: behind a window of nothing but padding they are anything.
    let told = golden.has(&format!("mask.{row}"));
    let seen = |at: usize| !told || tokens.mask[at] == 1;
    let pairs = ours.zip(theirs.chunks(width)).zip(&kept);
    let (ours, theirs): (Vec<&[f32]>, Vec<&[f32]>) = pairs
        .filter(|(_, at)| seen(**at))
        .map(|(pair, _)| pair)
        .unzip();
    assert!(ours.len() > usize::from(row == "prompt"), "{what}");
    near(&ours.concat(), &theirs.concat(), 1e-4, &what);
}

struct InMemory(HashMap<String, Vec<u8>>);

pub(super) fn in_memory(files: HashMap<String, Vec<u8>>) -> Arc<dyn diffusion::Files> {
    Arc::new(InMemory(files))
}

#[async_trait::async_trait]
impl diffusion::Files for InMemory {
    fn size(&self, file: &str) -> diffusion::Result<u64> {
        Ok(self.0[file].len() as u64)
    }

    async fn read(
        &self,
        file: &str,
        offset: u64,
        length: usize,
    ) -> diffusion::Result<std::borrow::Cow<'_, [u8]>> {
        Ok(self.0[file][offset as usize..][..length].into())
    }
}

/// Ids, hidden states, latents and pictures of the cases in a file.
pub(super) fn compare(engine: &dyn Engine, file: &str) {
    let cases = goldens::cases_of(file);
    let packages = Packages::of(&cases);
    let mut encoders: BTreeMap<PathBuf, Box<dyn Model>> = BTreeMap::new();
    let mut pipelines: BTreeMap<PathBuf, Pipeline> = BTreeMap::new();
    for case in &cases {
        let model = encoders
            .entry(case.folder())
            .or_insert_with(|| encoder(&packages, case, engine));
        let golden = case.golden();
        for row in ["prompt", "negative"] {
            if golden.has(&format!("ids.{row}")) {
                texts(&packages, case, &**model, &golden, row);
            }
        }
        let pipeline = pipelines
            .entry(case.folder())
            .or_insert_with(|| block_on(Pipeline::load(packages.open(case), engine)).unwrap());
        let (made, latents) = run(pipeline, case, &golden);
        let steps = golden.rows("latents.steps");
        assert_eq!(latents.len(), steps.len(), "{}", case.name);
        for (index, (ours, theirs)) in latents.iter().zip(&steps).enumerate() {
            near(
                ours,
                theirs,
                LATENTS,
                &format!("{}, step {index}", case.name),
            );
        }
        let difference = made.max_difference(&picture(&golden, "image")).unwrap();
        println!(
            "{}: {} steps, {difference} of 255 on {}",
            case.name,
            latents.len(),
            pipeline.backend()
        );
        assert!(
            difference <= TOLERANCE,
            "{}: {difference} of 255",
            case.name
        );
    }
}

#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn authors_folders_make_the_pictures_of_diffusers_on_the_processor() {
    compare(&CpuEngine::new(), CASES);
}

#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn authors_folders_make_the_pictures_of_diffusers_on_a_gpu() {
    let engine = block_on(GpuEngine::request(AdapterChoice::HighPerformance)).unwrap();
    compare(&engine, CASES);
}

fn difference(packages: &Packages, case: &Case) -> u8 {
    let engine = CpuEngine::new();
    let pipeline = block_on(Pipeline::load(packages.open(case), &engine)).unwrap();
    let (made, _) = run(&pipeline, case, &case.golden());
    made.max_difference(&picture(&case.golden(), "image"))
        .unwrap()
}

pub(super) type Edit = fn(&mut Value);
/// What a change is, and the change.
pub(super) type Change = (&'static str, Edit);

/// Fails unless each change of a case's manifest makes another picture.
pub(super) fn shows(cases: &[Case], name: &str, changes: &[Change]) {
    let case = cases.iter().find(|case| case.name == name).unwrap();
    let packages = Packages::of(std::slice::from_ref(case));
    let path = packages.folder(case).join("manifest.json");
    let manifest: Value = goldens::json(&path);
    assert!(difference(&packages, case) <= TOLERANCE);
    for (what, change) in changes {
        let mut other = manifest.clone();
        change(&mut other);
        assert_ne!(other, manifest, "{what}");
        std::fs::write(&path, other.to_string()).unwrap();
        let difference = difference(&packages, case);
        println!("{name}, {what}: {difference} of 255");
        assert!(difference > 2 * TOLERANCE, "{what}: {difference} of 255");
    }
}

/// What would be a fault of the packer shows.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn other_wirings_of_language_models_make_other_pictures() {
    let cases = goldens::cases_of(CASES);
    let no_chat: Change = ("no chat", |m| {
        m["texts"]["prompt"]["prefix"] = json!("");
        m["texts"]["prompt"]["suffix"] = json!("");
    });
    let sign: Change = ("the other sign", |m| {
        let negated = m["denoiser"]["negated"] == json!(true);
        m["denoiser"]["negated"] = json!(!negated);
    });
    let klein: [Change; 5] = [
        ("states in another order", |m| {
            m["denoiser"]["inputs"]["encoder_hidden_states"]["values"] =
                json!(["states_27", "states_18", "states_9"]);
        }),
        ("no shift", |m| {
            m["scheduler"]["flow"]["euler"]["shift"] = json!({"static": 1.0});
        }),
        ("padding that is seen", |m| {
            m["texts"]["prompt"]["masks"] = json!(false);
        }),
        no_chat,
        sign,
    ];
    shows(&cases, "klein-four", &klein);
    let z_image: [Change; 5] = [
        ("time from noise", |m| {
            m["denoiser"]["time"] = json!({"factor": 0.001});
        }),
        ("the guidance of others", |m| {
            m["guidance"] = json!("classifier-free");
        }),
        ("the latents' shift", |m| {
            m["decoder"]["scale"] = json!(1.0);
        }),
        no_chat,
        sign,
    ];
    shows(&cases, "z-image-guided", &z_image);
}

/// Configurations and weights that are not understood.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn what_is_not_understood_of_a_folder_is_refused_by_name() {
    let cases = goldens::cases_of(CASES);
    let tries: [(&str, Edit, &str); 7] = [
        (
            "transformer/config.json",
            |c| c["swirl"] = json!(3),
            "swirl",
        ),
        (
            "transformer/config.json",
            |c| c["guidance_embeds"] = json!(true),
            "guidance_embeds",
        ),
        (
            "transformer/config.json",
            |c| c["num_layers"] = json!(1),
            "transformer_blocks.1",
        ),
        (
            "text_encoder/config.json",
            |c| c["rope_parameters"] = json!({"rope_type": "yarn"}),
            "rope",
        ),
        (
            "text_encoder/config.json",
            |c| c["num_hidden_layers"] = json!(20),
            "27",
        ),
        (
            "vae/config.json",
            |c| c["patch_size"] = json!([1, 1]),
            "patch_size",
        ),
        (
            "scheduler/scheduler_config.json",
            |c| c["time_shift_type"] = json!("linear"),
            "time_shift_type",
        ),
    ];
    refuses(&cases[0], &tries);
}

/// Fails unless each change of a file of a case's folder is refused with these words.
pub(super) fn refuses(case: &Case, tries: &[(&str, Edit, &str)]) {
    for (file, change, said) in tries {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("changed");
        copy(&case.folder(), &folder);
        let path = folder.join(file);
        // Python writes numbers that JSON does not have.
        let text = std::fs::read_to_string(&path).unwrap();
        let mut config: Value = serde_json::from_str(&text.replace("-Infinity", "null")).unwrap();
        change(&mut config);
        std::fs::write(&path, config.to_string()).unwrap();
        let models = tempfile::tempdir().unwrap();
        let error = super::add(models.path(), &folder, super::more(case)).unwrap_err();
        assert!(error.contains(said), "{file}: {error}");
    }
}

pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
