//! Dispatches whose pipelines and bind groups are made once and replayed.

use std::collections::HashMap;

use super::{Buffer, Gpu, lock};
use crate::kernels::{AdapterClass, Launch};
use crate::{Error, ErrorKind, Result};

/// Most dispatches per submit on a GPU.
const HARDWARE_BATCH: usize = 64;
/// Most dispatches per submit on a CPU, where each may take long.
const SOFTWARE_BATCH: usize = 16;

struct Step {
    label: &'static str,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

/// A list of dispatches, ready to run any number of times.
pub struct Recording {
    gpu: Gpu,
    steps: Vec<Step>,
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
        let mut fresh = HashMap::new();
        let (built, error) = gpu.scoped(|| {
            let uniforms = gpu.uniforms(steps);
            steps
                .iter()
                .zip(&uniforms.offsets)
                .map(|((launch, buffers), &offset)| {
                    let (layout, pipeline) = gpu.pipeline(launch, buffers.len(), &mut fresh);
                    let bind_group =
                        gpu.bind_group(launch, &layout, &uniforms.buffer, offset, buffers);
                    Step {
                        label: launch.label,
                        pipeline,
                        bind_group,
                        workgroups: launch.workgroups,
                    }
                })
                .collect::<Vec<_>>()
        });
        error.await?;
        gpu.check()?;
        lock(&gpu.0.cache).pipelines.extend(fresh);
        Ok(Self {
            gpu: gpu.clone(),
            steps: built,
        })
    }

    /// Runs every dispatch in order and waits until the device is done.
    pub async fn execute(&self) -> Result<()> {
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
        for error in caught {
            error.await?;
        }
        self.gpu.idle().await
    }

    fn submit(&self, steps: &[Step]) {
        let device = &self.gpu.0.device;
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for step in steps {
                let [x, y, z] = step.workgroups;
                pass.set_pipeline(&step.pipeline);
                pass.set_bind_group(0, &step.bind_group, &[]);
                pass.dispatch_workgroups(x, y, z);
            }
        }
        self.gpu.0.queue.submit([encoder.finish()]);
    }

    /// Runs the dispatches one by one and gives each one's label and seconds, submit and wait included.
    pub async fn profile(&self) -> Result<Vec<(&'static str, f64)>> {
        self.gpu.check()?;
        let mut times = Vec::with_capacity(self.steps.len());
        for step in self.steps.chunks(1) {
            let clock = super::clock::Clock::start();
            let ((), error) = self.gpu.scoped(|| self.submit(step));
            error.await?;
            self.gpu.idle().await?;
            times.extend(step.iter().map(|s| (s.label, clock.seconds())));
        }
        Ok(times)
    }

    /// Number of dispatches.
    pub fn dispatches(&self) -> usize {
        self.steps.len()
    }
}

fn check(gpu: &Gpu, launch: &Launch, buffers: &[Buffer]) -> Result<()> {
    let limits = &gpu.0.limits;
    if buffers.len() != launch.bindings() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "{} binds {} buffers, {} given",
                launch.key,
                launch.bindings(),
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
        let buffer = self.0.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("params"),
            size: (bytes.len() as u64).max(16),
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.write_at(&buffer, 0, bytes);
        Uniforms { buffer, offsets }
    }

    /// The layout for `bindings` storage buffers and the launch's pipeline, from the cache where they are known.
    fn pipeline(
        &self,
        launch: &Launch,
        bindings: usize,
        fresh: &mut HashMap<String, wgpu::ComputePipeline>,
    ) -> (wgpu::BindGroupLayout, wgpu::ComputePipeline) {
        let device = &self.0.device;
        let mut cache = lock(&self.0.cache);
        let (layout, pipeline_layout) = cache
            .layouts
            .entry(bindings)
            .or_insert_with(|| layouts(device, bindings))
            .clone();
        let known = cache
            .pipelines
            .get(&launch.key)
            .or_else(|| fresh.get(&launch.key))
            .cloned();
        let pipeline = known.unwrap_or_else(|| {
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(&launch.key),
                source: wgpu::ShaderSource::Wgsl(launch.wgsl.clone()),
            });
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&launch.key),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: None,
            });
            fresh.insert(launch.key.clone(), pipeline.clone());
            pipeline
        });
        (layout, pipeline)
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
                buffer: uniforms,
                offset,
                size: wgpu::BufferSize::new(size),
            }),
        }];
        entries.extend(
            (1..)
                .zip(buffers)
                .map(|(binding, buffer)| wgpu::BindGroupEntry {
                    binding,
                    resource: buffer.as_entire_binding(),
                }),
        );
        self.0.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(launch.label),
            layout,
            entries: &entries,
        })
    }
}

/// Uniform, `bindings - 1` read-only buffers, one output.
fn layouts(
    device: &wgpu::Device,
    bindings: usize,
) -> (wgpu::BindGroupLayout, wgpu::PipelineLayout) {
    let entry = |binding: usize, ty| wgpu::BindGroupLayoutEntry {
        binding: binding as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform)];
    entries.extend((1..=bindings).map(|binding| {
        let read_only = binding < bindings;
        entry(binding, wgpu::BufferBindingType::Storage { read_only })
    }));
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("onnx-gpu"),
        entries: &entries,
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some("onnx-gpu"),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    (layout, pipeline_layout)
}
