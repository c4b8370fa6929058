//! LoRAs (bench/fixtures/families/lora.py): latents after each step and the picture against diffusers', which PEFT adds them to.

use std::collections::HashMap;

use diffusion::lora::{Bindings, Update};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;

/// A case, and what `--lora` is given.
#[derive(Deserialize)]
struct WithLoras {
    #[serde(flatten)]
    case: Case,
    loras: Vec<String>,
    /// The prompt without tags.
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(std::env::var_os("FAMILIES").unwrap())
}

fn cases() -> Vec<WithLoras> {
    let cases: Vec<WithLoras> =
        serde_json::from_value(goldens::json(&root().join("lora.json"))).unwrap();
    assert!(cases.len() >= 8, "{}", cases.len());
    cases
}

fn case(name: &str) -> WithLoras {
    cases()
        .into_iter()
        .find(|found| found.case.name == name)
        .unwrap()
}

fn options(loras: &[String]) -> Vec<String> {
    let path = |lora: &String| root().join(lora).to_str().unwrap().to_owned();
    loras
        .iter()
        .flat_map(|lora| ["--lora".to_owned(), path(lora)])
        .collect()
}

/// A package with LoRAs; the folder that holds it goes with the value.
struct Made {
    _dir: tempfile::TempDir,
    folder: PathBuf,
    said: String,
}

fn made(case: &Case, options: &[String]) -> Result<Made, String> {
    let dir = tempfile::tempdir().unwrap();
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    options.extend(more(case));
    let said = add(dir.path(), &case.folder(), &options)?;
    let folder = dir.path().join(id(case).replace('/', "--"));
    Ok(Made {
        _dir: dir,
        folder,
        said,
    })
}

/// The difference of the picture, of 255; latents are held too where it is small.
fn off(pipeline: &Pipeline, case: &Case, golden: &Golden) -> u8 {
    let (made, latents) = run(pipeline, case, golden);
    let steps = golden.rows("latents.steps");
    let spare = steps.len() - latents.len();
    let difference = made.max_difference(&picture(golden, "image")).unwrap();
    if difference <= TOLERANCE {
        for (index, ours) in latents.iter().enumerate() {
            near(
                ours,
                &steps[index + spare],
                LATENTS,
                &format!("{}, step {index}", case.name),
            );
        }
    }
    difference
}

#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn loras_make_the_pictures_of_diffusers() {
    let gpu = block_on(GpuEngine::request(AdapterChoice::HighPerformance)).unwrap();
    let cpu = CpuEngine::new();
    let mut packages: HashMap<(PathBuf, Vec<String>), Made> = HashMap::new();
    let cases = cases();
    for found in &cases {
        let key = (found.case.folder(), found.loras.clone());
        packages
            .entry(key)
            .or_insert_with(|| made(&found.case, &options(&found.loras)).unwrap());
    }
    for engine in [&cpu as &dyn Engine, &gpu] {
        for ((folder, loras), package) in &packages {
            // One pipeline for all requests: what is added changes between them, and the pictures do not depend on the order.
            let opened = Package::from_dir(&package.folder).unwrap();
            let pipeline = block_on(Pipeline::load(opened, engine)).unwrap();
            let own = cases
                .iter()
                .filter(|found| (&found.case.folder(), &found.loras) == (folder, loras));
            let own: Vec<&WithLoras> = own.collect();
            for found in own.iter().chain(own.iter().rev().skip(1)) {
                let WithLoras { case, text, .. } = found;
                let difference = off(&pipeline, case, &case.golden());
                println!("{}: {difference} of 255 on {}", case.name, engine.backend());
                assert!(
                    difference <= TOLERANCE,
                    "{}: {difference} of 255",
                    case.name
                );
                let request = GenerationRequest {
                    model: id(case),
                    prompt: case.prompt.clone(),
                    seed: Some(case.seed),
                    ..GenerationRequest::default()
                };
                assert_eq!(pipeline.resolve(&request).unwrap().text, *text);
            }
        }
    }
}

