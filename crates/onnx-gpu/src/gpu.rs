//! The device: adapter choice, buffers, transfers, recorded dispatches.
//!
//! Every call that can fail on the device is wrapped in error scopes that are awaited, and a lost device is
//! remembered: a failure is an [`Error`], never a buffer of zeros.

mod adapter;
mod buffer;
mod clock;
mod pipelines;
mod recording;
mod signal;
#[cfg(not(target_arch = "wasm32"))]
mod tile_file;
mod timing;
mod tune;
mod upload;
mod warm;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use adapter::{AdapterChoice, AdapterSummary};
pub(crate) use buffer::PART_ALIGNMENT;
pub use buffer::{Buffer, GpuStats};
pub use recording::Recording;
#[cfg(not(target_arch = "wasm32"))]
pub use tile_file::TileFile;
pub use timing::KernelTime;
pub use tune::{TileStore, TileTime};
pub(crate) use upload::Uploader;
pub use wgpu::Limits;

use crate::kernels::{AdapterClass, Target, Tiles};
use crate::{Error, ErrorKind, Result};
use buffer::Counters;
use signal::signal;

/// Bytes per `writeBuffer` of an upload.
const UPLOAD_CHUNK: usize = 4 << 20;
/// Buffers are whole `vec4`s, see [`crate::kernels`].
const BUFFER_ALIGNMENT: u64 = 16;

#[derive(Default)]
struct Cache {
    pipelines: HashMap<String, wgpu::ComputePipeline>,
    layouts: HashMap<usize, (wgpu::BindGroupLayout, wgpu::PipelineLayout)>,
}

struct Inner {
    summary: AdapterSummary,
    device: wgpu::Device,
    queue: wgpu::Queue,
    limits: wgpu::Limits,
    cache: Mutex<Cache>,
    counters: Arc<Counters>,
    tiles: Mutex<Tiles>,
    /// Why the device can no longer be used: it was lost, or failed outside an error scope.
    failed: Arc<Mutex<Option<(ErrorKind, String)>>>,
}

/// An open device. Clones share it.
#[derive(Clone)]
pub struct Gpu(Arc<Inner>);

/// What error scopes caught, once the device has answered.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) type Caught = Pin<Box<dyn Future<Output = Result<()>> + Send>>;
/// What error scopes caught, once the device has answered.
#[cfg(target_arch = "wasm32")]
pub(crate) type Caught = Pin<Box<dyn Future<Output = Result<()>>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle())
}

