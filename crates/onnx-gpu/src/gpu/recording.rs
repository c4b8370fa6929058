//! Dispatches whose pipelines and bind groups are made once and replayed.

use std::collections::HashMap;

use super::buffer::Counters;
use super::{Buffer, Caught, Gpu, lock};
use crate::kernels::{AdapterClass, Launch};
use crate::{Error, ErrorKind, Result};

/// Most dispatches per submit on a GPU.
const HARDWARE_BATCH: usize = 64;
/// Most dispatches per submit on a CPU, where each may take long.
const SOFTWARE_BATCH: usize = 16;

pub(super) struct Step {
    pub label: &'static str,
    pub key: String,
    pub bytes: u64,
    pub flops: u64,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

impl Step {
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        let [x, y, z] = self.workgroups;
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

/// A list of dispatches, ready to run any number of times.
pub struct Recording {
    pub(super) gpu: Gpu,
    pub(super) steps: Vec<Step>,
    /// What the bind groups read and write, parameters included: a buffer whose last handle goes is destroyed in a browser.
    _buffers: Vec<Buffer>,
}

impl Recording {
    /// Makes the pipelines and bind groups of `steps`: each launch with its inputs in order and its output last.
    ///
    /// [`ErrorKind::Validation`] if the driver refuses a shader or binding, [`ErrorKind::Limit`] if a buffer is too
    /// large to bind.
    pub async fn new(gpu: &Gpu, steps: &[(Launch, Vec<Buffer>)]) -> Result<Self> {
        for (launch, buffers) in steps {
            check(gpu, launch, buffers)?;
        }
        gpu.warm(steps)?;
        let mut fresh = HashMap::new();
        let ((built, params), error) = gpu.scoped(|| {
            let uniforms = gpu.uniforms(steps);
            let built = steps
                .iter()
                .zip(&uniforms.offsets)
                .map(|((launch, buffers), &offset)| {
                    let (layout, pipeline) = gpu.pipeline(launch, buffers.len(), &mut fresh);
                    let bind_group =
                        gpu.bind_group(launch, &layout, &uniforms.buffer, offset, buffers);
                    Step {
                        label: launch.label,
                        key: launch.key.clone(),
                        bytes: buffers.iter().map(|b| b.size()).sum(),
                        flops: launch.flops,
                        pipeline,
                        bind_group,
                        workgroups: launch.workgroups,
                    }
                })
                .collect::<Vec<_>>();
            (built, uniforms.buffer)
        });
        error.await?;
        gpu.check()?;
        lock(&gpu.0.cache).pipelines.extend(fresh);
        Ok(Self {
            gpu: gpu.clone(),
            steps: built,
            _buffers: steps
                .iter()
                .flat_map(|(_, buffers)| buffers)
                .cloned()
                .chain([params])
                .collect(),
        })
    }

    /// Runs every dispatch in order and waits until the device is done.
    pub async fn execute(&self) -> Result<()> {
        for error in self.start()? {
            error.await?;
        }
        self.gpu.idle().await
    }

    /// Hands every dispatch over, behind what was handed over before; gives what the device will say of it.
    pub(crate) fn start(&self) -> Result<Vec<Caught>> {
        self.gpu.check()?;
        let batch = match self.gpu.class() {
            AdapterClass::Software => SOFTWARE_BATCH,
            AdapterClass::Hardware => HARDWARE_BATCH,
        };
        let mut caught = Vec::new();
        for steps in self.steps.chunks(batch) {
            let ((), error) = self.gpu.scoped(|| self.submit(steps));
            caught.push(error);
        }
        Ok(caught)
    }

    pub(super) fn submit(&self, steps: &[Step]) {
        let device = &self.gpu.0.device;
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for step in steps {
                step.encode(&mut pass);
            }
        }
        self.gpu.0.queue.submit([encoder.finish()]);
        Counters::add(&self.gpu.0.counters.dispatches, steps.len());
    }

    /// Number of dispatches.
    pub fn dispatches(&self) -> usize {
        self.steps.len()
    }
}

fn check(gpu: &Gpu, launch: &Launch, buffers: &[Buffer]) -> Result<()> {
    let limits = &gpu.0.limits;
    if buffers.len() != launch.bindings {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "{} binds {} buffers, {} given",
                launch.key,
                launch.bindings,
                buffers.len()
            ),
        ));
    }
    let most = limits.max_storage_buffers_per_shader_stage as usize;
    if buffers.len() > most {
        return Err(Error::new(
            ErrorKind::Limit,
            format!(
                "{} binds {} buffers, this adapter allows {most}",
                launch.key,
                buffers.len()
            ),
        ));
    }
    for buffer in buffers {
        let most = limits.max_storage_buffer_binding_size;
        if buffer.size() > most {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "{} binds {} bytes, this adapter binds at most {most}",
                    launch.key,
                    buffer.size()
                ),
            ));
        }
    }
    if let Some((output, inputs)) = buffers.split_last()
        && inputs.contains(output)
    {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{} reads the buffer it writes", launch.key),
        ));
    }
    let most = limits.max_compute_workgroups_per_dimension;
    if launch.workgroups.iter().any(|&count| count > most) {
        return Err(Error::new(
            ErrorKind::Limit,
            format!(
                "{} dispatches {:?} workgroups, this adapter allows {most} per dimension",
                launch.key, launch.workgroups
            ),
        ));
    }
    Ok(())
}

/// The parameters of every step in one buffer.
struct Uniforms {
    buffer: Buffer,
    offsets: Vec<u64>,
}

impl Gpu {
    fn uniforms(&self, steps: &[(Launch, Vec<Buffer>)]) -> Uniforms {
        let alignment = self.0.limits.min_uniform_buffer_offset_alignment as usize / 4;
        let mut words: Vec<u32> = Vec::new();
        let mut offsets = Vec::with_capacity(steps.len());
        for (launch, _) in steps {
            words.resize(words.len().next_multiple_of(alignment.max(4)), 0);
            offsets.push(words.len() as u64 * 4);
            words.extend(&launch.params);
            words.resize(words.len().next_multiple_of(4), 0);
        }
        let bytes: &[u8] = bytemuck::cast_slice(&words);
        let raw = self.0.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("params"),
            size: (bytes.len() as u64).max(16),
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let buffer = Buffer::new(raw, &self.0.counters);
        self.write_at(&buffer, 0, bytes);
        Uniforms { buffer, offsets }
    }

    fn bind_group(
        &self,
        launch: &Launch,
        layout: &wgpu::BindGroupLayout,
        uniforms: &Buffer,
        offset: u64,
        buffers: &[Buffer],
    ) -> wgpu::BindGroup {
        let size = (launch.params.len() as u64 * 4)
            .next_multiple_of(16)
            .max(16);
        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: uniforms.raw(),
                offset,
                size: wgpu::BufferSize::new(size),
            }),
        }];
        entries.extend(
            (1..)
                .zip(buffers)
                .map(|(binding, buffer)| wgpu::BindGroupEntry {
                    binding,
                    resource: buffer.binding(),
                }),
        );
        self.0.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(launch.label),
            layout,
            entries: &entries,
        })
    }
}
