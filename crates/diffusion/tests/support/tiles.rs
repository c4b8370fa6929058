//! The package of data/tiles.py: its decoder takes any height and width.

#[path = "small.rs"]
mod small;

use diffusion::{
    Cancel, Checkpoint, GenerationRequest, Package, Picture, Pipeline, Result, RunOptions, noise,
};
use pollster::block_on;
use serde_json::json;

pub const WIDTH: u32 = 112;
pub const HEIGHT: u32 = 80;
pub const STEPS: u32 = 2;

pub fn package() -> Package {
    small::Small {
        id: "test/tiles",
        scheduler: &json!("flow-match-euler"),
        latents: [4, 20, 28],
        picture: [HEIGHT, WIDTH],
        steps: STEPS,
        graphs: [
            include_bytes!("../data/tiles/text_encoder.onnx"),
            include_bytes!("../data/tiles/denoiser.onnx"),
            include_bytes!("../data/tiles/decoder.onnx"),
        ],
    }
    .package()
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
