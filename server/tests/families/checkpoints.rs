//! Checkpoints in one file (bench/fixtures/families/checkpoints.py): the pictures of the folders that they were made of, which diffusers
//! reads back to the same weights.

use serde::Deserialize;

use super::authors::{authors, rewritten};
use super::*;

#[derive(Deserialize)]
struct Checkpoint {
    file: String,
    folder: String,
    case: String,
}

fn root() -> PathBuf {
    PathBuf::from(std::env::var_os("FAMILIES").unwrap())
}

fn checkpoints() -> Vec<Checkpoint> {
    let all = goldens::json(&root().join("checkpoints.json"));
    let all: Vec<Checkpoint> = serde_json::from_value(all).unwrap();
    assert!(all.len() >= 5);
    all
}

fn checkpoint(name: &str) -> (PathBuf, PathBuf) {
    let mut all = checkpoints().into_iter();
    let found = all
        .find(|one| one.file.ends_with(&format!("/{name}.safetensors")))
        .unwrap();
    let like = root().join("authors").join(&found.folder);
    (root().join(found.file), like)
}

/// What `models add` says of a checkpoint with the configurations of a folder, under the id of that folder's case.
fn add_file(models: &Path, file: &Path, like: &Path, more: &[&str]) -> Result<String, String> {
    let id = id_of(like);
    let mut line = vec!["demo-hub", "models", "add", file.to_str().unwrap()];
    line.extend(["--id", &id, "--license", "mit"]);
    line.extend(["--like", like.to_str().unwrap()]);
    line.extend(["--models-dir", models.to_str().unwrap()]);
    line.extend(more);
    added(Cli::try_parse_from(line).unwrap())
}

fn opened(models: &Path, like: &Path) -> Package {
    Package::from_dir(&models.join(id_of(like).replace('/', "--"))).unwrap()
}

/// How far the picture of a package is from a case's; its latents are held to the case's after every step.
fn off(package: Package, case: &Case, engine: &dyn Engine) -> u8 {
    let golden = case.golden();
    let pipeline = block_on(Pipeline::load(package, engine)).unwrap();
    let (made, latents) = run(&pipeline, case, &golden);
    let difference = made.max_difference(&picture(&golden, "image")).unwrap();
    if difference <= TOLERANCE {
        let steps = golden.rows("latents.steps");
        let spare = steps.len() - latents.len();
        for (index, ours) in latents.iter().enumerate() {
            let what = format!("{}, step {index}", case.name);
            near(ours, &steps[index + spare], LATENTS, &what);
        }
    }
    difference
}

#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn checkpoints_make_the_pictures_of_diffusers() {
    let gpu = block_on(GpuEngine::request(AdapterChoice::HighPerformance)).unwrap();
    let engines: [&dyn Engine; 2] = [&CpuEngine::new(), &gpu];
    for one in checkpoints() {
        let (file, like) = (
            root().join(&one.file),
            root().join("authors").join(&one.folder),
        );
        let case = authors(&one.case);
        let models = tempfile::tempdir().unwrap();
        add_file(models.path(), &file, &like, &[]).unwrap();
        // The author's file, once and byte for byte.
        let manifest = opened(models.path(), &like).manifest;
        let weights: Vec<&FileEntry> = manifest
            .files()
            .filter(|entry| !entry.name.ends_with(".onnx") && !entry.name.ends_with(".json"))
            .collect();
        let [kept] = weights[..] else {
            panic!("{weights:?}")
        };
        let sha256 = server::images::verify::sha256_hex(&fs::read(&file).unwrap());
        assert_eq!(
            (kept.sha256.as_str(), one.file.ends_with(&kept.name)),
            (sha256.as_str(), true)
        );
        for engine in engines {
            let off = off(opened(models.path(), &like), &case, engine);
            println!("{}: {off} of 255 on {}", one.file, engine.backend());
            assert!(
                off <= case.tolerance.unwrap_or(TOLERANCE),
                "{}: {off}",
                one.file
            );
        }
    }
}

