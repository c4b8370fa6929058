//! Pipelines whose text encoder is Gemma 2, added from safetensors as their authors publish them (bench/fixtures/families/gemma.py).

use std::collections::HashMap;
use std::path::Path;

use architectures::{Header, Part, Weights, build};
use diffusion::manifest::Graph;
use diffusion::{CpuEngine, Engine, GpuEngine, Tensor};
use futures::executor::block_on;
use onnx_gpu::AdapterChoice;
use serde_json::json;

use super::goldens::{self, Golden, near};
use super::language::{Change, Edit, compare, in_memory, refuses, shows};

const CASES: &str = "gemma.json";

#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn folders_with_gemma_make_the_pictures_of_diffusers_on_the_processor() {
    compare(&CpuEngine::new(), CASES);
}

#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn folders_with_gemma_make_the_pictures_of_diffusers_on_a_gpu() {
    let engine = block_on(GpuEngine::request(AdapterChoice::HighPerformance)).unwrap();
    compare(&engine, CASES);
}

/// Latents of a picture by the graph that is built of an autoencoder's folder.
fn encoded(engine: &dyn Engine, folder: &Path, weights: &str, picture: Tensor) -> Vec<f32> {
    let config = goldens::json(&folder.join("config.json"));
    let header = Header::read(&folder.join(weights)).unwrap();
    let weights = Weights::one(weights, &header);
    let built = build("encoder", &Part::Encoder, &config, &weights).unwrap();
    let mut files = HashMap::from([("encoder.onnx".to_owned(), built.graph)]);
    for file in built.external.values() {
        files.insert(file.clone(), std::fs::read(folder.join(file)).unwrap());
    }
    let graph = Graph {
        file: "encoder.onnx".to_owned(),
        external: built.external,
        inputs: Vec::new(),
        outputs: Vec::new(),
    };
    let model = block_on(engine.load_graph("encoder", &graph, &in_memory(files), None)).unwrap();
    let outputs = block_on(model.run(vec![("sample", picture)])).unwrap();
    let [(name, latents)] = <[_; 1]>::try_from(outputs).unwrap();
    assert_eq!(name, "latent_sample");
    latents.into_f32().unwrap()
}

/// No pipeline of these begins with a picture, so nothing else asks the encoders.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn pictures_have_the_latents_that_diffusers_gives_them() {
    let gpu = block_on(GpuEngine::request(AdapterChoice::HighPerformance)).unwrap();
    let engines: [&dyn Engine; 2] = [&CpuEngine::new(), &gpu];
    let cases = goldens::cases_of(CASES);
    for (name, weights) in [
        ("sana-negative", "diffusion_pytorch_model.safetensors"),
        (
            "sana-sprint-two",
            "diffusion_pytorch_model.fp16.safetensors",
        ),
    ] {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        let folder = case.folder();
        let family = folder.file_name().unwrap().to_str().unwrap();
        let golden = format!("../goldens/{family}-encoder.safetensors");
        let golden = Golden::read(&folder.join(golden));
        let shape = golden.shape("picture");
        for engine in engines {
            let picture = Tensor::f32(&shape, golden.f32("picture")).unwrap();
            let ours = encoded(engine, &folder.join("vae"), weights, picture);
            let what = format!("{family} on {}", engine.backend());
            near(&ours, &golden.f32("latents"), 1e-4, &what);
        }
    }
}

/// What would be a fault of the packer shows.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn other_wirings_of_gemma_make_other_pictures() {
    let cases = goldens::cases_of(CASES);
    let scale: Change = ("the latents' scale", |m| {
        m["decoder"]["scale"] = json!(1.0);
    });
    let sana: [Change; 6] = [
        ("other tokens that are kept", |m| {
            m["texts"]["prompt"]["keep"]["last"] = json!(295);
        }),
        ("no instruction", |m| {
            m["texts"]["prompt"]["prefix"] = json!("")
        }),
        ("an instruction before the negative prompt", |m| {
            m["texts"]["prompt"]["negative"]["framed"] = json!(true);
        }),
        ("padding that is seen", |m| {
            m["texts"]["prompt"]["masks"] = json!(false);
        }),
        ("no shift", |m| {
            let training = &mut m["scheduler"]["diffusion"]["training"];
            training["sigmas"]["flow_shift"] = json!(1.0);
        }),
        scale,
    ];
    shows(&cases, "sana-negative", &sana);
    let sprint: [Change; 3] = [
        ("times of the arc", |m| {
            m["scheduler"]["flow"]["scm"]["flow"] = json!(false);
        }),
        ("another deviation", |m| {
            m["scheduler"]["flow"]["scm"]["sigma_data"] = json!(1.0);
        }),
        scale,
    ];
    shows(&cases, "sana-sprint-two", &sprint);
    let lumina: [Change; 5] = [
        ("guidance of any length", |m| {
            m["guidance"] = json!("classifier-free");
        }),
        ("the other sign", |m| {
            m["denoiser"]["negated"] = json!(false)
        }),
        ("time from noise", |m| {
            m["denoiser"]["time"] = json!({"factor": 0.001});
        }),
        ("no shift", |m| {
            m["scheduler"]["flow"]["euler"]["shift"] = json!({"static": 1.0});
        }),
        ("no sentence before the prompt", |m| {
            m["texts"]["prompt"]["prefix"] = json!("");
        }),
    ];
    shows(&cases, "lumina-2-negative", &lumina);
}

/// Grouped convolutions, tables in parts and norms of 1 + weight stand weights of fewer bits: both engines make one picture.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn folders_with_gemma_are_packed_in_fewer_bits() {
    let cases = goldens::cases_of(CASES);
    for (name, kind) in [("sana-wide", "int4,vae=int8"), ("lumina-2-plain", "int4")] {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        let models = tempfile::tempdir().unwrap();
        let more = [&["--weights", kind], super::more(case)].concat();
        let said = super::add(models.path(), &case.folder(), &more).unwrap();
        println!("{name}: {said}");
        assert!(!said.contains("does not run on"), "{said}");
    }
}

/// Configurations that are not understood.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn what_is_not_understood_of_a_folder_with_gemma_is_refused_by_name() {
    let cases = goldens::cases_of(CASES);
    let tries: [(&str, Edit, &str); 9] = [
        (
            "transformer/config.json",
            |c| c["swirl"] = json!(3),
            "swirl",
        ),
        (
            "transformer/config.json",
            |c| c["qk_norm"] = json!("l2"),
            "qk_norm",
        ),
        (
            "transformer/config.json",
            |c| c["interpolation_scale"] = json!(1.0),
            "interpolation_scale",
        ),
        (
            "transformer/config.json",
            |c| c["num_layers"] = json!(1),
            "transformer_blocks.1",
        ),
        (
            "text_encoder/config.json",
            |c| c["use_bidirectional_attention"] = json!(true),
            "use_bidirectional_attention",
        ),
        (
            "text_encoder/config.json",
            |c| c["twist"] = json!(1),
            "twist",
        ),
        (
            "vae/config.json",
            |c| c["decoder_norm_types"] = json!("batch_norm"),
            "decoder_norm_types",
        ),
        ("vae/config.json", |c| c["swirl"] = json!(3), "swirl"),
        (
            "scheduler/scheduler_config.json",
            |c| {
                c["use_flow_sigmas"] = json!(false);
                c["prediction_type"] = json!("epsilon");
            },
            "use_flow_sigmas",
        ),
    ];
    refuses(&cases[0], &tries);
}
