//! Which records need which bytes, so that shared bytes go with the last record.
//!
//! Announcing writes a reference, then looks for a removal under way; removing announces itself, then looks for
//! references. Whatever the order, one of the two sees the other, as S3 reads what was written (Dekker's
//! algorithm): bytes never vanish under an upload that counts on them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::{Problem, ProblemCode};
use serde::{Deserialize, Serialize};

use super::{ImageId, Images, MAX_RECORD_BYTES, internal, keys};
use crate::storage::StorageError;

/// A removal that takes longer has died: more than all of its requests together may take.
const REMOVAL_LIFETIME: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Removal {
    /// Milliseconds since the Unix epoch.
    begun_at: u64,
}

/// Milliseconds since the Unix epoch.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

impl Images {
    /// Notes that `id` needs the bytes.
    ///
    /// # Errors
    /// [`ProblemCode::Conflict`] with `retry_after` while they are being removed.
    pub(super) async fn refer(&self, sha256: &str, id: &ImageId) -> Result<(), Problem> {
        let reference = keys::reference(sha256, id);
        self.store.put_marker(&reference).await?;
        if !self.is_being_removed(sha256).await? {
            return Ok(());
        }
        self.store.delete(&reference).await?;
        let mut problem = Problem::new(
            ProblemCode::Conflict,
            "another client is deleting the same picture at this moment",
        )
        .with_hint("Save it again in a moment.");
        problem.retry_after = Some(2);
        Err(problem)
    }

    async fn is_being_removed(&self, sha256: &str) -> Result<bool, Problem> {
        let key = keys::removing(sha256);
        let removal: Removal = match self.store.get(&key, MAX_RECORD_BYTES).await {
            Ok(json) => serde_json::from_slice(&json).map_err(internal)?,
            Err(StorageError::NotFound(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let lifetime = u64::try_from(REMOVAL_LIFETIME.as_millis()).unwrap_or(u64::MAX);
        Ok(removal.begun_at.saturating_add(lifetime) > now())
    }

    /// Removes picture and thumbnail unless something refers to them; whether they are gone.
    pub(super) async fn remove_if_unreferenced(&self, sha256: &str) -> Result<bool, Problem> {
        let removing = keys::removing(sha256);
        let json = serde_json::to_vec(&Removal { begun_at: now() }).map_err(internal)?;
        self.store.put_json(&removing, json).await?;
        let removed = self.remove_bytes(sha256).await;
        self.store.delete(&removing).await?;
        removed
    }

    async fn remove_bytes(&self, sha256: &str) -> Result<bool, Problem> {
        let (references, _) = self.store.list(&keys::references(sha256), None, 1).await?;
        if !references.is_empty() {
            return Ok(false);
        }
        self.store.delete(&keys::thumbnail(sha256)).await?;
        self.store.delete(&keys::picture(sha256)).await?;
        Ok(true)
    }
}
