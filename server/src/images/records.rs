//! Records of pictures: one key for the life of each, changed only where nobody else changed it in between.

mod stored;

use std::time::Duration;

use protocol::{Problem, ProblemCode};
use serde_json::Value;

use super::{ImageId, Images, MAX_RECORD_BYTES, OwnerId, internal, keys, withdrawn};
use crate::storage::{Condition, Put, StorageError};

pub use stored::{BY_OPERATOR, Kept, State, Stored, Tombstone, unnumbered};

/// Times that a change is tried again after somebody else's.
const ATTEMPTS: u32 = 30;
/// Longest pause before the second attempt; it grows with each.
const PAUSE: Duration = Duration::from_millis(20);

/// A record, and what must still hold when it is written.
pub struct Loaded {
    pub kept: Kept,
    json: Value,
    condition: Condition,
}

impl Loaded {
    /// Whether it lies under the key of this format.
    pub fn is_taken_over(&self) -> bool {
        self.condition != Condition::Absent
    }
}

/// What a change made of a record.
pub struct Changed {
    pub before: Stored,
    pub after: Kept,
}

impl Images {
    /// The record under its key, or the record of the first format that stands for it until it is taken over.
    pub(super) async fn load(&self, id: &ImageId) -> Result<Option<Loaded>, Problem> {
        let (bytes, condition, old) = match self.read_record(id).await? {
            Some(found) => found,
            None => return Ok(None),
        };
        let read = serde_json::from_slice(&bytes).and_then(|json: Value| {
            let json = match old {
                Some(unlisted) => stored::from_first_format(json, unlisted),
                None => json,
            };
            let kept = Kept::read(&json)?;
            Ok((kept, json))
        });
        let (kept, json) = read.map_err(|error| {
            tracing::error!(%id, %error, "record is damaged");
            Problem::new(
                ProblemCode::Internal,
                "the record of this picture is damaged",
            )
        })?;
        Ok(Some(Loaded {
            kept,
            json,
            condition,
        }))
    }

    /// Its bytes, the condition of its next change, and where it is of the first format, whether it was unlisted.
    async fn read_record(
        &self,
        id: &ImageId,
    ) -> Result<Option<(Vec<u8>, Condition, Option<bool>)>, Problem> {
        let key = keys::record(id);
        match self.store.get_versioned(&key, MAX_RECORD_BYTES).await {
            Ok((bytes, tag)) => return Ok(Some((bytes, Condition::Unchanged(tag), None))),
            Err(StorageError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        // A hub of the first format that hides or lists the picture at this moment writes one key and then deletes the
        // other: whichever way, one of three looks finds it.
        for (key, unlisted) in [
            (keys::old_unlisted(id), true),
            (keys::old_listed(id), false),
            (keys::old_unlisted(id), true),
        ] {
            match self.store.get(&key, MAX_RECORD_BYTES).await {
                Ok(bytes) => return Ok(Some((bytes, Condition::Absent, Some(unlisted)))),
                Err(StorageError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The picture of that id, whoever may see it; none where it was removed.
    pub(super) async fn find(&self, id: &ImageId) -> Result<Option<Stored>, Problem> {
        Ok(match self.load(id).await? {
            Some(Loaded {
                kept: Kept::Picture(stored),
                ..
            }) => Some(*stored),
            _ => None,
        })
    }

    /// The picture of that id as far as `asking` may see it.
    ///
    /// # Errors
    /// [`ProblemCode::Withdrawn`] where the operator took it down.
    pub(super) async fn find_for(
        &self,
        id: &ImageId,
        asking: Option<&OwnerId>,
    ) -> Result<Option<Stored>, Problem> {
        let Some(loaded) = self.load(id).await? else {
            return Ok(None);
        };
        match loaded.kept {
            Kept::Picture(stored) if stored.state == State::Hidden => Err(withdrawn()),
            Kept::Picture(stored) => Ok(stored.is_shown_to(asking).then_some(*stored)),
            Kept::Removed(tombstone) if tombstone.is_withdrawn() => Err(withdrawn()),
            Kept::Removed(_) => Ok(None),
        }
    }

    /// Writes the first record of `id`; `false` where there is one already, a tombstone included.
    pub(super) async fn create(&self, id: &ImageId, kept: &Kept) -> Result<bool, Problem> {
        let json = kept.write(&Value::Null).map_err(internal)?;
        Ok(self.put_record(id, json, &Condition::Absent).await?)
    }

    /// Changes a record as `change` says, again from what another changed in between; none where there is no picture.
    ///
    /// # Errors
    /// Those of `change`; [`ProblemCode::Conflict`] where others changed it all the time.
    pub(super) async fn update(
        &self,
        id: &ImageId,
        mut change: impl FnMut(Stored) -> Result<Kept, Problem>,
    ) -> Result<Option<Changed>, Problem> {
        for attempt in 1..=ATTEMPTS {
            let Some(Loaded {
                kept: Kept::Picture(before),
                json,
                condition,
            }) = self.load(id).await?
            else {
                return Ok(None);
            };
            let after = change((*before).clone())?;
            let unchanged = matches!(&after, Kept::Picture(after) if after == &before);
            let taken_over = condition != Condition::Absent;
            if (unchanged && taken_over)
                || self
                    .put_record(id, after.write(&json).map_err(internal)?, &condition)
                    .await?
            {
                return Ok(Some(Changed {
                    before: *before,
                    after,
                }));
            }
            let longest = u64::try_from((PAUSE * attempt).as_millis()).unwrap_or(u64::MAX);
            let random = u64::from_le_bytes(crate::random::bytes().map_err(internal)?);
            tokio::time::sleep(Duration::from_millis(random % longest.max(1))).await;
        }
        let mut problem = Problem::new(
            ProblemCode::Conflict,
            "this picture is being changed by others all the time",
        )
        .with_hint("Try again in a moment.");
        problem.retry_after = Some(2);
        Err(problem)
    }

    async fn put_record(
        &self,
        id: &ImageId,
        json: Vec<u8>,
        condition: &Condition,
    ) -> Result<bool, StorageError> {
        let key = keys::record(id);
        let put = self
            .store
            .put_if(&key, json, "application/json", condition)
            .await?;
        Ok(matches!(put, Put::Written(_)))
    }

    /// Brings the markers of a picture in line with its record, until the record stays the same meanwhile. Those of
    /// `before` that the record no longer has go.
    pub(super) async fn settle(&self, id: &ImageId, before: &Stored) -> Result<(), Problem> {
        let mut found = self.find(id).await?;
        let mut before = before.clone();
        for _ in 0..ATTEMPTS {
            let wanted = found.as_ref().map_or_else(Vec::new, |now| now.markers(id));
            let mut stale = before.markers(id);
            stale.extend(before.public_markers(id));
            stale.retain(|key| !wanted.contains(key));
            self.put_markers(&wanted).await?;
            self.delete_all(&stale).await?;
            // Somebody who changed the record in between may have written what was deleted here.
            let again = self.find(id).await?;
            if again == found {
                break;
            }
            before = found.unwrap_or(before);
            found = again;
        }
        Ok(())
    }

    pub(super) async fn put_markers(&self, markers: &[String]) -> Result<(), StorageError> {
        let puts = markers.iter().map(|key| self.store.put_marker(key));
        futures::future::try_join_all(puts).await.map(|_| ())
    }

    pub(super) async fn delete_all(&self, keys: &[String]) -> Result<(), StorageError> {
        let deletions = keys.iter().map(|key| self.store.delete(key));
        futures::future::try_join_all(deletions).await.map(|_| ())
    }
}
