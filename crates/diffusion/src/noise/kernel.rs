//! The generator as a kernel.
//!
//! Its words are those of [`super::philox4x32_10`], on every device. The normal values are not made by the device: WGSL grants
//! `sin` an absolute error of 2⁻¹¹ and leaves `log` to the implementation, so two devices would begin two pictures.

use onnx_gpu::gpu::{Gpu, Recording};
use onnx_gpu::kernels::{Launch, MAX_WORKGROUPS};

use crate::error::{Error, Result};

/// The words of `count` counters that follow each other, four each: their low half is `low`, their high half begins with
/// `high` and grows by one, with carry.
///
/// # Errors
/// A device kind when the device is at fault.
pub async fn philox_words(
    gpu: &Gpu,
    key: [u32; 2],
    low: [u32; 2],
    high: [u32; 2],
    count: u32,
) -> Result<Vec<[u32; 4]>> {
    let fail = |error: onnx_gpu::Error| crate::engine::gpu::fail("the noise", &error);
    let groups = count.div_ceil(64).max(1);
    let rows = groups.div_ceil(MAX_WORKGROUPS);
    let launch = Launch {
        label: "philox4x32_10",
        key: "philox4x32_10".to_owned(),
        wgsl: include_str!("kernel.wgsl").into(),
        params: vec![key[0], key[1], low[0], low[1], high[0], high[1], count, 0],
        workgroups: [groups.div_ceil(rows), rows, 1],
        turns: 0,
        bindings: 1,
        flops: 0,
    };
    let bytes = u64::from(count) * 16;
    let words = gpu.buffer(bytes, "noise").map_err(fail)?;
    let steps = [(launch, vec![words.clone()])];
    let recording = Recording::new(gpu, &steps).await.map_err(fail)?;
    recording.execute().await.map_err(fail)?;
    let read = gpu.read(&words, bytes).await.map_err(fail)?;
    let (numbers, rest) = read.as_chunks::<4>();
    let (quads, more) = numbers.as_chunks::<4>();
    if !rest.is_empty() || !more.is_empty() {
        return Err(Error::engine("the device gave a part of a word"));
    }
    Ok(quads
        .iter()
        .map(|quad| quad.map(u32::from_le_bytes))
        .collect())
}
