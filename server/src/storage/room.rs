//! Whether the store has room for more.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::{PROBE_PREFIX, Result, StorageError, Store, embedded};

/// Time between two tries of a store that was full.
const AGAIN: Duration = Duration::from_secs(10);

/// What is known of the room in a store.
#[derive(Debug, Default)]
pub struct Room {
    disk: Option<embedded::Room>,
    /// When a write was last refused for want of room, if none was taken since.
    refused: Mutex<Option<Instant>>,
}

impl Room {
    /// Of a store whose disk can be asked.
    pub fn of_disk(disk: embedded::Room) -> Self {
        Self {
            disk: Some(disk),
            refused: Mutex::default(),
        }
    }

    /// Learns from the outcome of a write.
    pub fn note<T>(&self, written: Result<T>) -> Result<T> {
        match &written {
            Ok(_) => *self.refused() = None,
            Err(StorageError::Full { .. }) => *self.refused() = Some(Instant::now()),
            Err(_) => {}
        }
        written
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Whether the store takes more objects. One that refused is tried again now and then.
    pub async fn can_store(&self) -> bool {
        if let Some(disk) = &self.room.disk {
            return disk.is_there();
        }
        let refused = *self.room.refused();
        match refused {
            None => return true,
            Some(at) if at.elapsed() < AGAIN => return false,
            Some(_) => {}
        }
        let key = format!("{PROBE_PREFIX}room");
        let put = self.put_marker(&key).await;
        if let Err(error) = self.delete(&key).await {
            tracing::debug!(%error, "the probe's object stays for the sweep");
        }
        put.is_ok()
    }
}

/// Whether an answer says that there is no room: 507, and what MinIO and Ceph call it.
pub fn is_full(status: Option<u16>, code: Option<&str>) -> bool {
    status == Some(507)
        || matches!(
            code,
            Some("StorageFull" | "XMinioStorageFull" | "QuotaExceeded")
        )
}
