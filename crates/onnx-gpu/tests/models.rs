//! Weights from files, from ranges of files and in packed formats. Expected values are worked out by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "weights/encode.rs"]
mod encode;
#[path = "weights/hostile.rs"]
mod hostile;
#[path = "weights/load.rs"]
mod load;
#[path = "weights/quantised.rs"]
mod quantised;

use std::sync::OnceLock;

use onnx_gpu::{AdapterChoice, Gpu, Options};

fn options() -> Options {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    let gpu =
        GPU.get_or_init(|| pollster::block_on(Gpu::request(&AdapterChoice::Default)).unwrap());
    Options {
        gpu: Some(gpu.clone()),
        ..Options::default()
    }
}
