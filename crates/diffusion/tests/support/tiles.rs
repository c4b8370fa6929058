//! The package of data/tiles.py: its decoder takes any height and width.

use diffusion::tokenizer::clip;
use diffusion::{
    Cancel, Checkpoint, GenerationRequest, Package, Picture, Pipeline, Result, RunOptions, noise,
};
use pollster::block_on;
use serde_json::json;
use sha2::{Digest, Sha256};

pub const WIDTH: u32 = 112;
pub const HEIGHT: u32 = 80;
pub const STEPS: u32 = 2;
const LENGTH: usize = 12;

pub fn package() -> Package {
    let vocabulary = include_bytes!("../data/clip/vocab.json");
    let merges = include_str!("../data/clip/merges.txt");
    let files = [
        (
            "tokenizer.json",
            clip::tokenizer_json(vocabulary, merges).unwrap(),
        ),
        (
            "text_encoder.onnx",
            include_bytes!("../data/tiles/text_encoder.onnx").to_vec(),
        ),
        (
            "denoiser.onnx",
            include_bytes!("../data/tiles/denoiser.onnx").to_vec(),
        ),
        (
            "decoder.onnx",
            include_bytes!("../data/tiles/decoder.onnx").to_vec(),
        ),
    ];
    let port = |name: &str, dtype: &str, shape: &[usize]| json!({"name": name, "dtype": dtype, "shape": shape});
    let latents = |name: &str| port(name, "float32", &[1, 4, 20, 28]);
    let states = |name: &str| port(name, "float32", &[1, LENGTH, 4]);
    let entries: Vec<_> = files
        .iter()
        .map(|(name, bytes)| json!({"name": name, "bytes": bytes.len(), "sha256": hex::encode(Sha256::digest(bytes))}))
        .collect();
    let manifest = json!({
        "format": 1,
        "id": "test/tiles",
        "name": "Tiles",
        "creator": "test",
        "version": "1",
        "summary": "Random weights.",
        "license": "MIT",
        "example_prompts": [],
        "image": {"width": WIDTH, "height": HEIGHT},
        "latents": [4, 20, 28],
        "tokenizer": {"file": "tokenizer.json", "max_length": LENGTH, "pad_id": 537, "pad_token": clip::END},
        "scheduler": "flow-match-euler",
        "wiring": "stable-diffusion",
        "latent_scale": 0.18215,
        "components": {
            "text_encoder": {
                "file": "text_encoder.onnx",
                "inputs": [port("input_ids", "int64", &[1, LENGTH])],
                "outputs": [states("last_hidden_state")]
            },
            "denoiser": {
                "file": "denoiser.onnx",
                "inputs": [latents("sample"), port("timestep", "float32", &[1]), states("encoder_hidden_states")],
                "outputs": [latents("out_sample")]
            },
            "decoder": {
                "file": "decoder.onnx",
                "inputs": [latents("latent_sample")],
                "outputs": [port("sample", "float32", &[1, 3, HEIGHT as usize, WIDTH as usize])]
            }
        },
        "defaults": {"num_inference_steps": STEPS, "guidance_scale": 2.0},
        "limits": {"min_steps": 1, "max_steps": 10, "min_guidance": 1.0, "max_guidance": 5.0},
        "needs": {"max_buffer_size": 1, "max_storage_buffer_binding_size": 1, "memory_bytes": 1},
        "files": entries
    });
    let files = files
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .collect();
    Package::from_files(manifest.to_string().as_bytes(), files).unwrap()
}

pub fn request() -> GenerationRequest {
    GenerationRequest {
        model: "test/tiles".into(),
        prompt: "a photo of an apple".into(),
        negative_prompt: Some("the dog".into()),
        seed: Some(3),
        num_inference_steps: None,
        guidance_scale: None,
        ..GenerationRequest::default()
    }
}

/// The picture of latents after the last step.
pub fn decode(pipeline: &Pipeline, latents: Vec<f32>, tile: Option<usize>) -> Result<Picture> {
    let options = RunOptions {
        resume: Some(Checkpoint {
            step: pipeline.manifest().defaults.num_inference_steps,
            latents,
            registers: Vec::new(),
        }),
        decode_tile: tile,
        ..RunOptions::default()
    };
    let request = GenerationRequest {
        model: pipeline.manifest().id.clone(),
        // Not every package takes one, and after the last step it does not count.
        negative_prompt: None,
        ..request()
    };
    block_on(pipeline.run(
        &pipeline.resolve(&request).unwrap(),
        options,
        &mut |_| {},
        &Cancel::default(),
    ))
}

/// Those of data/tiles.py.
pub fn latents() -> Vec<f32> {
    include_bytes!("../data/tiles/latents.f32")
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

/// What diffusers makes of them: whole, in tiles of 8 and of 16 latents.
pub fn goldens() -> [(Option<usize>, Picture); 3] {
    let picture = |rgb: &[u8]| Picture {
        width: WIDTH,
        height: HEIGHT,
        rgb: rgb.to_vec(),
    };
    [
        (None, picture(include_bytes!("../data/tiles/whole.rgb"))),
        (
            Some(8),
            picture(include_bytes!("../data/tiles/tiled_8.rgb")),
        ),
        (
            Some(16),
            picture(include_bytes!("../data/tiles/tiled_16.rgb")),
        ),
    ]
}

/// A package whose decoder takes latents of one size, and latents for it.
pub fn fixed() -> (Package, Vec<f32>) {
    let glyph = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/glyph");
    let package = Package::from_dir(glyph.as_ref()).unwrap();
    (package, noise::randn(5, 0, 1024))
}
