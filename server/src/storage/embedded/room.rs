//! Whether there is room for another object.

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{Disk, Space};
use super::error::Failure;

/// Bytes that are left free for deletions and the index, which writes before it frees.
const RESERVE_BYTES: u64 = 64 << 20;
/// Of a small disk, this part instead.
const RESERVE_PART: u64 = 20;

/// The disk of a store.
#[derive(Clone, Debug)]
pub struct Room {
    disk: Arc<dyn Disk>,
    root: PathBuf,
}

impl Room {
    pub(super) fn new(disk: Arc<dyn Disk>, root: PathBuf) -> Self {
        Self { disk, root }
    }

    /// Fails with [`Failure::Full`] where an object of `bytes` would touch the reserve.
    pub(super) fn for_bytes(&self, bytes: u64) -> Result<(), Failure> {
        let Space { free, total } = self.disk.space(&self.root)?;
        let reserve = RESERVE_BYTES.min(total / RESERVE_PART);
        if free < reserve.saturating_add(bytes) {
            return Err(Failure::Full);
        }
        Ok(())
    }

    /// Whether small objects can be stored.
    pub fn is_there(&self) -> bool {
        self.for_bytes(1 << 20).is_ok()
    }
}
