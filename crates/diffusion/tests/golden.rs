//! The CPU pipeline against ONNX Runtime (`data/golden.py`).
#![cfg(feature = "cpu")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::cell::Cell;

use diffusion::manifest::ImageSize;
use diffusion::{
    Cancel, CpuEngine, ErrorKind, GenerationRequest, Package, Picture, Pipeline, Progress, RunsOn,
    TOLERANCE, noise,
};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/glyph");

fn pipeline() -> Pipeline {
    let package = Package::from_dir(PACKAGE.as_ref()).unwrap();
    pollster::block_on(Pipeline::load(package, &CpuEngine::new())).unwrap()
}

fn request() -> GenerationRequest {
    GenerationRequest {
        model: "demo-hub/glyph".into(),
        prompt: "red apple, flat style".into(),
        seed: Some(1),
        num_inference_steps: Some(8),
        guidance_scale: Some(3.0),
        ..GenerationRequest::default()
    }
}

fn make(pipeline: &Pipeline, request: &GenerationRequest) -> diffusion::Result<Picture> {
    pollster::block_on(pipeline.generate(request, &mut |_| {}, &Cancel::default()))
}

#[test]
fn noise_has_the_bits_of_the_numpy_reference() {
    let golden: Vec<u32> = include_bytes!("data/noise.f32")
        .chunks_exact(4)
        .map(|b| u32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    assert_eq!(golden.len(), 1024);
    let ours: Vec<u32> = noise::randn(1, 0, 1024)
        .into_iter()
        .map(f32::to_bits)
        .collect();
    assert_eq!(ours, golden);
}

#[test]
fn picture_matches_onnx_runtime() {
    let pipeline = pipeline();
    let picture = make(&pipeline, &request()).unwrap();
    let ImageSize { width, height } = pipeline.manifest().sizes.default;
    let golden = Picture {
        width,
        height,
        rgb: include_bytes!("data/golden.rgb").to_vec(),
    };
    let difference = picture.max_difference(&golden).unwrap();
    println!("largest difference {difference} of 255");
    assert!(difference <= TOLERANCE, "{difference}");
}

#[test]
fn seed_prompt_guidance_and_steps_decide_the_picture() {
    let pipeline = pipeline();
    let first = make(&pipeline, &request()).unwrap();
    assert_eq!(first, make(&pipeline, &request()).unwrap());
    let changed = |change: fn(&mut GenerationRequest)| {
        let mut request = request();
        change(&mut request);
        make(&pipeline, &request).unwrap()
    };
    for other in [
        changed(|r| r.seed = Some(2)),
        changed(|r| r.prompt = "blue apple, flat style".into()),
        changed(|r| r.guidance_scale = Some(5.0)),
        changed(|r| r.num_inference_steps = Some(4)),
    ] {
        assert!(first.max_difference(&other).unwrap() > 4 * TOLERANCE);
    }
    let defaults = changed(|r| {
        r.num_inference_steps = None;
        r.guidance_scale = None;
    });
    assert_eq!(first, defaults);
}

#[test]
fn the_recipe_fills_defaults_in() {
    let pipeline = pipeline();
    let mut open = request();
    open.num_inference_steps = None;
    open.guidance_scale = None;
    let recipe = pipeline.recipe(&pipeline.resolve(&open).unwrap(), RunsOn::Server, 5);
    let filled = GenerationRequest {
        width: Some(128),
        height: Some(128),
        ..request()
    };
    assert_eq!(recipe.request, filled);
    assert_eq!(recipe.scheduler, "flow-match-euler");
    assert_eq!(recipe.backend, "rten (CPU)");
    assert_eq!(recipe.weights_digest, pipeline.manifest().digest());
}

#[test]
fn progress_counts_every_step_and_cancel_takes_effect_within_one() {
    let pipeline = pipeline();
    let seen = Cell::new(0);
    let cancel = Cancel::default();
    let mut on_step = |p: Progress| {
        assert_eq!(p.total_steps, 8);
        assert_eq!(p.step, seen.get() + 1);
        seen.set(p.step);
        if p.step == 3 {
            cancel.cancel();
        }
    };
    let error =
        pollster::block_on(pipeline.generate(&request(), &mut on_step, &cancel)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Cancelled);
    assert!(error.is_cancelled());
    assert_eq!(seen.get(), 3);

    seen.set(0);
    let whole = Cancel::default();
    let mut on_step = |p: Progress| seen.set(p.step);
    pollster::block_on(pipeline.generate(&request(), &mut on_step, &whole)).unwrap();
    assert_eq!(seen.get(), 8);
}

#[test]
fn requests_outside_the_limits_are_refused() {
    let pipeline = pipeline();
    for change in [
        (|r| r.seed = None) as fn(&mut GenerationRequest),
        |r| r.model = "someone/else".into(),
        |r| r.prompt = "  ".into(),
        |r| r.prompt = "x".repeat(100_000),
        |r| r.num_inference_steps = Some(0),
        |r| r.num_inference_steps = Some(1_000_000_000),
        |r| r.guidance_scale = Some(f32::NAN),
    ] {
        let mut request = request();
        change(&mut request);
        let error = make(&pipeline, &request).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidRequest, "{error}");
    }
}

#[test]
fn a_model_without_negative_prompts_refuses_them_rather_than_ignoring_them() {
    let read = |name: &str| std::fs::read(format!("{PACKAGE}/{name}")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_slice(&read("manifest.json")).unwrap();
    manifest["negative_prompt"] = false.into();
    let files = manifest["files"].as_array().unwrap().iter();
    let files = files.map(|file| file["name"].as_str().unwrap().to_owned());
    let files = files.map(|name| (name.clone(), read(&name))).collect();
    let package = Package::from_files(manifest.to_string().as_bytes(), files).unwrap();
    let pipeline = pollster::block_on(Pipeline::load(package, &CpuEngine::new())).unwrap();

    let mut request = request();
    let picture = make(&pipeline, &request).unwrap();
    let ImageSize { width, height } = pipeline.manifest().sizes.default;
    assert_eq!((picture.width, picture.height), (width, height));
    request.negative_prompt = Some("leaf".into());
    let error = make(&pipeline, &request).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidRequest);
    assert!(error.to_string().contains("negative prompt"), "{error}");
}
