//! The GPU engine against the CPU engine and ONNX Runtime, on whatever adapter there is, software ones included.
//!
//! A machine without any adapter fails here: `cargo xtask` installs a software Vulkan driver.
#![cfg(all(feature = "gpu", feature = "cpu"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use diffusion::engine::{Answer, Form, Operand, Term};
use diffusion::{
    Cancel, CpuEngine, Engine, ErrorKind, GenerationRequest, GpuEngine, Package, Picture, Pipeline,
    Residency, Stepper, TOLERANCE, Tensor, Value, noise,
};
use onnx_gpu::gpu::Limits;
use onnx_gpu::{AdapterChoice, Gpu};
use pollster::block_on;

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/glyph");

fn gpu() -> GpuEngine {
    block_on(GpuEngine::request(AdapterChoice::Default)).unwrap()
}

fn make(engine: &dyn Engine, request: &GenerationRequest) -> Picture {
    let package = Package::from_dir(PACKAGE.as_ref()).unwrap();
    let pipeline = block_on(Pipeline::load(package, engine)).unwrap();
    println!("{} on {}", pipeline.backend(), pipeline.adapter());
    block_on(pipeline.generate(request, &mut |_| {}, &Cancel::default())).unwrap()
}

fn request(prompt: &str, seed: u64) -> GenerationRequest {
    GenerationRequest {
        model: "demo-hub/glyph".into(),
        prompt: prompt.into(),
        seed: Some(seed),
        num_inference_steps: Some(8),
        guidance_scale: Some(3.0),
        ..GenerationRequest::default()
    }
}

/// Peak signal-to-noise ratio in dB; infinite where the pictures are equal.
fn psnr(a: &Picture, b: &Picture) -> f64 {
    let pairs = a.rgb.iter().zip(&b.rgb);
    let squares: f64 = pairs.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.rgb.len() as f64 / squares).log10()
}

#[test]
fn one_seed_makes_one_picture_on_both_engines() {
    let request = request("red apple, flat style", 1);
    let gpu = make(&gpu(), &request);
    let cpu = make(&CpuEngine::new(), &request);
    let golden = Picture {
        width: gpu.width,
        height: gpu.height,
        rgb: include_bytes!("data/golden.rgb").to_vec(),
    };
    for (name, other) in [("CPU", cpu), ("ONNX Runtime", golden)] {
        let difference = gpu.max_difference(&other).unwrap();
        println!(
            "to {name}: PSNR {:.1} dB, largest difference {difference} of 255",
            psnr(&gpu, &other)
        );
        assert!(difference <= TOLERANCE, "{name}: {difference}");
    }
}

/// One dispatch for up to seven values, guidance among them; the sums are those of the CPU.
#[test]
fn sums_of_registers_are_those_of_the_cpu() {
    let engine = gpu();
    let shape = [1, 3, 7, 11];
    let count = shape.iter().product();
    let values: Vec<Tensor> = (0..5)
        .map(|draw| Tensor::f32(&shape, noise::randn(9, draw, count)).unwrap())
        .collect();
    let both = Tensor::f32(&[2, 3, 7, 11], noise::randn(9, 5, 2 * count)).unwrap();
    let sums = |stepper: &dyn Stepper| -> Vec<Vec<f32>> {
        let upload = |tensor: &Tensor| block_on(stepper.upload(tensor.clone())).unwrap();
        let values: Vec<Value> = values.iter().map(upload).collect();
        let both = upload(&both);
        let plain = |index: usize| Operand::Value(&values[index]);
        let shares = [0.5, -1.25, 2.0, 0.125, -0.75];
        let five: Vec<Term<'_>> = (0..5).map(|i| (shares[i], plain(i))).collect();
        let six = |answer| [&five[..2], &[(1.5, Operand::Answer(answer))], &five[2..]].concat();
        let form = |copies, limit| Form { copies, limit };
        [
            (six(Answer::Both(&both, 4.0)), form(1, None)),
            (
                six(Answer::Each(&values[1], &values[3], 4.0)),
                form(2, Some(0.8)),
            ),
            (six(Answer::One(&values[4])), form(1, Some(2.0))),
            (vec![(2.0, plain(0))], form(3, None)),
        ]
        .into_iter()
        .map(|(terms, form)| {
            let sum = block_on(stepper.linear(&terms, form)).unwrap();
            block_on(sum.into_tensor()).unwrap().into_f32().unwrap()
        })
        .collect()
    };
    let before = engine.gpu().stats().dispatches;
    let ours = sums(&*engine.stepper());
    assert_eq!(engine.gpu().stats().dispatches, before + 4);
    for (gpu, cpu) in ours.iter().zip(sums(&*CpuEngine::new().stepper())) {
        assert_eq!(gpu.len(), cpu.len());
        let pairs = gpu.iter().zip(&cpu);
        assert!(
            pairs.clone().all(|(a, b)| (a - b).abs() < 1e-5),
            "{pairs:?}"
        );
    }
    let stepper = engine.stepper();
    let value = block_on(stepper.upload(values[0].clone())).unwrap();
    let terms = vec![(1.0, Operand::Value(&value)); 8];
    let error = block_on(stepper.linear(&terms, Form::default())).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Engine, "{error}");
}

