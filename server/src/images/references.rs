//! Which records need which bytes, so that shared bytes go with the last record.
//!
//! Announcing writes a reference, then looks for removals under way; removing announces itself, then looks for
//! references. Whatever the order, one of the two sees the other, as S3 reads what was written (Dekker's
//! algorithm): bytes never vanish under an upload that counts on them. Every removal has a key of its own, so that the
//! end of one does not hide another.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::{Problem, ProblemCode};
use tokio::time::Instant;

use super::{ImageId, Images, internal, keys};

/// A removal that takes longer has died: more than all of its requests together may take.
pub const REMOVAL_LIFETIME: Duration = Duration::from_secs(60);
/// A removal that has not come to its deletions by then gives up, long before others take it for dead.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(20);
/// Removals of the same bytes looked at.
const REMOVALS: usize = 100;

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
        let prefix = keys::removals(sha256);
        let (removals, more) = self.store.list_objects(&prefix, None, REMOVALS).await?;
        let lifetime = u64::try_from(REMOVAL_LIFETIME.as_millis()).unwrap_or(u64::MAX);
        let alive = |since: u64| since.saturating_add(lifetime) > now();
        Ok(more
            || removals
                .iter()
                // Those of the first format do not name their time.
                .any(|removal| alive(keys::time_in(&removal.key).unwrap_or(removal.modified_at))))
    }

    /// Removes picture and thumbnail unless something refers to them; whether they are gone.
    pub(super) async fn remove_if_unreferenced(&self, sha256: &str) -> Result<bool, Problem> {
        let random = u64::from_le_bytes(crate::random::bytes().map_err(internal)?);
        let deadline = Instant::now() + REMOVAL_DEADLINE;
        let removing = keys::removing(sha256, now(), random);
        self.store.put_marker(&removing).await?;
        let removed = self.remove_bytes(sha256, deadline).await;
        self.store.delete(&removing).await?;
        removed
    }

    async fn remove_bytes(&self, sha256: &str, deadline: Instant) -> Result<bool, Problem> {
        let (references, _) = self.store.list(&keys::references(sha256), None, 1).await?;
        if !references.is_empty() {
            return Ok(false);
        }
        for key in [keys::thumbnail(sha256), keys::picture(sha256)] {
            if Instant::now() > deadline {
                tracing::warn!(
                    sha256,
                    "the store is too slow for a removal: a sweep ends it"
                );
                return Ok(false);
            }
            self.store.delete(&key).await?;
        }
        self.holdings.shrank();
        Ok(true)
    }
}
