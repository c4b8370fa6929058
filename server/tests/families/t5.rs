//! Pipelines for which T5 reads prompts, alone or beside CLIP, added from safetensors as their authors publish them
//! (bench/fixtures/families/t5.py): ids, what the denoiser is told, latents after each step and the picture.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use diffusion::manifest::{Feed, Manifest, TextInput};
use diffusion::tokenizer::Tokenizer;
use diffusion::{CpuEngine, Engine, GpuEngine, Model, Package, Pipeline, TOLERANCE, Tensor};
use futures::executor::block_on;
use onnx_gpu::AdapterChoice;
use serde_json::{Value, json};

use super::goldens::{self, Case, Golden, near};
use super::language::{Change, Edit, copy, in_memory, shows};
use super::{LATENTS, Packages, picture, run};

const CASES: &str = "t5.json";

/// How far conditioning may be off, as a share of its range.
const CONDITIONING: f32 = 1e-4;

/// The text encoders of a package by their graphs' names.
fn encoders(
    packages: &Packages,
    case: &Case,
    engine: &dyn Engine,
) -> BTreeMap<String, Box<dyn Model>> {
    let dir = packages.folder(case);
    let manifest = Package::from_dir(&dir).unwrap().manifest;
    let load = |name: &String| {
        let graph = manifest.graph(name).unwrap();
        let read = |file: &str| (file.to_owned(), std::fs::read(dir.join(file)).unwrap());
        let files: HashMap<String, Vec<u8>> = graph.files().map(read).collect();
        let model = block_on(engine.load_graph(name, graph, &in_memory(files), None));
        (name.clone(), model.unwrap())
    };
    manifest
        .conditioning
        .iter()
        .map(|run| load(&run.graph))
        .collect()
}

/// What the encoders of a package give for a row, by the manifest's names; ids and masks are held to the golden's.
fn values(
    packages: &Packages,
    case: &Case,
    manifest: &Manifest,
    models: &BTreeMap<String, Box<dyn Model>>,
    golden: &Golden,
    row: &str,
) -> HashMap<String, Tensor> {
    let negative = case.negative_prompt.as_deref().unwrap_or_default();
    let text = if row == "prompt" {
        &*case.prompt
    } else {
        negative
    };
    let mut found = HashMap::new();
    for run in &manifest.conditioning {
        let settings = &manifest.texts[&run.text];
        let json = std::fs::read(packages.folder(case).join(&settings.file)).unwrap();
        let tokenizer = Tokenizer::from_bytes(&json, settings).unwrap();
        let tokens = tokenizer.encode(text).unwrap();
        let what = format!("{}, {row} of {}", case.name, run.text);
        let number = run.text.trim_start_matches("prompt");
        assert_eq!(
            tokens.ids,
            golden.i64(&format!("ids{number}.{row}")),
            "{what}"
        );
        if settings.masks {
            assert_eq!(tokens.mask, golden.i64(&format!("mask.{row}")), "{what}");
        }
        let shape = [1, tokens.ids.len()];
        let inputs = run.inputs.iter().map(|(name, input)| {
            let numbers = match input {
                TextInput::Ids => tokens.ids.clone(),
                TextInput::Mask => tokens.mask.clone(),
            };
            (&**name, Tensor::i64(&shape, numbers).unwrap())
        });
        let outputs = block_on(models[&run.graph].run(inputs.collect())).unwrap();
        for (name, tensor) in outputs {
            if let Some(value) = run.outputs.get(&*name) {
                found.insert(value.clone(), tensor);
            }
        }
    }
    found
}

/// Holds what the denoiser is told of a row to what diffusers' was.
fn conditioning(
    manifest: &Manifest,
    values: &HashMap<String, Tensor>,
    golden: &Golden,
    row: &str,
    what: &str,
) {
    let given = |port: &str| -> Option<(Vec<usize>, Vec<f32>)> {
        match manifest.denoiser.inputs.get(port)? {
            Feed::Values(names) => {
                let parts: Vec<Tensor> = names.iter().map(|name| values[name].clone()).collect();
                let joined = Tensor::beside(&parts).unwrap();
                Some((joined.shape().to_vec(), joined.into_f32().unwrap()))
            }
            Feed::Zeros([tokens, width]) => {
                Some((vec![1, *tokens, *width], vec![0.0; tokens * width]))
            }
            other => panic!("{port} is given {other:?}"),
        }
    };
    let (shape, mut states) = given("encoder_hidden_states").unwrap();
    if let Some((wide, more)) = given("encoder_hidden_states_t5") {
        // Filled up with zeros to the width of T5's tokens, which stand behind.
        let padded = states.chunks(shape[2]).flat_map(|token| {
            let zeros = std::iter::repeat_n(0.0, wide[2] - shape[2]);
            token.iter().copied().chain(zeros)
        });
        states = padded.chain(more).collect();
    }
    near(
        &states,
        &golden.f32(&format!("hidden.{row}")),
        CONDITIONING,
        what,
    );
    if let Some((_, pooled)) = given("pooled_projections") {
        near(
            &pooled,
            &golden.f32(&format!("pooled.{row}")),
            CONDITIONING,
            what,
        );
    } else {
        assert!(!golden.has(&format!("pooled.{row}")), "{what}");
    }
}

