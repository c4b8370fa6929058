//! Runs a model on inputs of ones: `cargo run -p onnx-gpu --example run -- MODEL [ADAPTER]`.

use std::path::PathBuf;
use std::time::Instant;

use onnx_gpu::{DType, Dim, Options, Result, Session, Tensor, ValueInfo};

/// Ones of the declared shape and type; a free dimension becomes 1.
fn ones(info: &ValueInfo) -> Result<Tensor> {
    let shape: Vec<usize> = info
        .shape
        .iter()
        .flatten()
        .map(|dim| match dim {
            Dim::Fixed(size) => *size,
            Dim::Symbol(_) => 1,
        })
        .collect();
    let len = shape.iter().product();
    Ok(match info.dtype {
        DType::F32 => Tensor::f32(shape, vec![1.0; len])?,
        other => Tensor::f32(shape, vec![1.0; len])?.cast(other),
    })
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = PathBuf::from(arguments.next().ok_or("which model?")?);
    let mut options = Options::default();
    if let Some(adapter) = arguments.next() {
        options.adapter = adapter.parse()?;
    }
    let session = Session::open_blocking(&model, options)?;
    println!("on {}", session.gpu().info().name);
    let tensors = session
        .inputs()
        .iter()
        .map(ones)
        .collect::<Result<Vec<_>>>()?;
    let names = session.inputs().iter().map(|info| info.name.as_str());
    let inputs: Vec<(&str, Tensor)> = names.zip(tensors).collect();
    for attempt in ["first", "second"] {
        let start = Instant::now();
        let outputs = session.run_blocking(&inputs)?;
        println!("{attempt} run: {:?}", start.elapsed());
        for (name, tensor) in outputs {
            println!("  {name}: {} {:?}", tensor.dtype(), tensor.shape());
        }
    }
    let stats = session.stats();
    println!(
        "{} dispatches of {} pipelines",
        stats.dispatches, stats.pipelines
    );
    Ok(())
}