/// What is done with a package one of whose LoRAs adds to something else; the package is left as it was.
fn changed<T>(
    package: &Made,
    lora: usize,
    change: impl FnOnce(&mut Vec<Update>),
    then: impl FnOnce(diffusion::Result<Pipeline>) -> T,
) -> T {
    let manifest = Package::from_dir(&package.folder).unwrap().manifest;
    let file = &manifest.loras[lora].bindings;
    let paths = [file, "manifest.json"].map(|name| package.folder.join(name));
    let before = paths.clone().map(|path| fs::read(path).unwrap());
    let mut bindings = Bindings::parse(&before[0], file).unwrap();
    change(&mut bindings.updates);
    let json = serde_json::to_vec(&bindings).unwrap();
    assert_ne!(json, before[0]);
    let mut stated = goldens::json(&paths[1]);
    for entry in stated["files"].as_array_mut().unwrap() {
        if entry["name"] == **file {
            entry["bytes"] = json!(json.len());
            entry["sha256"] = json!(hex::encode(Sha256::digest(&json)));
        }
    }
    fs::write(&paths[0], json).unwrap();
    fs::write(&paths[1], stated.to_string()).unwrap();
    let opened = Package::from_dir(&package.folder).unwrap();
    let done = then(block_on(Pipeline::load(opened, &CpuEngine::new())));
    for (path, bytes) in paths.iter().zip(before) {
        fs::write(path, bytes).unwrap();
    }
    done
}

/// The goldens tell apart what is added, where, and by how much.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn other_additions_make_other_pictures() {
    type Change = fn(&mut Vec<Update>);
    let changes: [(&str, &str, Change); 6] = [
        ("sd15-lora-usual", "alpha is ignored", |all| {
            all.iter_mut().for_each(|u| u.scale = 1.0)
        }),
        ("sd15-lora-usual", "the text encoder is left out", |all| {
            all.retain(|u| u.graph != "text_encoder")
        }),
        (
            "sdxl-lora-original",
            "the second text encoder is left out",
            |all| all.retain(|u| u.graph != "text_encoder_2"),
        ),
        (
            "sdxl-lora-noted",
            "what diffusers notes of alpha is ignored",
            |all| all.iter_mut().for_each(|u| u.scale = 1.0),
        ),
        ("flux-lora-fused", "keys and values change places", |all| {
            let at = |all: &[Update], end: &str| {
                all.iter().position(|u| u.tensor.ends_with(end)).unwrap()
            };
            let (key, value) = (
                at(all, "transformer_blocks.0.attn.to_k.weight"),
                at(all, "transformer_blocks.0.attn.to_v.weight"),
            );
            let up = all[key].up;
            all[key].up = all[value].up;
            all[value].up = up;
        }),
        ("sd15-lora-usual", "convolutions are left out", |all| {
            all.retain(|u| !u.tensor.contains("resnets"))
        }),
    ];
    let mut packages: HashMap<Vec<String>, Made> = HashMap::new();
    for (name, what, change) in changes {
        let WithLoras { case, loras, .. } = case(name);
        let package = packages
            .entry(loras.clone())
            .or_insert_with(|| made(&case, &options(&loras)).unwrap());
        let used = match name {
            "sdxl-lora-noted" => 0,
            _ => loras.iter().position(|lora| lora.contains('@')).unwrap(),
        };
        let (made, _) = changed(package, used, change, |pipeline| {
            run(&pipeline.unwrap(), &case, &case.golden())
        });
        let golden = picture(&case.golden(), "image");
        let difference = made.max_difference(&golden).unwrap();
        println!("{name}, {what}: {difference} of 255");
        assert!(
            difference > TOLERANCE,
            "{name}, {what}: {difference} of 255"
        );
    }
}

