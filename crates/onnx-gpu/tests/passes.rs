//! Every pass of the optimiser changes how a model is computed and not what it gives: the built-in models with and without.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::OnceLock;

use onnx_gpu::kernels::AdapterClass;
use onnx_gpu::weights::Bytes;
use onnx_gpu::{
    AdapterChoice, DType, Dim, Gpu, Options, Pass, Passes, Report, Session, Tensor, ValueInfo,
};

const GLYPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/glyph");

fn gpu() -> Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let choice: AdapterChoice = std::env::var("ONNX_GPU_ADAPTER")
            .unwrap_or_else(|_| "default".into())
            .parse()
            .unwrap();
        pollster::block_on(Gpu::request(&choice)).unwrap()
    })
    .clone()
}

fn model(name: &str) -> Vec<u8> {
    std::fs::read(format!("{GLYPH}/{name}.onnx")).unwrap()
}

/// Floats in [-1, 1) from a fixed seed; integers 1, which every vocabulary and mask has.
fn input(info: &ValueInfo) -> Tensor {
    let shape: Vec<usize> = info
        .shape
        .iter()
        .flatten()
        .map(|dim| match dim {
            Dim::Fixed(size) => *size,
            Dim::Symbol(name) => panic!("{name} is open"),
        })
        .collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let len = shape.iter().product();
    match info.dtype {
        DType::F32 => {
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
            };
            Tensor::f32(shape, (0..len).map(|_| next()).collect()).unwrap()
        }
        DType::I64 => Tensor::i64(shape, vec![1; len]).unwrap(),
        other => panic!("{other}"),
    }
}

/// The first output and the dispatches that it took.
fn run(onnx: &[u8], passes: Passes) -> (Vec<f32>, usize) {
    let options = Options::default().with_gpu(gpu()).with_passes(passes);
    let session = Session::from_bytes_blocking(onnx, options).unwrap();
    let inputs: Vec<(&str, Tensor)> = session
        .inputs()
        .iter()
        .map(|info| (info.name.as_str(), input(info)))
        .collect();
    let outputs = session.run_blocking(&inputs).unwrap();
    (outputs[0].1.to_f32_vec(), session.stats().dispatches)
}

/// Largest difference as a share of the range.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let range =
        a.iter().copied().fold(f32::MIN, f32::max) - a.iter().copied().fold(f32::MAX, f32::min);
    assert!(range > 0.0 && a.iter().chain(b).all(|x| x.is_finite()));
    a.iter()
        .zip(b)
        .map(|(x, y)| (x - y).abs())
        .fold(0.0, f32::max)
        / range
}

fn check(name: &str, expected_drop: f64) {
    let onnx = model(name);
    let (plain, before) = run(&onnx, Passes::NONE);
    let (all, after) = run(&onnx, Passes::ALL);
    println!("{name}: {before} dispatches, {after} with every pass");
    assert!((after as f64) < before as f64 * expected_drop);
    // Rounding differs with the order of sums; a wrong rewrite is off by orders of magnitude more.
    assert!(difference(&plain, &all) < 1e-5);
    for pass in Pass::ALL {
        let (without, count) = run(&onnx, Passes::ALL.without(pass));
        assert!(
            difference(&plain, &without) < 1e-5,
            "without {}",
            pass.name()
        );
        assert!(count >= after, "without {}", pass.name());
        let (alone, count) = run(&onnx, Passes::NONE.with(pass));
        assert!(difference(&plain, &alone) < 1e-5, "{} alone", pass.name());
        assert!(count <= before, "{} alone", pass.name());
    }
}

#[test]
fn text_encoder() {
    check("text_encoder", 0.5);
}

#[test]
fn denoiser() {
    check("denoiser", 0.6);
}

#[test]
fn decoder() {
    check("decoder", 0.6);
}

#[test]
fn reports_count_what_sessions_dispatch() {
    let onnx = model("denoiser");
    for passes in [Passes::NONE, Passes::ALL] {
        let class = gpu().class();
        let report = Report::new(&onnx, &Bytes::new(), passes, class).unwrap();
        assert_eq!(report.dispatches().unwrap(), run(&onnx, passes).1);
    }
    let report =
        |passes| Report::new(&onnx, &Bytes::new(), passes, AdapterClass::Hardware).unwrap();
    let (plain, fused) = (report(Passes::NONE), report(Passes::ALL));
    assert!(plain.operators["Softmax"] > 0);
    assert_eq!(
        fused.operators.get("fused::Attention"),
        plain.operators.get("Softmax")
    );
    assert_eq!(fused.operators.get("Softmax"), None);
}
