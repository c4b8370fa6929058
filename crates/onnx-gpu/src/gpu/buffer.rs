//! Device memory whose size is counted for as long as it lives, and the counts of a device.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the beginnings of parts are multiples of: no WebGPU device asks for more.
pub(crate) const PART_ALIGNMENT: u64 = 256;

/// What a device has done since it was opened, and the memory it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpuStats {
    /// Compute dispatches submitted.
    pub dispatches: u64,
    /// Reads from device memory into main memory.
    pub read_backs: u64,
    /// Bytes of those reads.
    pub read_bytes: u64,
    /// Bytes written from main memory, parameters of dispatches included.
    pub uploaded_bytes: u64,
    /// Compute pipelines made.
    pub pipelines: u64,
    /// Bytes of the buffers that are alive.
    pub buffer_bytes: u64,
    /// The largest value that `buffer_bytes` had.
    pub peak_buffer_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub dispatches: AtomicU64,
    pub read_backs: AtomicU64,
    pub read_bytes: AtomicU64,
    pub uploaded_bytes: AtomicU64,
    pub pipelines: AtomicU64,
    buffer_bytes: AtomicU64,
    peak_buffer_bytes: AtomicU64,
}

impl Counters {
    pub fn add(counter: &AtomicU64, amount: usize) {
        counter.fetch_add(amount as u64, Relaxed);
    }

    pub fn snapshot(&self) -> GpuStats {
        GpuStats {
            dispatches: self.dispatches.load(Relaxed),
            read_backs: self.read_backs.load(Relaxed),
            read_bytes: self.read_bytes.load(Relaxed),
            uploaded_bytes: self.uploaded_bytes.load(Relaxed),
            pipelines: self.pipelines.load(Relaxed),
            buffer_bytes: self.buffer_bytes.load(Relaxed),
            peak_buffer_bytes: self.peak_buffer_bytes.load(Relaxed),
        }
    }
}

#[derive(Debug)]
struct Owned {
    raw: wgpu::Buffer,
    counters: Arc<Counters>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        let size = self.raw.size();
        self.counters.buffer_bytes.fetch_sub(size, Relaxed);
        // A browser would keep the memory until its garbage collector finds the object. What was submitted still runs; a bind group
        // whose buffers nobody holds would not, here as there.
        self.raw.destroy();
    }
}

/// A buffer of a [`super::Gpu`], or a part of one. Clones and parts share it; the last one to go frees the memory.
#[derive(Clone, Debug)]
pub struct Buffer {
    owned: Arc<Owned>,
    offset: u64,
    size: u64,
}

impl Buffer {
    #[cfg_attr(
        target_arch = "wasm32",
        allow(
            clippy::arc_with_non_send_sync,
            reason = "a browser's device stays on its thread; elsewhere it is shared"
        )
    )]
    pub(super) fn new(raw: wgpu::Buffer, counters: &Arc<Counters>) -> Self {
        let size = raw.size();
        let held = counters.buffer_bytes.fetch_add(size, Relaxed) + size;
        counters.peak_buffer_bytes.fetch_max(held, Relaxed);
        Self {
            owned: Arc::new(Owned {
                raw,
                counters: Arc::clone(counters),
            }),
            offset: 0,
            size,
        }
    }

    /// `bytes` of it from `offset` on, a multiple of [`PART_ALIGNMENT`]; nothing where it ends before.
    pub(crate) fn part(&self, offset: u64, bytes: u64) -> Option<Self> {
        let end = offset.checked_add(bytes)?;
        (end <= self.size).then(|| Self {
            owned: Arc::clone(&self.owned),
            offset: self.offset + offset,
            size: bytes,
        })
    }

    /// Bytes of the buffer, or of the part.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where the part begins in what [`Buffer::raw`] gives.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The whole buffer of the device.
    pub(super) fn raw(&self) -> &wgpu::Buffer {
        &self.owned.raw
    }

    pub(super) fn binding(&self) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.owned.raw,
            offset: self.offset,
            size: wgpu::BufferSize::new(self.size),
        })
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.owned, &other.owned)
            && (self.offset, self.size) == (other.offset, other.size)
    }
}

impl Eq for Buffer {}
