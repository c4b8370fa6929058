//! Pipelines: made once per device and key, several at a time where there are threads.

use std::collections::HashMap;

use super::buffer::Counters;
use super::{Buffer, Gpu, lock};
use crate::Result;
use crate::kernels::Launch;

impl Gpu {
    /// The layouts for `bindings` storage buffers.
    fn layout(&self, bindings: usize) -> (wgpu::BindGroupLayout, wgpu::PipelineLayout) {
        lock(&self.0.cache)
            .layouts
            .entry(bindings)
            .or_insert_with(|| layouts(&self.0.device, bindings))
            .clone()
    }

    /// The layout for `bindings` storage buffers and the launch's pipeline, from the cache where they are known.
    pub(super) fn pipeline(
        &self,
        launch: &Launch,
        bindings: usize,
        fresh: &mut HashMap<String, wgpu::ComputePipeline>,
    ) -> (wgpu::BindGroupLayout, wgpu::ComputePipeline) {
        let (layout, pipeline_layout) = self.layout(bindings);
        let known = lock(&self.0.cache).pipelines.get(&launch.key).cloned();
        let pipeline = known.unwrap_or_else(|| {
            fresh
                .entry(launch.key.clone())
                .or_insert_with(|| self.compile(launch, &pipeline_layout))
                .clone()
        });
        (layout, pipeline)
    }

    fn compile(&self, launch: &Launch, layout: &wgpu::PipelineLayout) -> wgpu::ComputePipeline {
        let device = &self.0.device;
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&launch.key),
            source: wgpu::ShaderSource::Wgsl(launch.wgsl.clone()),
        });
        Counters::add(&self.0.counters.pipelines, 1);
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&launch.key),
            layout: Some(layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        })
    }

    /// A browser compiles on threads of its own.
    #[cfg(target_arch = "wasm32")]
    #[allow(clippy::unnecessary_wraps, reason = "compiling may fail elsewhere")]
    pub(super) fn warm(&self, _steps: &[(Launch, Vec<Buffer>)]) -> Result<()> {
        Ok(())
    }

    /// Compiles what is not in the cache on as many threads as there are.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn warm(&self, steps: &[(Launch, Vec<Buffer>)]) -> Result<()> {
        use std::sync::atomic::{AtomicUsize, Ordering};

        let mut missing: HashMap<&str, (&Launch, usize)> = HashMap::new();
        {
            let cache = lock(&self.0.cache);
            for (launch, buffers) in steps {
                if !cache.pipelines.contains_key(&launch.key) {
                    missing.insert(&launch.key, (launch, buffers.len()));
                }
            }
        }
        let missing: Vec<_> = missing.into_values().collect();
        let threads = std::thread::available_parallelism()
            .map_or(1, std::num::NonZero::get)
            .min(missing.len());
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            while let Some((launch, bindings)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (_, layout) = self.layout(*bindings);
                // Error scopes belong to a thread.
                let (pipeline, error) = self.scoped(|| self.compile(launch, &layout));
                pollster::block_on(error)?;
                lock(&self.0.cache)
                    .pipelines
                    .insert(launch.key.clone(), pipeline);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            let mut results = vec![own];
            for helper in helpers {
                results.push(helper.join().unwrap_or_else(|_| {
                    Err(crate::Error::new(
                        crate::ErrorKind::Validation,
                        "a shader could not be compiled",
                    ))
                }));
            }
            results.into_iter().collect()
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
