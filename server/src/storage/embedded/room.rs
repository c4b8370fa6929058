//! Whether there is room for another object.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::{Disk, Space};
use super::error::Failure;
use super::incoming::MAX_SMALL_BYTES;

/// Bytes that are left free for deletions and the index, which writes before it frees.
const RESERVE_BYTES: u64 = 64 << 20;
/// Of a small disk, this part instead.
const RESERVE_PART: u64 = 20;
/// What has to fit where it is asked whether anything does.
const ANYTHING: u64 = 1 << 20;

/// The disk of a store.
#[derive(Clone, Debug)]
pub struct Room {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    /// Bytes of small objects that were removed: the index keeps its length, and writes in their place.
    inside: Arc<AtomicU64>,
}

/// What the room is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Something new.
    New,
    /// What deletions write before they delete: markers without bytes, and another state of an object that is there.
    Upkeep,
}

impl Room {
    pub(super) fn new(disk: Arc<dyn Disk>, root: PathBuf) -> Self {
        Self {
            disk,
            root,
            inside: Arc::default(),
        }
    }

    /// Fails with [`Failure::Full`] where an object of `bytes` would touch the reserve. Half of it is there for upkeep.
    pub(super) fn for_bytes(&self, bytes: u64, purpose: Use) -> Result<(), Failure> {
        let Space { free, total } = self.disk.space(&self.root)?;
        let reserve = RESERVE_BYTES.min(total / RESERVE_PART);
        let kept = match purpose {
            Use::New => reserve,
            Use::Upkeep => reserve / 2,
        };
        let is_small = bytes <= MAX_SMALL_BYTES as u64;
        let found_inside = is_small && self.take_inside(bytes);
        if free >= kept.saturating_add(bytes) || (found_inside && free >= reserve / 2) {
            return Ok(());
        }
        if found_inside {
            self.freed_inside(bytes);
        }
        Err(Failure::Full)
    }

    /// So many bytes were removed from the index.
    pub(super) fn freed_inside(&self, bytes: u64) {
        self.inside.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The index could not be written: what was reckoned to be free in it is not.
    pub(super) fn nothing_inside(&self) {
        self.inside.store(0, Ordering::Relaxed);
    }

    fn take_inside(&self, bytes: u64) -> bool {
        let less = |inside: u64| inside.checked_sub(bytes);
        self.inside
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }

    /// Whether small objects can be stored.
    pub fn is_there(&self) -> bool {
        let Ok(Space { free, total }) = self.disk.space(&self.root) else {
            return false;
        };
        let reserve = RESERVE_BYTES.min(total / RESERVE_PART);
        let inside = self.inside.load(Ordering::Relaxed) >= ANYTHING;
        free >= reserve + ANYTHING || (inside && free >= reserve / 2)
    }
}
