//! Device memory whose size is counted for as long as it lives, and the counts of a device.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
    }
}

/// A buffer of a [`super::Gpu`]. Clones share it; the last one to go frees the memory.
#[derive(Clone, Debug)]
pub struct Buffer(Arc<Owned>);

impl Buffer {
    #[cfg_attr(
        target_arch = "wasm32",
        allow(
            clippy::arc_with_non_send_sync,
            reason = "a browser's device stays on its thread; elsewhere it is shared"
        )
    )]
    pub(super) fn new(raw: wgpu::Buffer, counters: &Arc<Counters>) -> Self {
        let held = counters.buffer_bytes.fetch_add(raw.size(), Relaxed) + raw.size();
        counters.peak_buffer_bytes.fetch_max(held, Relaxed);
        Self(Arc::new(Owned {
            raw,
            counters: Arc::clone(counters),
        }))
    }
}

impl std::ops::Deref for Buffer {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.0.raw
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Buffer {}
