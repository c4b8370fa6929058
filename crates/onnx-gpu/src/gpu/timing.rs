//! Times of single dispatches.

use super::buffer::Counters;
use super::recording::{Recording, Step};
use super::{Buffer, Gpu, clock::Clock};
use crate::kernels::AdapterClass;
use crate::{Error, ErrorKind, Result};

/// What one dispatch of a profiled run took.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// Kernel family.
    pub label: &'static str,
    /// Pipeline, see [`crate::kernels::Launch::key`].
    pub key: String,
    /// Seconds on the device where it has timestamps, otherwise from submit to completion.
    pub seconds: f64,
    /// Bytes of the buffers bound, which is what a dispatch reads and writes at least once.
    pub bytes: u64,
    /// Multiplications and additions of products, convolutions and attention; 0 for other kernels.
    pub flops: u64,
}

impl Recording {
    /// Runs the dispatches in passes of their own and gives the time of each.
    ///
    /// # Errors
    /// As [`Recording::execute`].
    pub async fn profile(&self) -> Result<Vec<KernelTime>> {
        self.gpu.check()?;
        let stamped = self
            .gpu
            .0
            .device
            .features()
            .contains(wgpu::Features::TIMESTAMP_QUERY);
        let batch = match self.gpu.class() {
            AdapterClass::Software => 16,
            AdapterClass::Hardware => 256,
        };
        let mut seconds = Vec::with_capacity(self.steps.len());
        if stamped {
            for steps in self.steps.chunks(batch) {
                seconds.extend(stamps(&self.gpu, steps).await?);
            }
        } else {
            for step in self.steps.chunks(1) {
                let clock = Clock::start();
                let ((), error) = self.gpu.scoped(|| self.submit(step));
                error.await?;
                self.gpu.idle().await?;
                seconds.push(clock.seconds());
            }
        }
        Ok(self
            .steps
            .iter()
            .zip(seconds)
            .map(|(step, seconds)| KernelTime {
                label: step.label,
                key: step.key.clone(),
                seconds,
                bytes: step.bytes,
                flops: step.flops,
            })
            .collect())
    }
}

/// Seconds per dispatch by timestamp queries around a pass for each.
async fn stamps(gpu: &Gpu, steps: &[Step]) -> Result<Vec<f64>> {
    let device = &gpu.0.device;
    let bytes = steps.len() as u64 * 16;
    let (buffer, error) = gpu.scoped(|| {
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("profile"),
            ty: wgpu::QueryType::Timestamp,
            count: steps.len() as u32 * 2,
        });
        let raw = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("profile"),
            size: bytes,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (index, step) in (0u32..).zip(steps) {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some(step.label),
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(index * 2),
                    end_of_pass_write_index: Some(index * 2 + 1),
                }),
            });
            step.encode(&mut pass);
        }
        encoder.resolve_query_set(&queries, 0..steps.len() as u32 * 2, &raw, 0);
        gpu.0.queue.submit([encoder.finish()]);
        Counters::add(&gpu.0.counters.dispatches, steps.len());
        Buffer::new(raw, &gpu.0.counters)
    });
    error.await?;
    let data = gpu.read(&buffer, bytes).await?;
    let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&data);
    let period = f64::from(gpu.0.queue.get_timestamp_period()) * 1e-9;
    let pairs = ticks.chunks_exact(2);
    if pairs.len() != steps.len() {
        return Err(Error::new(
            ErrorKind::Validation,
            format!("{} times for {} dispatches", pairs.len(), steps.len()),
        ));
    }
    Ok(pairs
        .map(|pair| pair[1].saturating_sub(pair[0]) as f64 * period)
        .collect())
}