#[test]
fn nothing_is_read_back_between_steps() {
    let engine = gpu();
    let package = Package::from_dir(PACKAGE.as_ref()).unwrap();
    let pipeline = block_on(Pipeline::load(package, &engine)).unwrap();
    let before = engine.gpu().stats();
    let mut after_step = Vec::new();
    let mut note = |_| after_step.push(engine.gpu().stats());
    let request = request("red apple, flat style", 1);
    let picture = block_on(pipeline.generate(&request, &mut note, &Cancel::default())).unwrap();
    assert_eq!(after_step.len(), 8);
    for stats in &after_step {
        assert_eq!(stats.read_backs, before.read_backs);
        assert!(stats.dispatches > before.dispatches);
    }
    // The picture itself.
    let end = engine.gpu().stats();
    assert_eq!(end.read_backs, before.read_backs + 1);
    assert_eq!(
        end.read_bytes,
        before.read_bytes + 4 * picture.rgb.len() as u64
    );
    println!("read-backs between steps: 0; {end:?}");
}

#[test]
fn the_declared_needs_are_those_of_a_picture() {
    let package = Package::from_dir(PACKAGE.as_ref()).unwrap();
    let needs = package.manifest.needs;
    let limits = Limits {
        max_buffer_size: needs.max_buffer_size,
        max_storage_buffer_binding_size: needs.max_storage_buffer_binding_size,
        ..Limits::unlimited()
    };
    let gpu = block_on(Gpu::request_within(&AdapterChoice::Default, &limits)).unwrap();
    assert_eq!(gpu.info().max_buffer_size, needs.max_buffer_size);
    let engine = GpuEngine::from(gpu);
    let pipeline = block_on(Pipeline::load(package, &engine)).unwrap();
    let request = request("red apple, flat style", 1);
    block_on(pipeline.generate(&request, &mut |_| {}, &Cancel::default())).unwrap();
    let (peak, declared) = (engine.gpu().stats().peak_buffer_bytes, needs.memory_bytes);
    println!("declared {declared} bytes, at most {peak} in use");
    assert!(peak <= declared, "{peak} of {declared}");
    assert!(10 * declared <= 11 * peak, "{peak} of {declared}");
}

/// All graphs on the device, one at a time, and of each a share of its weights: one picture, to the last bit, in ever less memory;
/// and a second one alike.
#[test]
fn every_residency_makes_the_same_picture() {
    let request = request("red apple, flat style", 1);
    let make = |residency: Residency| {
        let engine = gpu();
        let package = Package::from_dir(PACKAGE.as_ref()).unwrap();
        let own: Box<dyn Engine> = Box::new(engine.clone());
        let pipeline = block_on(async {
            match residency {
                Residency::Kept => Pipeline::load(package, &*own).await,
                Residency::OnDemand => Pipeline::on_demand(package, own).await,
                Residency::Streamed => Pipeline::streamed(package, own, 4 << 20).await,
            }
        });
        let pipeline = pipeline.unwrap();
        assert_eq!(pipeline.residency(), residency);
        let other = GenerationRequest {
            prompt: "blue star".into(),
            num_inference_steps: Some(1),
            ..request.clone()
        };
        let pictures = [&request, &other].map(|request| {
            block_on(pipeline.generate(request, &mut |_| {}, &Cancel::default())).unwrap()
        });
        let stats = engine.gpu().stats();
        println!("{residency:?}: {stats:?}");
        (pictures, stats)
    };
    let (wanted, kept) = make(Residency::Kept);
    let (one, one_at_a_time) = make(Residency::OnDemand);
    let (layers, streamed) = make(Residency::Streamed);
    assert!(one == wanted && layers == wanted);
    assert!(one_at_a_time.peak_buffer_bytes < kept.peak_buffer_bytes);
    assert!(streamed.peak_buffer_bytes < one_at_a_time.peak_buffer_bytes);
    // Nothing is left of one graph when the next one comes.
    assert!(one_at_a_time.buffer_bytes < kept.buffer_bytes / 10);
}

#[test]
fn decoders_agree_before_rounding() {
    let onnx = std::fs::read(format!("{PACKAGE}/decoder.onnx")).unwrap();
    let decode = |engine: &dyn Engine| {
        let model = block_on(engine.load("decoder", &onnx)).unwrap();
        let latents = Tensor::f32(&[1, 16, 8, 8], noise::randn(5, 0, 1024)).unwrap();
        let outputs = block_on(model.run(vec![("latents", latents)])).unwrap();
        outputs.into_iter().next().unwrap().1.into_f32().unwrap()
    };
    let (gpu, cpu) = (decode(&gpu()), decode(&CpuEngine::new()));
    assert_eq!(gpu.len(), cpu.len());
    // The maximum below would pass over a NaN.
    assert!(gpu.iter().chain(&cpu).all(|x| x.is_finite()));
    let largest = gpu
        .iter()
        .zip(&cpu)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    println!("largest difference {largest:e} of a range of 2");
    assert!(largest < 1e-4);
}

#[test]
fn broken_graphs_and_inputs_have_typed_errors() {
    let engine = gpu();
    let onnx = std::fs::read(format!("{PACKAGE}/decoder.onnx")).unwrap();
    for bytes in [&b"not onnx"[..], &onnx[..onnx.len() / 2]] {
        let error = block_on(engine.load("decoder", bytes)).err().unwrap();
        let component = "decoder".to_owned();
        assert_eq!(*error.kind(), ErrorKind::InvalidModel { component });
    }
    let model = block_on(engine.load("decoder", &onnx)).unwrap();
    let wrong = Tensor::f32(&[1, 3], vec![0.0; 3]).unwrap();
    let error = block_on(model.run(vec![("latents", wrong)])).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Engine, "{error}");
    let error = block_on(GpuEngine::request(AdapterChoice::Name(
        "no such adapter".to_owned(),
    )))
    .unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NoAdapter);
}
