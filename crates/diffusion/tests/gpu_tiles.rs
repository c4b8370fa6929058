//! Decoding in tiles on whatever adapter there is: against diffusers (data/tiles.py), and within a device's limits.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/tiles.rs"]
mod package;

use diffusion::{
    Cancel, CpuEngine, ErrorKind, GpuEngine, Picture, Pipeline, RunOptions, TOLERANCE,
};
use onnx_gpu::gpu::Limits;
use onnx_gpu::{AdapterChoice, Gpu, dry_cost};
use package::{decode, fixed, goldens, latents, package, request};
use pollster::block_on;

const DECODER: &[u8] = include_bytes!("data/tiles/decoder.onnx");

/// A device that binds at most so many bytes.
fn within(bytes: u64) -> GpuEngine {
    let limits = Limits {
        max_storage_buffer_binding_size: bytes,
        max_buffer_size: bytes,
        ..Limits::unlimited()
    };
    let gpu = block_on(Gpu::request_within(&AdapterChoice::Default, &limits)).unwrap();
    println!("{} within {bytes} bytes", gpu.info().name);
    gpu.into()
}

/// The largest buffer that the decoder needs on this device for latents of a size.
fn largest_buffer(engine: &GpuEngine, latents: [usize; 2]) -> u64 {
    let open = |_: &str, place: usize| [1, 4, latents[0], latents[1]][place];
    let class = engine.gpu().class();
    dry_cost(DECODER, class, &open).unwrap().largest_buffer
}

fn make(pipeline: &Pipeline, tile: Option<usize>) -> diffusion::Result<Picture> {
    let options = RunOptions {
        decode_tile: tile,
        ..RunOptions::default()
    };
    let (request, cancel) = (request(), Cancel::default());
    block_on(pipeline.run(
        &pipeline.resolve(&request).unwrap(),
        options,
        &mut |_| {},
        &cancel,
    ))
}

fn psnr(a: &Picture, b: &Picture) -> f64 {
    let pairs = a.rgb.iter().zip(&b.rgb);
    let squares: f64 = pairs.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.rgb.len() as f64 / squares).log10()
}

#[test]
fn tiles_make_the_picture_of_diffusers() {
    let engine = within(u64::MAX);
    let pipeline = block_on(Pipeline::load(package(), &engine)).unwrap();
    for (side, golden) in goldens() {
        let picture = decode(&pipeline, latents(), side).unwrap();
        let difference = picture.max_difference(&golden).unwrap();
        println!("{side:?}: largest difference {difference} of 255");
        assert!(difference <= TOLERANCE, "{side:?}: {difference}");
    }
}

#[test]
fn a_limit_that_the_whole_picture_exceeds_leads_to_tiles() {
    let large = within(u64::MAX);
    let pipeline = block_on(Pipeline::load(package(), &large)).unwrap();
    let whole = make(&pipeline, None).unwrap();
    let tiled = make(&pipeline, Some(16)).unwrap();

    let tile = largest_buffer(&large, [16, 16]);
    assert!(tile < largest_buffer(&large, [20, 28]));
    let small = within(tile);
    let pipeline = block_on(Pipeline::load(package(), &small)).unwrap();
    let picture = make(&pipeline, None).unwrap();
    let difference = picture.max_difference(&tiled).unwrap();
    let close = psnr(&picture, &whole);
    println!("to the same tiles: {difference} of 255; to the whole picture: PSNR {close:.1} dB");
    assert!(difference <= TOLERANCE);
    // Another engine that decodes in these tiles makes the same picture; one that decodes at once does not.
    let size = pipeline.manifest().sizes.default;
    let side = block_on(pipeline.decode_tile(size)).unwrap();
    assert_eq!(side, Some(16));
    let processor = block_on(Pipeline::load(package(), &CpuEngine::new())).unwrap();
    assert_eq!(block_on(processor.decode_tile(size)).unwrap(), None);
    let same = make(&processor, side).unwrap();
    assert!(picture.max_difference(&same).unwrap() <= TOLERANCE);
    let other = make(&processor, None).unwrap();
    assert!(picture.max_difference(&other).unwrap() > TOLERANCE);
    // Random weights normalise noise by the part that they see; other latents make a picture at about 8 dB.
    assert!(close > 20.0, "{close}");
}

#[test]
fn what_no_tile_helps_is_still_out_of_memory() {
    let large = within(u64::MAX);
    let smallest = largest_buffer(&large, [8, 8]);
    let pipeline = block_on(Pipeline::load(package(), &within(smallest / 2))).unwrap();
    let error = decode(&pipeline, latents(), None).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::OutOfMemory, "{error}");

    let (package, latents) = fixed();
    let engine = Box::new(within(1 << 16));
    let pipeline = block_on(Pipeline::on_demand(package, engine)).unwrap();
    let error = decode(&pipeline, latents, None).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::OutOfMemory, "{error}");
}

#[test]
fn one_graph_at_a_time_takes_less_memory_for_tiles() {
    let kept = within(u64::MAX);
    let pipeline = block_on(Pipeline::load(package(), &kept)).unwrap();
    decode(&pipeline, latents(), None).unwrap();
    let sparing = within(u64::MAX);
    let pipeline = block_on(Pipeline::on_demand(package(), Box::new(sparing.clone()))).unwrap();
    let picture = decode(&pipeline, latents(), None).unwrap();
    let golden = &goldens()[2].1;
    assert!(picture.max_difference(golden).unwrap() <= TOLERANCE);
    let peak = |engine: &GpuEngine| engine.gpu().stats().peak_buffer_bytes;
    let (whole, tiled) = (peak(&kept), peak(&sparing));
    println!("peak: {whole} bytes whole, {tiled} in tiles");
    assert!(tiled * 5 < whole * 3, "{tiled} of {whole}");
}
