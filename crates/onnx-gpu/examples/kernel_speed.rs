//! Measures the two kernels that dominate a diffusion model, with both variants of each.
//!
//! `cargo run --release -p onnx-gpu --example kernel_speed [adapter]`
#![allow(clippy::print_stdout, reason = "the result of the example")]

use std::time::Instant;

use onnx_gpu::Result;
use onnx_gpu::gpu::{Buffer, Gpu, Recording};
use onnx_gpu::kernels::conv2d::{Conv2d, Residual, conv2d};
use onnx_gpu::kernels::matmul::{MatMul, matmul};
use onnx_gpu::kernels::{Activation, AdapterClass, Format, Launch};

const RUNS: u32 = 5;

/// Best of five replays, in GFLOP/s.
async fn measure(gpu: &Gpu, name: &str, launch: Launch, sizes: &[usize], flops: f64) -> Result<()> {
    let mut buffers: Vec<Buffer> = Vec::new();
    for &size in sizes {
        let data = vec![0.5f32; size];
        buffers.push(gpu.upload(bytemuck::cast_slice(&data)).await?);
    }
    let key = launch.key.clone();
    let recording = Recording::new(gpu, &[(launch, buffers)]).await?;
    recording.execute().await?;
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        recording.execute().await?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!(
        "{name:28} {key:34} {:9.2} ms {:8.2} GFLOP/s",
        best * 1e3,
        flops / best * 1e-9
    );
    Ok(())
}

fn convolution(channels: usize, size: usize, kernel: usize) -> Conv2d {
    let pad = (kernel / 2) as i64;
    Conv2d {
        batch: 1,
        in_channels: channels,
        in_h: size,
        in_w: size,
        out_channels: channels,
        kernel: [kernel; 2],
        strides: [1; 2],
        pads: [pad; 4],
        dilations: [1; 2],
        groups: 1,
        bias: false,
        residual: Residual::None,
        upsample: false,
        activation: Activation::None,
        weights: Format::F32,
    }
}

async fn all(choice: &str) -> Result<()> {
    let gpu = Gpu::request(&choice.parse()?).await?;
    println!("{:?}", gpu.info());
    for class in [AdapterClass::Software, AdapterClass::Hardware] {
        for (name, m, n, k, trans_b) in [
            ("matmul 256^3", 256, 256, 256, false),
            ("matmul 256^3, B transposed", 256, 256, 256, true),
            ("matmul 1024x77x64", 1024, 77, 64, false),
            ("matmul 1x1280x320", 1, 1280, 320, false),
        ] {
            let mut geometry = MatMul::new(m, n, k);
            geometry.trans_b = trans_b;
            let launch = matmul(&geometry, class)?;
            let flops = 2.0 * (m * n * k) as f64;
            measure(&gpu, name, launch, &[m * k, k * n, m * n], flops).await?;
        }
        for (name, channels, size, kernel) in [
            ("conv 3x3 128->128 32x32", 128, 32, 3),
            ("conv 3x3 256->256 8x8", 256, 8, 3),
            ("conv 1x1 128->128 32x32", 128, 32, 1),
        ] {
            let launch = conv2d(&convolution(channels, size, kernel), class)?;
            let taps = kernel * kernel;
            let flops = 2.0 * (size * size * channels * channels * taps) as f64;
            let pixels = channels * size * size;
            measure(
                &gpu,
                name,
                launch,
                &[pixels, channels * channels * taps, pixels],
                flops,
            )
            .await?;
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let choice = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "default".to_owned());
    pollster::block_on(all(&choice))
}
