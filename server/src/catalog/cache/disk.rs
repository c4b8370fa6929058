//! The answers in the data folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Cached;

/// Most answers kept; visitors choose what is looked up, so they must not fill the disk.
const MAX_FILES: usize = 4096;
/// Answers written between two looks at their number.
const WRITES_PER_SWEEP: u32 = 128;

pub(super) struct Disk {
    dir: PathBuf,
    writes: AtomicU32,
}

#[derive(Serialize, Deserialize)]
struct File<K, T> {
    key: K,
    fetched_at: u64,
    value: T,
}

impl Disk {
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            writes: AtomicU32::new(0),
        }
    }

    /// When the answer was fetched, and the answer.
    pub async fn read<T: Cached>(&self, key: &str) -> Option<(u64, T)> {
        let bytes = tokio::fs::read(self.path(key)).await.ok()?;
        let file: File<String, T> = serde_json::from_slice(&bytes)
            .inspect_err(|error| tracing::warn!(%error, key, "a cached answer is not readable"))
            .ok()?;
        (file.key == key).then_some((file.fetched_at, file.value))
    }

    /// Without the disk the catalogue still works, so a failure is only logged.
    pub async fn write<T: Cached>(&self, key: &str, fetched_at: u64, value: &T) {
        let file = File {
            key,
            fetched_at,
            value,
        };
        let written = match serde_json::to_vec(&file) {
            Ok(bytes) => self.replace(&self.path(key), &bytes).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "an answer could not be cached");
        }
        if self
            .writes
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(WRITES_PER_SWEEP)
            && let Err(error) = self.sweep().await
        {
            tracing::warn!(%error, "old answers could not be removed");
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        let name = hex::encode(Sha256::digest(key));
        self.dir.join(format!("{name}.json"))
    }

    /// By renaming, so that a reader never sees half a file.
    async fn replace(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        tokio::fs::create_dir_all(&self.dir).await?;
        let part = path.with_extension("part");
        tokio::fs::write(&part, bytes).await?;
        tokio::fs::rename(&part, path).await
    }

    async fn sweep(&self) -> std::io::Result<()> {
        let mut entries = tokio::fs::read_dir(&self.dir).await?;
        let mut files = Vec::new();
        while let Some(entry) = entries.next_entry().await? {
            let modified = entry.metadata().await?.modified();
            files.push((modified.unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
        }
        files.sort();
        let surplus = files.len().saturating_sub(MAX_FILES);
        for (_, path) in files.into_iter().take(surplus) {
            tokio::fs::remove_file(path).await?;
        }
        Ok(())
    }
}
