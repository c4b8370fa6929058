//! Hand-encoded models on a device: sessions, weights, attention, and what happens when a device goes away. Expected values are
//! worked out by hand, or by ONNX Runtime where a file says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "models/attention.rs"]
mod attention;
#[path = "models/branches.rs"]
mod branches;
#[path = "models/encode.rs"]
mod encode;
#[path = "models/foreign.rs"]
mod foreign;
#[path = "models/halves.rs"]
mod halves;
#[path = "models/hostile.rs"]
mod hostile;
#[path = "models/in_files.rs"]
mod in_files;
#[path = "models/load.rs"]
mod load;
#[path = "models/long.rs"]
mod long;
#[path = "models/loss.rs"]
mod loss;
#[path = "models/outputs.rs"]
mod outputs;
#[path = "models/patterns.rs"]
mod patterns;
#[path = "models/quantised.rs"]
mod quantised;
#[path = "models/session.rs"]
mod session;
#[path = "models/tiles.rs"]
mod tiles;

use std::sync::OnceLock;

use onnx_gpu::{AdapterChoice, Gpu, Options, Result, Session, Tensor};

/// The device that tests share; those that destroy one open their own.
fn options() -> Options {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    let gpu =
        GPU.get_or_init(|| pollster::block_on(Gpu::request(&AdapterChoice::Default)).unwrap());
    Options::default().with_gpu(gpu.clone())
}

fn open(bytes: &[u8]) -> Result<Session> {
    Session::from_bytes_blocking(bytes, options())
}

fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::f32(shape, data.to_vec()).unwrap()
}

fn run(session: &Session, inputs: &[(&str, Tensor)]) -> Vec<f32> {
    let outputs = session.run_blocking(inputs).unwrap();
    outputs[0].1.as_f32().unwrap().to_vec()
}
