//! Pictures made larger on whatever adapter there is, software ones included: against ONNX Runtime (data/upscale.py).
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/upscaled.rs"]
mod upscaled;

use diffusion::{GpuEngine, TOLERANCE};
use onnx_gpu::AdapterChoice;
use pollster::block_on;
use protocol::UpscaleFactor;
use upscaled::{larger, load, picture};

#[test]
fn pictures_are_those_of_onnx_runtime() {
    let engine = block_on(GpuEngine::request(AdapterChoice::Default)).unwrap();
    let small = picture("small");
    for factor in UpscaleFactor::ALL {
        let upscaler = load(factor, &engine);
        let made = larger(&upscaler, &small, None);
        let golden = picture(&format!("small_x{factor}"));
        let off = made.max_difference(&golden).unwrap();
        println!("x{factor} on {}: {off} of 255", upscaler.adapter());
        assert!(off <= TOLERANCE, "{off}");
    }
}
