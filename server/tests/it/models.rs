//! `demo-hub models`: packages listed, checked, removed, and fetched from the hub.

use std::fs;
use std::path::Path;

use axum::http::header;
use clap::Parser;
use serde_json::{Value, json};
use server::config::{Cli, Command};
use server::images::verify::sha256_hex;

use crate::catalog::{model, nothing};
use crate::hub::{GLYPH, models_dir};
use crate::renderers::stand_in::{Act, Seen, StandIn};

/// Runs `demo-hub models` with these arguments: what it printed, or its error.
pub async fn models(dir: &Path, arguments: &[&str]) -> Result<String, String> {
    let line = ["demo-hub", "models"].iter().chain(arguments);
    let line = line.copied().chain(["--models-dir", dir.to_str().unwrap()]);
    let cli = Cli::try_parse_from(line).map_err(|error| error.to_string())?;
    let Command::Models(config) = cli.command else {
        unreachable!()
    };
    let run = move || {
        let mut report = Vec::new();
        let result = server::models::run(config, &mut report);
        result
            .map(|()| String::from_utf8(report).unwrap())
            .map_err(|error| format!("{error:#}"))
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// A copy of the built-in package.
fn copied() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (models_dir().join("glyph"), dir.path().join("glyph"));
    fs::create_dir(&to).unwrap();
    let manifest = fs::read(from.join("manifest.json")).unwrap();
    fs::write(to.join("manifest.json"), &manifest).unwrap();
    for file in diffusion::Manifest::parse(&manifest).unwrap().files() {
        fs::copy(from.join(&file.name), to.join(&file.name)).unwrap();
    }
    dir
}

#[tokio::test]
async fn packages_are_listed_checked_and_removed() {
    let dir = copied();
    let listed = models(dir.path(), &["list"]).await.unwrap();
    assert!(listed.starts_with(&format!("{GLYPH}  ")), "{listed}");
    let checked = models(dir.path(), &["verify"]).await.unwrap();
    assert!(checked.contains("files are as listed"), "{checked}");
    let error = models(dir.path(), &["verify", "a/b"]).await.unwrap_err();
    assert!(error.contains("a/b"), "{error}");

    let notes = dir.path().join("glyph/notes.txt");
    fs::write(&notes, "mine").unwrap();
    let error = models(dir.path(), &["remove", GLYPH]).await.unwrap_err();
    assert!(error.contains("notes.txt"), "{error}");
    assert!(notes.exists() && dir.path().join("glyph/manifest.json").exists());
    fs::remove_file(&notes).unwrap();

    let damaged = dir.path().join("glyph/tokenizer.json");
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[100] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let error = models(dir.path(), &["verify", GLYPH]).await.unwrap_err();
    assert_eq!(error, "1 packages are damaged");

    models(dir.path(), &["remove", GLYPH]).await.unwrap();
    assert!(!dir.path().join("glyph").exists());
    assert!(models(dir.path(), &["remove", GLYPH]).await.is_err());
    assert_eq!(models(dir.path(), &["list"]).await.unwrap(), "");
}

#[tokio::test]
async fn needs_are_counted_from_the_graphs() {
    let dir = copied();
    let path = dir.path().join("glyph/manifest.json");
    let shipped: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut wrong = shipped.clone();
    wrong["needs"]["memory_bytes"] = json!(1);
    fs::write(&path, wrong.to_string()).unwrap();
    let report = models(dir.path(), &["needs", GLYPH]).await.unwrap();
    let counted: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    // That these are the needs of a picture is tested on a device, in crates/diffusion/tests/gpu.rs.
    assert_eq!(counted["needs"], shipped["needs"]);
    for part in ["id", "paper", "latent_rgb", "components", "limits", "files"] {
        assert_eq!(counted[part], shipped[part]);
    }
    let megabytes = shipped["needs"]["memory_bytes"].as_f64().unwrap() / 1e6;
    assert!(
        report.contains(&format!("{megabytes:.1} MB of memory")),
        "{report}"
    );
    models(dir.path(), &["verify"]).await.unwrap();

    fs::write(dir.path().join("glyph/decoder.onnx"), "damaged").unwrap();
    let before = fs::read(&path).unwrap();
    let error = models(dir.path(), &["needs"]).await.unwrap_err();
    assert!(error.contains("decoder.onnx"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn the_built_in_package_is_not_removed_with_its_training() {
    let error = models(&models_dir(), &["remove", GLYPH]).await.unwrap_err();
    assert!(error.contains("is no file of the package"), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_no_export_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = tempfile::tempdir().unwrap();
    let folder = source.path().to_str().unwrap();
    let add = ["add", folder, "--id", "test/model", "--license", "mit"];
    let error = models(dir.path(), &add[..2]).await.unwrap_err();
    assert!(error.contains("--id"), "{error}");
    let error = models(dir.path(), &["add", folder, "--id", "../x"])
        .await
        .unwrap_err();
    assert!(error.contains("is no id"), "{error}");
    let error = models(dir.path(), &add).await.unwrap_err();
    assert!(error.contains("model_index.json is missing"), "{error}");
    let index = source.path().join("model_index.json");
    fs::write(&index, r#"{"_class_name": "KandinskyPipeline"}"#).unwrap();
    let error = models(dir.path(), &add).await.unwrap_err();
    assert!(error.contains("KandinskyPipeline"), "{error}");
    let error = models(dir.path(), &["add", "no-such-folder"])
        .await
        .unwrap_err();
    assert!(
        error.contains("neither a folder nor a file nor the id"),
        "{error}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

const FILES: [&str; 6] = [
    "model_index.json",
    "vae_decoder/config.json",
    "scheduler/scheduler_config.json",
    "text_encoder/model.onnx",
    "unet/model.onnx",
    "vae_decoder/model.onnx",
];

fn content(path: &str) -> Vec<u8> {
    match path {
        "model_index.json" => br#"{"_class_name": "StableDiffusionPipeline"}"#.to_vec(),
        "scheduler/scheduler_config.json" => {
            br#"{"_class_name": "DDIMScheduler", "clip_sample": false}"#.to_vec()
        }
        "vae_decoder/config.json" => br#"{"scaling_factor": 0.18215}"#.to_vec(),
        _ => path.bytes().cycle().take(300_000).collect(),
    }
}

fn description(sha256: impl Fn(&str) -> String) -> Value {
    let siblings: Vec<Value> = FILES
        .iter()
        .map(|path| {
            let size = content(path).len();
            json!({"rfilename": path, "size": size, "lfs": {"sha256": sha256(path), "size": size, "pointerSize": 134}})
        })
        .collect();
    model("maker/model", json!({"siblings": siblings}))
}

/// Serves the model; breaks off in the middle of the unet as often as told.
async fn hub_of(description: Value, breaks: usize) -> StandIn {
    let left = std::sync::atomic::AtomicUsize::new(breaks);
    StandIn::answering(move |seen: &Seen| {
        if seen.path == "/api/models/maker/model" {
            return Act::json(200, &description);
        }
        let path = seen
            .path
            .strip_prefix("/maker/model/resolve/451f4fe16113bff5a5d2269ed5ad43b0592e9a14/");
        let Some(path) = path.filter(|path| FILES.contains(path)) else {
            return nothing();
        };
        let all = content(path);
        let range = seen
            .headers
            .get(header::RANGE)
            .map(|range| range.to_str().unwrap());
        let start = range.map_or(0, |range| {
            let start = range
                .strip_prefix("bytes=")
                .unwrap()
                .strip_suffix('-')
                .unwrap();
            start.parse().unwrap()
        });
        let status = if range.is_some() { 206 } else { 200 };
        let mut act = Act::say(status, "application/octet-stream", &all[start..]);
        if range.is_some() {
            act = act.header(
                "content-range",
                &format!("bytes {start}-{}/{}", all.len() - 1, all.len()),
            );
        }
        let breaks = path == "unet/model.onnx"
            && left
                .fetch_update(
                    std::sync::atomic::Ordering::SeqCst,
                    std::sync::atomic::Ordering::SeqCst,
                    |n| n.checked_sub(1),
                )
                .is_ok();
        if breaks { act.cut_off() } else { act }
    })
    .await
}

#[tokio::test]
async fn downloads_go_on_where_they_broke_off() {
    let stand_in = hub_of(description(|path| sha256_hex(&content(path))), 2).await;
    let dir = tempfile::tempdir().unwrap();
    let add = ["add", "maker/model", "--hub-url", &stand_in.url];
    // The graphs are none, so the package is refused once everything is here.
    let error = models(dir.path(), &add).await.unwrap_err();
    assert!(
        error.contains("text_encoder") && error.contains("no graph"),
        "{error}"
    );
    for path in FILES {
        let file = dir.path().join(".downloads/maker--model").join(path);
        assert_eq!(fs::read(&file).unwrap(), content(path), "{path}");
    }
    let ranges = |stand_in: &StandIn| {
        let seen = stand_in.seen();
        seen.iter()
            .filter(|s| s.headers.contains_key(header::RANGE))
            .count()
    };
    assert_eq!(ranges(&stand_in), 2);
    // What is here and right is not fetched again.
    let before = stand_in.seen().len();
    models(dir.path(), &add).await.unwrap_err();
    assert_eq!(stand_in.seen().len(), before + 1);
    assert!(models(dir.path(), &["list"]).await.unwrap().is_empty());
}

#[tokio::test]
async fn another_file_than_the_hubs_is_refused() {
    let stand_in = hub_of(description(|_| "ab".repeat(32)), 0).await;
    let dir = tempfile::tempdir().unwrap();
    let add = ["add", "maker/model", "--hub-url", &stand_in.url];
    let error = models(dir.path(), &add).await.unwrap_err();
    assert!(error.contains("is not the hub's file"), "{error}");
    let without = model("maker/model", json!({}));
    let stand_in = hub_of(without, 0).await;
    let add = ["add", "maker/model", "--hub-url", &stand_in.url];
    let error = models(dir.path(), &add).await.unwrap_err();
    assert!(error.contains("no model_index.json"), "{error}");
}

/// An export in the folder layout of diffusers, of the small graphs of crates/diffusion/tests/data/tiles.
pub fn export(pipeline: &str, scheduler: &Value, tokenizer: &[(&str, Value)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let data = models_dir().join("../crates/diffusion/tests/data");
    let folder = |name: &str| {
        let folder = dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        folder
    };
    for (part, graph) in [
        ("text_encoder", "text_encoder"),
        ("unet", "denoiser"),
        ("vae_decoder", "decoder"),
    ] {
        let graph = data.join(format!("tiles/{graph}.onnx"));
        fs::copy(graph, folder(part).join("model.onnx")).unwrap();
    }
    let words = folder("tokenizer");
    for name in ["vocab.json", "merges.txt"] {
        fs::copy(data.join("clip").join(name), words.join(name)).unwrap();
    }
    for (name, content) in tokenizer {
        fs::write(words.join(name), content.to_string()).unwrap();
    }
    let write =
        |path: std::path::PathBuf, content: Value| fs::write(path, content.to_string()).unwrap();
    write(
        folder("scheduler").join("scheduler_config.json"),
        scheduler.clone(),
    );
    let autoencoder = json!({"scaling_factor": 0.18215, "block_out_channels": [4, 8, 8]});
    write(dir.path().join("vae_decoder/config.json"), autoencoder);
    write(
        dir.path().join("model_index.json"),
        json!({"_class_name": pipeline}),
    );
    dir
}

/// Packs an export: what was said, and the package's folder in `models`.
async fn add(
    models_dir: &Path,
    export: &tempfile::TempDir,
) -> (Result<String, String>, std::path::PathBuf) {
    let folder = export.path().to_str().unwrap();
    let line = ["add", folder, "--id", "test/x", "--license", "mit"];
    (models(models_dir, &line).await, models_dir.join("test--x"))
}

fn parsed(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

pub fn stable_diffusion(class: &str, more: Value) -> Value {
    let mut config = json!({
        "_class_name": class, "_diffusers_version": "0.3.0", "beta_start": 0.00085, "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "trained_betas": null
    });
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

/// Configurations of 2022: `OnnxStableDiffusionPipeline` takes timesteps 951 to 1 in 20 steps whatever they say of the
/// offset, and clips no latents.
#[tokio::test]
async fn old_exports_are_packed_as_their_pipeline_takes_them() {
    let cases = [
        (
            "PNDMScheduler",
            json!({"skip_prk_steps": true}),
            "steps_offset",
        ),
        (
            "DDIMScheduler",
            json!({"steps_offset": 0, "clip_sample": false, "set_alpha_to_one": false}),
            "steps_offset",
        ),
        (
            "DDIMScheduler",
            json!({"steps_offset": 1, "clip_sample": true, "set_alpha_to_one": false}),
            "clip_sample",
        ),
    ];
    for (class, more, overruled) in cases {
        let dir = tempfile::tempdir().unwrap();
        let export = export(
            "OnnxStableDiffusionPipeline",
            &stable_diffusion(class, more),
            &[],
        );
        let (said, package) = add(dir.path(), &export).await;
        let said = said.unwrap();
        assert!(
            said.contains(overruled) && said.contains("OnnxStableDiffusionPipeline"),
            "{said}"
        );
        let manifest = fs::read(package.join("manifest.json")).unwrap();
        let manifest = diffusion::Manifest::parse(&manifest).unwrap();
        let wanted = diffusion::scheduler::Wanted {
            steps: 20,
            skip: 0,
            image_tokens: 0,
        };
        let program = manifest.scheduler.program(wanted).unwrap();
        let timesteps: Vec<f32> = program.steps.iter().map(|s| s[0].timestep).collect();
        let expected: Vec<f32> = (0..20).rev().map(|i| (i * 50 + 1) as f32).collect();
        assert_eq!(timesteps, expected, "{class}");
    }
    // What no step can do is refused before anything is written.
    let dir = tempfile::tempdir().unwrap();
    let sorted = stable_diffusion("DDIMScheduler", json!({"thresholding": true}));
    let export = export("ORTStableDiffusionPipeline", &sorted, &[]);
    let (said, package) = add(dir.path(), &export).await;
    assert!(said.unwrap_err().contains("thresholding"));
    assert!(!package.exists());
}

/// A number that Python writes and JSON does not have, as every solver's configuration has it.
#[tokio::test]
async fn infinity_in_a_configuration_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let config = stable_diffusion(
        "DPMSolverMultistepScheduler",
        json!({"use_karras_sigmas": true}),
    );
    let export = export("StableDiffusionPipeline", &config, &[]);
    let path = export.path().join("scheduler/scheduler_config.json");
    let written = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        written.replacen('{', r#"{"lambda_min_clipped": -Infinity, "#, 1),
    )
    .unwrap();
    let (said, package) = add(dir.path(), &export).await;
    said.unwrap();
    let scheduler = &parsed(&package.join("manifest.json"))["scheduler"]["diffusion"];
    assert_eq!(scheduler["sampler"]["dpm-multistep"]["solver_order"], 2);
    let scheduler = &scheduler["training"];
    assert_eq!(scheduler["sigmas"]["spread"], "karras");
    assert_eq!(scheduler["timestep_spacing"], "linspace");
}

#[tokio::test]
async fn learned_words_get_into_the_package() {
    let dir = tempfile::tempdir().unwrap();
    let config = stable_diffusion("DDIMScheduler", json!({}));
    let words = json!({"<cat-toy>": 538, "<cat-toy>_1": 539});
    let export = export(
        "OnnxStableDiffusionPipeline",
        &config,
        &[("added_tokens.json", words)],
    );
    let (said, package) = add(dir.path(), &export).await;
    said.unwrap();
    let added = parsed(&package.join("tokenizer.json"))["added_tokens"].clone();
    let added: Vec<(&str, u64)> = added
        .as_array()
        .unwrap()
        .iter()
        .map(|word| {
            (
                word["content"].as_str().unwrap(),
                word["id"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("<|startoftext|>", 536),
        ("<|endoftext|>", 537),
        ("<cat-toy>", 538),
        ("<cat-toy>_1", 539),
    ];
    assert_eq!(added, expected);
}
