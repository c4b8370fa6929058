//! How fast the adapter runs the kernel that models spend most of their time in, the runtime's own matrix product, and how fast
//! bytes get to it.

use onnx_gpu::gpu::{Buffer, Recording};
use onnx_gpu::kernels::matmul::{MatMul, matmul};
use onnx_gpu::kernels::{AdapterClass, Launch};
use onnx_gpu::{AdapterChoice, Gpu, Result};
use protocol::KernelSpeed;

use super::super::js::now_ms;
use crate::worker::speed::{self, Sample};

/// Times of which the median counts.
const RUNS: usize = 5;
/// No further run begins after this many milliseconds.
const BUDGET_MS: f64 = 350.0;
/// Side of the matrices on a GPU: enough workgroups for all of its units.
const HARDWARE_SIDE: usize = 1024;
/// Side of the matrices on a CPU that poses as a GPU, for which 10⁹ operations take a second.
const SOFTWARE_SIDE: usize = 256;
/// Side of a product that is all overhead.
const TINY_SIDE: usize = 16;
/// Dispatches in the longer of the two recordings that a time per dispatch is taken from.
const MANY: usize = 32;
/// Bytes written to the device at a time, to measure how fast they get there.
const UPLOADED: usize = 16 << 20;
/// Parts that they are written in: the worker's memory never shrinks.
const PARTS: usize = 4;
/// How long the longer recording of large products should take, in milliseconds.
const BUSY_MS: f64 = 40.0;

/// Opens the adapter, times products on it, and gives its memory back.
pub(super) async fn measure() -> Result<KernelSpeed> {
    let gpu = Gpu::request(&AdapterChoice::Default).await?;
    let speed = on(&gpu).await;
    gpu.destroy();
    speed
}

async fn on(gpu: &Gpu) -> Result<KernelSpeed> {
    let began = now_ms();
    let side = match gpu.class() {
        AdapterClass::Hardware => HARDWARE_SIDE,
        AdapterClass::Software => SOFTWARE_SIDE,
    };
    let tiny = product(gpu, TINY_SIDE).await?;
    let large = product(gpu, side).await?;
    let flops = large.0.flops;
    let sample = |steps: Vec<(Launch, Vec<Buffer>)>| async move {
        let recording = Recording::new(gpu, &steps).await?;
        // The first run also pays for what the driver compiles late.
        recording.execute().await?;
        let mut times = Vec::with_capacity(RUNS);
        while times.len() < RUNS && (times.is_empty() || now_ms() - began < BUDGET_MS) {
            let start = now_ms();
            recording.execute().await?;
            times.push(now_ms() - start);
        }
        Ok::<_, onnx_gpu::Error>(Sample {
            dispatches: steps.len(),
            ms: speed::median(&mut times),
        })
    };
    let idle = [
        sample(vec![tiny.clone()]).await?,
        sample(vec![tiny; MANY]).await?,
    ];
    let mut busy = vec![sample(vec![large.clone()]).await?];
    // A GPU that is done before the clock moves gets more to do.
    let more = (BUSY_MS / busy[0].ms.max(0.1)) as usize;
    if more > 1 {
        busy.push(sample(vec![large; more.min(MANY)]).await?);
    }
    let mut speed = speed::fit(idle, &busy, flops);
    speed.upload_bytes_per_second = Some(upload(gpu, began, speed.round_trip_ms).await?);
    Ok(speed)
}

/// Bytes per second that reach the device.
async fn upload(gpu: &Gpu, began: f64, round_trip_ms: f64) -> Result<f64> {
    let part: Vec<u8> = (0..UPLOADED / PARTS).map(|i| (i % 251) as u8).collect();
    let buffer = gpu.buffer(part.len() as u64, "upload")?;
    let mut times = Vec::with_capacity(RUNS);
    while times.len() < RUNS && (times.is_empty() || now_ms() - began < BUDGET_MS) {
        let start = now_ms();
        for _ in 0..PARTS {
            gpu.write(&buffer, &part)?;
        }
        gpu.idle().await?;
        times.push(now_ms() - start);
    }
    let ms = speed::median(&mut times);
    Ok(speed::upload(UPLOADED, ms, round_trip_ms))
}

/// A square product and its buffers, none of which holds zeros.
async fn product(gpu: &Gpu, side: usize) -> Result<(Launch, Vec<Buffer>)> {
    let launch = matmul(&MatMul::new(side, side, side), gpu.class())?;
    let values: Vec<u8> = (0..side * side)
        .flat_map(|i| ((i % 17) as f32 / 17.0).to_le_bytes())
        .collect();
    let a = gpu.upload(&values).await?;
    let b = gpu.upload(&values).await?;
    let out = gpu.buffer((side * side * 4) as u64, "product")?;
    Ok((launch, vec![a, b, out]))
}