impl Gpu {
    /// Opens a device on the chosen adapter with all of its limits, or the defaults where it refuses them.
    ///
    /// Fails with [`ErrorKind::NoAdapter`] where none fits.
    #[cfg_attr(
        target_arch = "wasm32",
        allow(
            clippy::arc_with_non_send_sync,
            reason = "a browser's device stays on its thread; elsewhere it is shared"
        )
    )]
    pub async fn request(choice: &AdapterChoice) -> Result<Self> {
        Self::request_within(choice, &wgpu::Limits::unlimited()).await
    }

    /// [`Gpu::request`] with the buffer sizes and bindings of `ceiling` where the adapter has more.
    ///
    /// # Errors
    /// As [`Gpu::request`].
    #[cfg_attr(
        target_arch = "wasm32",
        allow(
            clippy::arc_with_non_send_sync,
            reason = "a browser's device stays on its thread; elsewhere it is shared"
        )
    )]
    pub async fn request_within(choice: &AdapterChoice, ceiling: &wgpu::Limits) -> Result<Self> {
        let adapter = adapter::select(&instance(), choice).await?;
        let mut limits = adapter.limits();
        limits.max_buffer_size = limits.max_buffer_size.min(ceiling.max_buffer_size);
        limits.max_storage_buffer_binding_size = limits
            .max_storage_buffer_binding_size
            .min(ceiling.max_storage_buffer_binding_size);
        limits.max_storage_buffers_per_shader_stage = limits
            .max_storage_buffers_per_shader_stage
            .min(ceiling.max_storage_buffers_per_shader_stage);
        let mut descriptor = wgpu::DeviceDescriptor {
            label: Some("onnx-gpu"),
            required_limits: limits.clone(),
            required_features: adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = match adapter.request_device(&descriptor).await {
            Ok(opened) => opened,
            Err(first) => {
                limits = wgpu::Limits::defaults();
                descriptor.required_limits = limits.clone();
                adapter.request_device(&descriptor).await.map_err(|second| {
                    Error::new(
                        ErrorKind::NoAdapter,
                        format!("no device with the adapter's limits ({first}) nor with the default ones ({second})"),
                    )
                })?
            }
        };
        let failed = Arc::new(Mutex::new(None));
        let lost = Arc::clone(&failed);
        device.set_device_lost_callback(move |reason, message| {
            lock(&lost).get_or_insert((
                ErrorKind::DeviceLost,
                format!("device lost ({reason:?}): {message}"),
            ));
        });
        let stray = Arc::clone(&failed);
        device.on_uncaptured_error(Arc::new(move |error| {
            let error = typed(error);
            lock(&stray).get_or_insert((error.kind(), error.to_string()));
        }));
        let mut summary = AdapterSummary::of(&adapter);
        summary.max_buffer_size = limits.max_buffer_size;
        summary.max_storage_buffer_binding_size = limits.max_storage_buffer_binding_size;
        let tiles = Tiles::from(summary.class());
        Ok(Self(Arc::new(Inner {
            summary,
            device,
            queue,
            limits,
            cache: Mutex::default(),
            counters: Arc::default(),
            tiles: Mutex::new(tiles),
            failed,
        })))
    }

    /// Every adapter of this machine, in the order of [`AdapterChoice::Index`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn adapters() -> Vec<AdapterSummary> {
        pollster::block_on(instance().enumerate_adapters(wgpu::Backends::all()))
            .iter()
            .map(AdapterSummary::of)
            .collect()
    }

    /// The adapter in use, with the limits the device was opened with.
    pub fn info(&self) -> &AdapterSummary {
        &self.0.summary
    }

    /// The class that kernels are chosen by.
    pub fn class(&self) -> AdapterClass {
        self.0.summary.class()
    }

    /// The tiles that products and convolutions are cut into.
    pub fn tiles(&self) -> Tiles {
        *lock(&self.0.tiles)
    }

    /// Other tiles for plans that are made from now on, see [`Gpu::tune`].
    pub fn set_tiles(&self, tiles: Tiles) {
        *lock(&self.0.tiles) = tiles;
    }

    /// What programs for this device are made for.
    pub(crate) fn target(&self) -> Target {
        let limits = &self.0.limits;
        Target {
            tiles: self.tiles(),
            max_binding: limits
                .max_buffer_size
                .min(limits.max_storage_buffer_binding_size),
        }
    }

    /// Whether this is the same open device.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What the device has done since it was opened.
    pub fn stats(&self) -> GpuStats {
        self.0.counters.snapshot()
    }

    /// Fails if the device was lost or an error happened outside every error scope.
    pub fn check(&self) -> Result<()> {
        match &*lock(&self.0.failed) {
            Some((kind, message)) => Err(Error::new(*kind, message.clone())),
            None => Ok(()),
        }
    }

    /// Gives the device's memory back at once, also what clones and sessions still hold. Everything that is under way or
    /// follows fails with [`ErrorKind::DeviceLost`].
    pub fn destroy(&self) {
        lock(&self.0.failed)
            .get_or_insert((ErrorKind::DeviceLost, "the device was destroyed".to_owned()));
        self.0.device.destroy();
    }

    /// A buffer of at least `bytes`, rounded up to 16, zeroed.
    ///
    /// [`ErrorKind::Limit`] where the adapter cannot bind that much. Memory that the device cannot provide shows
    /// as [`ErrorKind::OutOfMemory`] here natively, in a browser at the next awaited call.
    pub fn buffer(&self, bytes: u64, label: &str) -> Result<Buffer> {
        let size = bytes.max(1).next_multiple_of(BUFFER_ALIGNMENT);
        let limit = self
            .0
            .limits
            .max_buffer_size
            .min(self.0.limits.max_storage_buffer_binding_size);
        if size > limit {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("buffer '{label}' needs {size} bytes, this adapter binds at most {limit}"),
            ));
        }
        self.unbound(size, label)
    }

    /// A buffer of `size` bytes, a multiple of 16, of which only parts may be bound, if it is larger than the device binds.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn unbound(&self, size: u64, label: &str) -> Result<Buffer> {
        self.check()?;
        let most = self.0.limits.max_buffer_size;
        if size > most {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("buffer '{label}' needs {size} bytes, this adapter offers at most {most}"),
            ));
        }
        let create = || {
            let raw = self.0.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            Buffer::new(raw, &self.0.counters)
        };
        #[cfg(not(target_arch = "wasm32"))]
        let buffer = {
            let (buffer, error) = self.scoped(create);
            pollster::block_on(error)?;
            buffer
        };
        #[cfg(target_arch = "wasm32")]
        let buffer = create();
        Ok(buffer)
    }

    /// A new buffer that holds `data`.
    ///
    /// Written in chunks, with a pause for the queue every 32 MiB.
    pub async fn upload(&self, data: &[u8]) -> Result<Buffer> {
        let buffer = self.allocate(data.len() as u64, "upload").await?;
        let mut uploader = Uploader::new(self);
        uploader.write(&buffer, 0, data).await?;
        uploader.flush().await?;
        Ok(buffer)
    }

    /// [`Gpu::buffer`], known to exist: memory that the device cannot provide is [`ErrorKind::OutOfMemory`] in a browser, too.
    pub async fn allocate(&self, bytes: u64, label: &str) -> Result<Buffer> {
        let (buffer, error) = self.scoped(|| self.buffer(bytes, label));
        let buffer = buffer?;
        error.await?;
        Ok(buffer)
    }

    /// Overwrites the start of a buffer, before anything submitted later.
    pub fn write(&self, buffer: &Buffer, data: &[u8]) -> Result<()> {
        self.check()?;
        if data.len() as u64 > buffer.size() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "{} bytes do not fit a buffer of {}",
                    data.len(),
                    buffer.size()
                ),
            ));
        }
        self.write_at(buffer, 0, data);
        self.check()
    }

    /// `offset` is a multiple of 4; a ragged end is filled up with zeros.
    fn write_at(&self, buffer: &Buffer, offset: u64, data: &[u8]) {
        Counters::add(&self.0.counters.uploaded_bytes, data.len());
        let mut at = buffer.offset() + offset;
        let buffer = buffer.raw();
        for chunk in data.chunks(UPLOAD_CHUNK) {
            let whole = chunk.len() & !3;
            if whole > 0 {
                self.0.queue.write_buffer(buffer, at, &chunk[..whole]);
            }
            if whole < chunk.len() {
                let mut rest = [0u8; 4];
                rest[..chunk.len() - whole].copy_from_slice(&chunk[whole..]);
                self.0.queue.write_buffer(buffer, at + whole as u64, &rest);
            }
            at += chunk.len() as u64;
        }
    }

    /// Copies the first `bytes` of one buffer to the start of another, after everything submitted so far.
    ///
    /// `bytes` is a multiple of 4.
    ///
    /// # Errors
    /// [`ErrorKind::Validation`] where they do not fit.
    pub async fn copy(&self, from: &Buffer, to: &Buffer, bytes: u64) -> Result<()> {
        self.check()?;
        if bytes == 0 {
            return Ok(());
        }
        let ((), error) = self.scoped(|| {
            let mut encoder = self
                .0
                .device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(from.raw(), from.offset(), to.raw(), to.offset(), bytes);
            self.0.queue.submit([encoder.finish()]);
        });
        error.await?;
        self.check()
    }

    /// The first `bytes` of a buffer, after everything submitted so far.
    pub async fn read(&self, buffer: &Buffer, bytes: u64) -> Result<Vec<u8>> {
        self.check()?;
        if bytes > buffer.size() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("{bytes} bytes of a buffer of {}", buffer.size()),
            ));
        }
        if bytes == 0 {
            return Ok(Vec::new());
        }
        Counters::add(&self.0.counters.read_backs, 1);
        Counters::add(&self.0.counters.read_bytes, bytes as usize);
        let size = bytes.next_multiple_of(4);
        let (staging, error) = self.scoped(|| {
            let staging = self.0.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("read-back"),
                size,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let mut encoder = self
                .0
                .device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(buffer.raw(), buffer.offset(), &staging, 0, size);
            self.0.queue.submit([encoder.finish()]);
            staging
        });
        error.await?;
        let (sender, mapped) = signal();
        staging.map_async(wgpu::MapMode::Read, .., move |result| sender.send(result));
        self.poll()?;
        mapped.await.map_err(|error| {
            self.check().err().unwrap_or_else(|| {
                Error::new(ErrorKind::DeviceLost, format!("read-back failed: {error}"))
            })
        })?;
        let mut data = {
            let view = staging.get_mapped_range(..).map_err(|error| {
                Error::new(ErrorKind::DeviceLost, format!("read-back failed: {error}"))
            })?;
            view.to_vec()
        };
        staging.unmap();
        staging.destroy();
        self.check()?;
        data.truncate(bytes as usize);
        Ok(data)
    }

    /// Waits until the device has finished what was submitted.
    pub async fn idle(&self) -> Result<()> {
        let (sender, done) = signal();
        self.0.queue.on_submitted_work_done(move || sender.send(()));
        self.poll()?;
        done.await;
        self.check()
    }

    /// Natively blocks until the submitted work is done and its callbacks ran; a browser does that by itself.
    fn poll(&self) -> Result<()> {
        match self.0.device.poll(wgpu::PollType::wait_indefinitely()) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.check().err().unwrap_or_else(|| {
                Error::new(ErrorKind::DeviceLost, error.to_string()).caused_by(error)
            })),
        }
    }

    /// Runs `work` inside error scopes; the future gives what they caught.
    fn scoped<T>(&self, work: impl FnOnce() -> T) -> (T, Caught) {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        let device = &self.0.device;
        let internal = device.push_error_scope(Internal);
        let memory = device.push_error_scope(OutOfMemory);
        let validation = device.push_error_scope(Validation);
        let value = work();
        let validation = validation.pop();
        let memory = memory.pop();
        let internal = internal.pop();
        let failed = Arc::clone(&self.0.failed);
        let caught = async move {
            // Every scope is awaited even if an earlier one caught something.
            let errors = [memory.await, validation.await, internal.await];
            let Some(error) = errors.into_iter().flatten().next() else {
                return Ok(());
            };
            // A lost device refuses everything; that is not what is wrong with it.
            Err(match &*lock(&failed) {
                Some((ErrorKind::DeviceLost, message)) => {
                    Error::new(ErrorKind::DeviceLost, message.clone())
                }
                _ => typed(error),
            })
        };
        (value, Box::pin(caught))
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Gpu").field(&self.0.summary).finish()
    }
}

fn typed(error: wgpu::Error) -> Error {
    let kind = match &error {
        wgpu::Error::OutOfMemory { .. } => ErrorKind::OutOfMemory,
        wgpu::Error::Validation { .. } | wgpu::Error::Internal { .. } => ErrorKind::Validation,
    };
    let told = Error::new(kind, error.to_string());
    // What a browser gives stays on its thread, and cannot be kept.
    #[cfg(not(target_arch = "wasm32"))]
    let told = told.caused_by(error);
    told
}
