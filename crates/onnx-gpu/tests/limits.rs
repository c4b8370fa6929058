//! A device with no more than what every WebGPU implementation has.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use onnx_gpu::gpu::Limits;
use onnx_gpu::{AdapterChoice, DType, ErrorKind, Gpu, Options, Session, Tensor};

const GLYPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/glyph");

fn request(limits: &Limits) -> Gpu {
    let choice: AdapterChoice = std::env::var("ONNX_GPU_ADAPTER")
        .unwrap_or_else(|_| "default".into())
        .parse()
        .unwrap();
    pollster::block_on(Gpu::request_within(&choice, limits)).unwrap()
}

fn decode(gpu: &Gpu) -> onnx_gpu::Result<Tensor> {
    let onnx = std::fs::read(format!("{GLYPH}/decoder.onnx")).unwrap();
    let options = Options::default().with_gpu(gpu.clone());
    let session = Session::from_bytes_blocking(&onnx, options)?;
    let latents = Tensor::f32([1, 16, 8, 8], (0..1024).map(|i| (i as f32).sin()).collect())?;
    let mut outputs = session.run_blocking(&[("latents", latents)])?;
    Ok(outputs.remove(0).1)
}

#[test]
fn default_limits_carry_the_built_in_model() {
    let defaults = Limits::defaults();
    let small = request(&defaults);
    let info = small.info();
    assert!(info.max_storage_buffer_binding_size <= 128 << 20);
    assert!(info.max_buffer_size <= 256 << 20);
    let large = request(&Limits::unlimited());
    let (a, b) = (decode(&small).unwrap(), decode(&large).unwrap());
    assert_eq!(a.dtype(), DType::F32);
    assert_eq!(a.to_f32_vec(), b.to_f32_vec());
}

#[test]
fn what_cannot_be_bound_is_an_error_with_numbers() {
    let mut limits = Limits::defaults();
    limits.max_storage_buffer_binding_size = 1 << 16;
    limits.max_buffer_size = 1 << 20;
    let gpu = request(&limits);
    assert!(gpu.buffer(1 << 16, "fits").is_ok());
    let error = decode(&gpu).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("65536"), "{error}");
}