/// Fewer bits of a checkpoint are the fewer bits of its folder.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn checkpoints_can_be_made_smaller() {
    #[derive(Deserialize)]
    struct Smaller {
        #[serde(flatten)]
        case: Case,
        weights: Vec<String>,
    }
    let cases: Vec<Smaller> =
        serde_json::from_value(goldens::json(&root().join("smaller.json"))).unwrap();
    let (file, like) = checkpoint("sd15");
    for name in ["sd15-as-int8", "sd15-as-int4"] {
        let smaller = cases.iter().find(|one| one.case.name == name).unwrap();
        let models = tempfile::tempdir().unwrap();
        let options = smaller
            .weights
            .iter()
            .flat_map(|kind| ["--weights", kind.as_str()]);
        let said = add_file(models.path(), &file, &like, &options.collect::<Vec<_>>()).unwrap();
        assert!(said.contains("unet has weights of int"), "{said}");
        let package = opened(models.path(), &like);
        let whole = package
            .manifest
            .files()
            .any(|file| file.name.ends_with(".safetensors"));
        assert!(!whole, "the author's file is in the package as well");
        let off = off(package, &smaller.case, &CpuEngine::new());
        assert!(off <= TOLERANCE, "{name}: {off} of 255");
    }
}

/// A name of a tensor that is not known, one that is missing, and two that are exchanged.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn other_tensors_are_refused_by_name_or_make_another_picture() {
    let dir = tempfile::tempdir().unwrap();
    let changed = |name: &str, change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let (file, like) = checkpoint(name);
        let copy = dir.path().join("changed.safetensors");
        fs::copy(file, &copy).unwrap();
        rewritten(&copy, &[], |header| change(header.as_object_mut().unwrap()));
        let models = tempfile::tempdir().unwrap();
        let said = add_file(models.path(), &copy, &like, &[]);
        (said, models, like)
    };
    let renamed = |from: &str, to: &str| {
        let (said, ..) = changed("sdxl", &|header| {
            let entry = header.remove(from).unwrap();
            header.insert(to.to_owned(), entry);
        });
        said.unwrap_err()
    };
    let unet = "model.diffusion_model.";
    let error = renamed(
        &format!("{unet}input_blocks.1.0.in_layers.2.weight"),
        &format!("{unet}input_blocks.1.0.in_layers.9.weight"),
    );
    assert!(
        error.contains("nothing reads") && error.contains("in_layers.9"),
        "{error}"
    );
    let error = renamed(&format!("{unet}out.2.bias"), "model_ema.out.2.bias");
    assert!(error.contains("the weights lack conv_out.bias"), "{error}");
    let error = renamed(
        "conditioner.embedders.1.model.positional_embedding",
        "betas",
    );
    assert!(error.contains("position_embedding"), "{error}");
    let exchanges = [
        (
            "sdxl",
            "sdxl-negative",
            "conditioner.embedders.1.model.transformer.resblocks",
            "0.mlp.c_fc.weight",
            "1.mlp.c_fc.weight",
        ),
        (
            "sd21",
            "sd21-plain",
            "cond_stage_model.model.transformer.resblocks",
            "0.attn.in_proj_weight",
            "1.attn.in_proj_weight",
        ),
        (
            "sd15",
            "sd15-plain",
            "first_stage_model.decoder.mid",
            "block_1.conv1.weight",
            "block_2.conv1.weight",
        ),
    ];
    for (name, case, place, one, other) in exchanges {
        let (said, models, like) = changed(name, &|header| {
            let [one, other] = [one, other].map(|end| format!("{place}.{end}"));
            let (first, second) = (header[&one].clone(), header[&other].clone());
            header.insert(one, second);
            header.insert(other, first);
        });
        said.unwrap();
        let off = off(
            opened(models.path(), &like),
            &authors(case),
            &CpuEngine::new(),
        );
        assert!(off > TOLERANCE, "{name}: {off} of 255");
    }
}