/// A safetensors file of these tensors: name, type, shape, bytes.
fn file(folder: &Path, tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> String {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let start = data.len();
        data.extend_from_slice(bytes);
        header.insert(
            (*name).to_owned(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": [start, data.len()]}),
        );
    }
    let header = Value::Object(header).to_string();
    let path = folder.join("bad.safetensors");
    fs::write(
        &path,
        [
            &(header.len() as u64).to_le_bytes()[..],
            header.as_bytes(),
            &data,
        ]
        .concat(),
    )
    .unwrap();
    path.to_str().unwrap().to_owned()
}

fn floats(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|i| (i as f32 / 7.0).to_le_bytes())
        .collect()
}

/// By the name of the tensor, and nothing is left behind.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn what_is_no_lora_of_the_model_is_refused_by_name() {
    let case = case("sd15-lora-usual").case;
    let weights = goldens::Golden::read(
        &case
            .folder()
            .join("unet/diffusion_pytorch_model.safetensors"),
    );
    let module = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q";
    let [out, width] = weights.shape(&format!("{module}.weight"))[..] else {
        unreachable!()
    };
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &str, more: &[&str]| {
        let mut options = vec!["--lora".to_owned(), path.to_owned()];
        options.extend(more.iter().map(|option| (*option).to_owned()));
        let models = tempfile::tempdir().unwrap();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let error = add(models.path(), &case.folder(), &options).unwrap_err();
        let mut names = fs::read_dir(models.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        assert!(names.all(|name| name == ".downloads"), "{error}");
        error
    };
    let down = format!("unet.{module}.lora_A.weight");
    let up = format!("unet.{module}.lora_B.weight");
    let pair = |rank: usize, columns: usize, rows: usize| -> Vec<(String, [usize; 2], Vec<u8>)> {
        vec![
            (down.clone(), [rank, columns], floats(rank * columns)),
            (up.clone(), [rows, rank], floats(rows * rank)),
        ]
    };
    let written = |tensors: &[(String, [usize; 2], Vec<u8>)]| {
        let tensors: Vec<(&str, &str, &[usize], Vec<u8>)> = tensors
            .iter()
            .map(|(name, shape, bytes)| (&**name, "F32", &shape[..], bytes.clone()))
            .collect();
        file(folder.path(), &tensors)
    };
    for (what, tensors, named) in [
        ("too few columns", pair(2, width - 1, out), &*down),
        ("too many rows", pair(2, width, out + 1), &*up),
        (
            "half a pair",
            pair(2, width, out)[..1].to_vec(),
            "second matrix is missing",
        ),
    ] {
        let error = refused(&written(&tensors), &[]);
        assert!(
            error.contains(named) && error.contains("bad.safetensors"),
            "{what}: {error}"
        );
    }
    let mut two_ranks = pair(2, width, out);
    two_ranks[1] = (up.clone(), [out, 3], floats(out * 3));
    assert!(refused(&written(&two_ranks), &[]).contains("the rank 2"));
    let mut no_number = pair(2, width, out);
    let last = no_number[1].2.len();
    no_number[1].2[last - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = refused(&written(&no_number), &[]);
    assert!(
        error.contains(&up) && error.contains("not finite"),
        "{error}"
    );
    for (name, named) in [
        (
            "unet.mid_block.attentions.7.proj_in",
            "mid_block.attentions.7",
        ),
        ("lora_unet_double_blocks_0_img_attn_qkv", "double_blocks"),
        (
            "text_encoder_2.encoder.layers.0.self_attn.q_proj",
            "text_encoder_2",
        ),
        ("vae.decoder.conv_in", "vae.decoder"),
    ] {
        let mut other = pair(2, width, out);
        other[0].0 = format!("{name}.lora_A.weight");
        other[1].0 = format!("{name}.lora_B.weight");
        let error = refused(&written(&other), &[]);
        assert!(
            error.contains(named) && error.contains("no weights for"),
            "{error}"
        );
    }
    for (ending, named) in [
        ("dora_scale", "DoRA"),
        ("lora_mid.weight", "Tucker"),
        ("hada_w1_a", "LoHa"),
        ("lokr_w1", "LoKr"),
        ("diff", "whole difference"),
        ("lora_B.bias", "biases"),
        ("lora_C.weight", "no tensor of a LoRA"),
    ] {
        let mut more = pair(2, width, out);
        more.push((format!("unet.{module}.{ending}"), [1, 1], floats(1)));
        let error = refused(&written(&more), &[]);
        assert!(
            error.contains(named) && error.contains(ending),
            "{ending}: {error}"
        );
    }
    // Hostile, and no safetensors at all.
    let path = folder.path().join("huge.safetensors");
    fs::write(&path, (1u64 << 60).to_le_bytes()).unwrap();
    assert!(refused(path.to_str().unwrap(), &[]).contains("header"));
    let pickle = folder.path().join("old.pt");
    fs::write(&pickle, b"x").unwrap();
    assert!(refused(pickle.to_str().unwrap(), &[]).contains("run whatever code"));
    // Weights of fewer bits are no longer those that it adds to.
    let good = written(&pair(2, width, out));
    let error = refused(&good, &["--weights", "int8"]);
    assert!(error.contains("--weights unet=kept"), "{error}");
    let error = refused(&good, &["--lora", &good]);
    assert!(error.contains("two LoRAs are called"), "{error}");
    // Beside components that are made smaller, it is added to those that are not.
    let models = tempfile::tempdir().unwrap();
    let options = ["--lora", &good, "--weights", "int8,unet=kept"];
    let said = add(models.path(), &case.folder(), &options).unwrap();
    assert!(said.contains("adds to 1 weights of denoiser"), "{said}");
}

/// The package holds the author's file, and says what it adds to and when.
fn holds(package: &Made, loras: &[String]) {
    let manifest = Package::from_dir(&package.folder).unwrap().manifest;
    for (lora, entry) in loras.iter().zip(&manifest.loras) {
        let path = root().join(lora.split('@').next().unwrap());
        let bytes = fs::read(&path).unwrap();
        assert_eq!(fs::read(package.folder.join(&entry.file)).unwrap(), bytes);
        assert!(
            package.said.contains(&hex::encode(Sha256::digest(&bytes))),
            "{}",
            package.said
        );
        assert_eq!(entry.name, path.file_stem().unwrap().to_str().unwrap());
        // `addnet_hash_safetensors` of AUTOMATIC1111's web UI: what follows the header.
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let hash = hex::encode(Sha256::digest(&bytes[8 + header..]));
        assert_eq!(entry.hash, hash[..12]);
    }
    let weights: Vec<Option<f32>> = manifest.loras.iter().map(|entry| entry.weight).collect();
    assert_eq!(weights, [Some(0.8), None]);
    assert!(
        package.said.contains("at 0.8 in every picture"),
        "{}",
        package.said
    );
    assert!(
        package.said.contains("<lora:sd15.soft:0.8>"),
        "{}",
        package.said
    );
    let summary = manifest.summary("");
    assert_eq!(summary.loras.len(), 2);
}

/// Bindings that lead elsewhere are refused before anything is read by them.
fn stays_within_files(package: &Made) {
    type Change = fn(&mut Vec<Update>);
    let changes: [(&str, Change); 9] = [
        ("a weight beyond its file", |all| {
            all[0].offset = u64::MAX - 8
        }),
        ("a weight larger than its file", |all| {
            all[0].size[0] = 1 << 20
        }),
        ("a matrix beyond the file", |all| {
            all[0].down.offset = u64::MAX
        }),
        ("a rank that makes it so", |all| all[0].rank = 4096),
        ("no rank", |all| all[0].rank = 0),
        ("no rows", |all| all[0].size[0] = 0),
        ("another graph", |all| all[0].graph = "decoder".to_owned()),
        ("another file", |all| {
            all[0].file = "manifest.json".to_owned()
        }),
        ("twice the same", |all| all.push(all[0].clone())),
    ];
    for (what, change) in changes {
        let error = changed(package, 0, change, |loaded| loaded.err().unwrap());
        let kind = error.kind();
        assert_eq!(
            *kind,
            diffusion::ErrorKind::InvalidPackage,
            "{what}: {error}"
        );
    }
}

/// A processor that notes which graphs are loaded.
#[derive(Clone)]
struct Noting(Arc<Mutex<Vec<String>>>);

#[async_trait::async_trait(?Send)]
impl Engine for Noting {
    fn backend(&self) -> String {
        CpuEngine::new().backend()
    }

    fn adapter(&self) -> String {
        CpuEngine::new().adapter()
    }

    fn shared(&self) -> Box<dyn Engine> {
        Box::new(self.clone())
    }

    async fn load(&self, name: &str, onnx: &[u8]) -> diffusion::Result<Box<dyn diffusion::Model>> {
        CpuEngine::new().load(name, onnx).await
    }

    async fn load_graph(
        &self,
        name: &str,
        graph: &diffusion::manifest::Graph,
        files: &Arc<dyn diffusion::Files>,
        weights_budget: Option<u64>,
    ) -> diffusion::Result<Box<dyn diffusion::Model>> {
        self.0.lock().unwrap().push(name.to_owned());
        CpuEngine::new()
            .load_graph(name, graph, files, weights_budget)
            .await
    }
}

/// Only what other LoRAs touch, and nothing for the same ones.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn graphs_are_loaded_again_where_other_loras_touch_them() {
    let WithLoras { case, loras, .. } = case("sd15-lora-usual");
    let package = made(&case, &options(&loras)).unwrap();
    holds(&package, &loras);
    stays_within_files(&package);
    let noted = Noting(Arc::default());
    let opened = Package::from_dir(&package.folder).unwrap();
    let pipeline = block_on(Pipeline::load(opened, &noted)).unwrap();
    let loaded = || std::mem::take(&mut *noted.0.lock().unwrap());
    let all = ["text_encoder", "denoiser", "decoder", "encoder"];
    assert_eq!(loaded(), all);
    let make = |tags: &str| {
        let request = GenerationRequest {
            model: id(&case),
            prompt: format!("a red apple{tags}"),
            seed: Some(1),
            num_inference_steps: Some(1),
            ..GenerationRequest::default()
        };
        let made = block_on(pipeline.generate(&request, &mut |_| (), &Cancel::default()));
        made.unwrap()
    };
    let name = "sd15.ink wash";
    let first = make("");
    assert_eq!(loaded(), [""; 0]);
    for (tags, wanted) in [
        (format!(" <lora:{name}:0.8>"), &[][..]),
        (format!(" <lora:{name}:0.8:0.5>"), &["denoiser"]),
        (format!("<lora:{name}:0.8:0.5>"), &[]),
        (format!(" <lora:{name}:0:0.5>"), &["text_encoder"]),
        (format!(" <lora:{name}:0>"), &["denoiser"]),
        (String::new(), &["text_encoder", "denoiser"]),
    ] {
        let made = make(&tags);
        assert_eq!(loaded(), wanted, "{tags}");
        let same = made.max_difference(&first) == Some(0);
        assert_eq!(same, tags.is_empty() || tags.contains(":0.8>"), "{tags}");
    }
    let request = GenerationRequest {
        model: id(&case),
        prompt: format!("a red apple <lora:{name}:0.5> <lora:sd15.soft:0>"),
        seed: Some(1),
        ..GenerationRequest::default()
    };
    let resolved = pipeline.resolve(&request).unwrap();
    let recipe = pipeline.recipe(&resolved, protocol::RunsOn::Server, 1);
    let used: Vec<(&str, f32)> = recipe
        .loras
        .iter()
        .map(|used| (&*used.name, used.weight))
        .collect();
    assert_eq!(used, [(name, 0.5)]);
    let png = diffusion::png::encode(&first, &recipe).unwrap();
    let hash = &recipe.loras[0].hash;
    let wanted = format!("Lora hashes: \"{name}: {hash}\"");
    let text = String::from_utf8_lossy(&png);
    assert!(
        text.contains(&wanted) && text.contains(&format!("<lora:{name}:0.5>")),
        "{wanted}"
    );
}