fn compare(cases: &[Case], packages: &Packages, engine: &dyn Engine) {
    let mut models = BTreeMap::new();
    let mut pipelines: BTreeMap<PathBuf, Pipeline> = BTreeMap::new();
    for case in cases {
        let own = models
            .entry(case.folder())
            .or_insert_with(|| encoders(packages, case, engine));
        let manifest = Package::from_dir(&packages.folder(case)).unwrap().manifest;
        let golden = case.golden();
        for row in ["prompt", "negative"] {
            if golden.has(&format!("ids.{row}")) {
                let values = values(packages, case, &manifest, own, &golden, row);
                let what = format!("{}, {row}", case.name);
                conditioning(&manifest, &values, &golden, row, &what);
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
        let backend = pipeline.backend();
        println!(
            "{}: {} steps, {difference} of 255 on {backend}",
            case.name,
            latents.len()
        );
        assert!(
            difference <= TOLERANCE,
            "{}: {difference} of 255",
            case.name
        );
    }
}

/// Packages are made once for both engines: each is tried while it is added, which takes longer than its cases.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn folders_with_t5_make_the_pictures_of_diffusers_on_both_engines() {
    let cases = goldens::cases_of(CASES);
    let packages = Packages::of(&cases);
    compare(&cases, &packages, &CpuEngine::new());
    let gpu = block_on(GpuEngine::request(AdapterChoice::HighPerformance)).unwrap();
    compare(&cases, &packages, &gpu);
}

/// What would be a fault of the packer shows.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn other_wirings_of_t5_make_other_pictures() {
    let cases = goldens::cases_of(CASES);
    let sign: Change = ("the other sign", |m| m["denoiser"]["negated"] = json!(true));
    let pixart: [Change; 4] = [
        ("padding that is seen", |m| {
            m["texts"]["prompt"]["masks"] = json!(false)
        }),
        ("capitals", |m| {
            m["texts"]["prompt"]["cleaning"] = json!("none")
        }),
        ("the latents' scale", |m| m["decoder"]["scale"] = json!(1.0)),
        sign,
    ];
    shows(&cases, "pixart-sigma-guided", &pixart);
    let sd3: [Change; 4] = [
        ("encoders swapped", |m| {
            m["denoiser"]["inputs"]["pooled_projections"]["values"] = json!(["pooled_2", "pooled"]);
        }),
        ("padding of the first in the second", |m| {
            m["texts"]["prompt_2"]["padding"]["token"] =
                m["texts"]["prompt"]["padding"]["token"].clone();
        }),
        ("no shift", |m| {
            m["scheduler"]["flow"]["euler"]["shift"] = json!({"static": 1.0})
        }),
        sign,
    ];
    shows(&cases, "sd35-negative", &sd3);
    let flux: [Change; 3] = [
        ("no shift by tokens", |m| {
            m["scheduler"]["flow"]["euler"]["shift"] = json!({"static": 1.0})
        }),
        ("levels of the training", |m| {
            m["scheduler"]["flow"]["euler"]["grid"] = json!("trained");
        }),
        sign,
    ];
    shows(&cases, "flux-dev-guided", &flux);
}

/// What a configuration says of a network is what is built: other numbers make other pictures of the same weights.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn other_networks_with_t5_make_other_pictures() {
    let cases = goldens::cases_of(CASES);
    let changes: [(&str, &str, Edit); 4] = [
        ("pixart-sigma-guided", "text_encoder", |c| {
            c["relative_attention_max_distance"] = json!(20);
        }),
        ("pixart-sigma-guided", "transformer", |c| {
            c["interpolation_scale"] = json!(4);
        }),
        ("sd3-guided", "transformer", |c| {
            c["num_attention_heads"] = json!(8);
            c["attention_head_dim"] = json!(4);
        }),
        ("flux-dev-guided", "transformer", |c| {
            c["axes_dims_rope"] = json!([8, 2, 2]);
        }),
    ];
    for (name, part, change) in changes {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(case.folder().file_name().unwrap());
        copy(&case.folder(), &folder);
        let path = folder.join(part).join("config.json");
        let mut config: Value = goldens::json(&path);
        change(&mut config);
        std::fs::write(&path, config.to_string()).unwrap();
        let models = tempfile::tempdir().unwrap();
        super::add(models.path(), &folder, super::more(case)).unwrap();
        let slug = super::id(case).replace('/', "--");
        let package = Package::from_dir(&models.path().join(slug)).unwrap();
        let pipeline = block_on(Pipeline::load(package, &CpuEngine::new())).unwrap();
        let golden = case.golden();
        let (made, _) = run(&pipeline, case, &golden);
        let difference = made.max_difference(&picture(&golden, "image")).unwrap();
        println!("{name}, another {part}: {difference} of 255");
        assert!(difference > 2 * TOLERANCE, "{name}: {difference} of 255");
    }
}

/// Configurations and tokenizers that are not understood, and nothing is left behind of them.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn what_is_not_understood_of_a_folder_with_t5_is_refused_by_name() {
    let cases = goldens::cases_of(CASES);
    let tries: [(&str, &str, Edit, &str); 14] = [
        (
            "pixart-alpha",
            "transformer/config.json",
            |c| c["swirl"] = json!(3),
            "swirl",
        ),
        (
            "pixart-alpha",
            "transformer/config.json",
            |c| c["norm_type"] = json!("ada_norm"),
            "norm_type",
        ),
        (
            "pixart-sigma",
            "transformer/config.json",
            |c| c["norm_type"] = Value::Null,
            "norm_type",
        ),
        (
            "pixart-alpha",
            "transformer/config.json",
            |c| c["num_layers"] = json!(1),
            "transformer_blocks.1",
        ),
        (
            "pixart-sigma",
            "transformer/config.json",
            |c| c["use_additional_conditions"] = json!(true),
            "resolution_embedder",
        ),
        (
            "pixart-sigma",
            "text_encoder/config.json",
            |c| c["feed_forward_proj"] = json!("relu"),
            "wi",
        ),
        (
            "pixart-sigma",
            "text_encoder/config.json",
            |c| c["window"] = json!(8),
            "window",
        ),
        (
            "pixart-sigma",
            "tokenizer/tokenizer_config.json",
            |c| c["tokenizer_class"] = json!("LlamaTokenizer"),
            "LlamaTokenizer",
        ),
        (
            "sd35",
            "transformer/config.json",
            |c| c["qk_norm"] = json!("layer_norm"),
            "qk_norm",
        ),
        (
            "sd35",
            "transformer/config.json",
            |c| c["dual_attention_layers"] = json!([0]),
            "transformer_blocks.1",
        ),
        (
            "sd35",
            "transformer/config.json",
            |c| c["swirl"] = json!(3),
            "swirl",
        ),
        (
            "flux-dev",
            "transformer/config.json",
            |c| c["swirl"] = json!(3),
            "swirl",
        ),
        (
            "flux-dev",
            "transformer/config.json",
            |c| c["guidance_embeds"] = json!(false),
            "guidance_embedder",
        ),
        (
            "flux-dev",
            "transformer/config.json",
            |c| c["axes_dims_rope"] = json!([4, 8]),
            "axes_dims_rope",
        ),
    ];
    for (name, file, change, said) in tries {
        let case = cases
            .iter()
            .find(|case| case.folder().ends_with(name))
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(name);
        copy(&case.folder(), &folder);
        let path = folder.join(file);
        let mut config: Value = goldens::json(&path);
        change(&mut config);
        std::fs::write(&path, config.to_string()).unwrap();
        let models = tempfile::tempdir().unwrap();
        let error = super::add(models.path(), &folder, super::more(case)).unwrap_err();
        assert!(error.contains(said), "{name}/{file}: {error}");
        assert_eq!(
            std::fs::read_dir(models.path()).unwrap().count(),
            0,
            "{name}/{file}"
        );
    }
}

/// A third encoder that the index names and the folder lacks is asked for by name; the index or an option says that none is wanted.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn stable_diffusion_3_does_without_t5_where_it_is_asked_to() {
    let cases = goldens::cases_of(CASES);
    let case = cases
        .iter()
        .find(|case| case.name == "sd35-negative")
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("sd35");
    copy(&case.folder(), &folder);
    for part in ["text_encoder_3", "tokenizer_3"] {
        std::fs::remove_dir_all(folder.join(part)).unwrap();
    }
    let models = tempfile::tempdir().unwrap();
    let add = |models: &Path, more: &[&str]| {
        let more = [super::more(case), more].concat();
        super::add(models, &folder, &more)
    };
    let error = add(models.path(), &[]).unwrap_err();
    assert!(
        error.contains("text_encoder_3") && error.contains("--components"),
        "{error}"
    );
    let some = ["--components", "text_encoder,text_encoder_2,transformer"];
    let error = add(models.path(), &some).unwrap_err();
    assert!(error.contains("leaves vae out"), "{error}");
    // From here on the folder says it, as those without T5 do.
    let index = folder.join("model_index.json");
    let mut without: Value = goldens::json(&index);
    for part in ["text_encoder_3", "tokenizer_3"] {
        without[part] = json!([null, null]);
    }
    std::fs::write(&index, without.to_string()).unwrap();
    add(models.path(), &[]).unwrap();
    // Of the whole folder the option leaves it out.
    let small = "text_encoder,text_encoder_2,transformer,vae";
    let more = [super::more(case), &["--components", small]].concat();
    let others = tempfile::tempdir().unwrap();
    super::add(others.path(), &case.folder(), &more).unwrap();
    let manifest = |models: &Path| {
        let package = Package::from_dir(&models.join("test--sd35"));
        package.unwrap().manifest
    };
    let [said, asked] = [models.path(), others.path()].map(manifest);
    for manifest in [&said, &asked] {
        assert_eq!(manifest.conditioning.len(), 2);
        let zeros = Feed::Zeros([256, 48]);
        assert_eq!(manifest.denoiser.inputs["encoder_hidden_states_t5"], zeros);
    }
    assert_eq!(said.digest(), asked.digest());
}
