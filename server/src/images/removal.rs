//! What an owner does with a picture afterwards: hide, show, save, delete. And how a record ends, whoever ends it.

use protocol::{ImageChange, ImageRecord, Problem};

use super::records::{Changed, Kept, Loaded, State, Stored, Tombstone};
use super::{ImageId, Images, OwnerId, internal, keys, no_such_picture, not_owner, withdrawn};
use crate::storage::StorageError;

/// Uploads of the same bytes that a deletion looks at.
const TICKETS: usize = 1000;

impl Images {
    /// Changes who sees a picture. It is saved by that: it expires no more.
    ///
    /// # Errors
    /// [`protocol::ProblemCode::NotFound`], [`protocol::ProblemCode::NotOwner`],
    /// [`protocol::ProblemCode::Withdrawn`], [`protocol::ProblemCode::Conflict`],
    /// [`protocol::ProblemCode::StorageUnavailable`].
    pub async fn change(
        &self,
        id: &str,
        change: ImageChange,
        asking: Option<&OwnerId>,
    ) -> Result<ImageRecord, Problem> {
        let id: ImageId = id.parse().map_err(|_| no_such_picture())?;
        let changed = self.update(&id, |mut stored| {
            may_change(&stored, asking)?;
            if stored.state == State::Hidden {
                return Err(withdrawn());
            }
            stored.state = change.visibility.into();
            stored.expires_at = None;
            Ok(Kept::Picture(Box::new(stored)))
        });
        let Some(Changed {
            before,
            after: Kept::Picture(stored),
        }) = changed.await?
        else {
            return Err(self.why_missing(&id).await?);
        };
        self.settle(&id, &before).await?;
        Ok(stored.seen_by(asking))
    }

    /// Deletes a picture for good: what is left is a tombstone, which no change, commit or job overcomes. The bytes go
    /// too, unless another record shows the same ones.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub async fn delete(&self, id: &str, asking: Option<&OwnerId>) -> Result<(), Problem> {
        let id: ImageId = id.parse().map_err(|_| no_such_picture())?;
        let removed = self
            .remove(&id, "owner", |stored| may_change(stored, asking))
            .await?;
        match removed {
            Some(_) => Ok(()),
            None => Err(self.why_missing(&id).await?),
        }
    }

    /// Turns the record into a tombstone where `may` allows it, then removes what belonged to it; none where there is
    /// no picture.
    pub(super) async fn remove(
        &self,
        id: &ImageId,
        by: &str,
        may: impl Fn(&Stored) -> Result<(), Problem>,
    ) -> Result<Option<Stored>, Problem> {
        let Some(stored) = self.find(id).await? else {
            return Ok(None);
        };
        may(&stored)?;
        // First, so that a sweep ends what a crash leaves undone.
        self.store.put_marker(&keys::removed(id)).await?;
        let changed = self.update(id, |stored| {
            may(&stored)?;
            let owner = stored.owner.as_ref();
            Ok(Kept::Removed(Tombstone::new(id, &stored.sha256, owner, by)))
        });
        let Some(Changed { before, .. }) = changed.await? else {
            return Ok(None);
        };
        self.settle(id, &before).await?;
        let removed = self
            .finish_removal(id, &before.sha256, before.owner.as_ref())
            .await?;
        tracing::info!(%id, by, removed, "picture removed");
        Ok(Some(before))
    }

    /// Removes what a tombstone leaves behind, its markers apart; whether the bytes are gone.
    pub(super) async fn finish_removal(
        &self,
        id: &ImageId,
        sha256: &str,
        owner: Option<&OwnerId>,
    ) -> Result<bool, Problem> {
        if let Some(owner) = owner {
            self.cancel_tickets(sha256, owner).await?;
        }
        self.forget_upload(id).await?;
        self.delete_all(&[
            keys::old_listed(id),
            keys::old_unlisted(id),
            keys::reference(sha256, id),
        ])
        .await?;
        self.remove_if_unreferenced(sha256).await
    }

    /// Ends the owner's uploads of the same bytes that were announced before and are not committed: a ticket that is
    /// still valid must not bring a deleted picture back.
    async fn cancel_tickets(&self, sha256: &str, owner: &OwnerId) -> Result<(), Problem> {
        let prefix = keys::references(sha256);
        let (references, _) = self.store.list(&prefix, None, TICKETS).await?;
        for id in references.iter().filter_map(|key| keys::id_in(key)) {
            let pending = self.pending(&id).await?;
            if pending.is_some_and(|pending| pending.keeping.owner.as_ref() == Some(owner)) {
                self.end_upload(&id, sha256, Some(owner)).await?;
            }
        }
        Ok(())
    }

    /// Ends an upload that is not committed: a tombstone takes the place of its record, so that a commit under way
    /// fails. `false` where the commit came first, and there is a picture.
    pub(super) async fn end_upload(
        &self,
        id: &ImageId,
        sha256: &str,
        owner: Option<&OwnerId>,
    ) -> Result<bool, Problem> {
        let picture = |loaded: &Option<Loaded>| matches!(loaded, Some(loaded) if matches!(loaded.kept, Kept::Picture(_)));
        if picture(&self.load(id).await?) {
            return Ok(false);
        }
        self.store.put_marker(&keys::removed(id)).await?;
        let tombstone = Kept::Removed(Tombstone::new(id, sha256, owner, "upload"));
        if !self.create(id, &tombstone).await? && picture(&self.load(id).await?) {
            self.store.delete(&keys::removed(id)).await?;
            return Ok(false);
        }
        self.forget_upload(id).await?;
        self.store.delete(&keys::reference(sha256, id)).await?;
        Ok(true)
    }

    /// Deletes the announcement and bytes on probation.
    pub(super) async fn forget_upload(&self, id: &ImageId) -> Result<(), StorageError> {
        self.delete_all(&[keys::pending(id), keys::incoming(id)])
            .await
    }

    /// Why there is no picture to change: it may have been taken down.
    async fn why_missing(&self, id: &ImageId) -> Result<Problem, Problem> {
        let loaded = self.load(id).await?;
        Ok(match loaded.map(|loaded| loaded.kept) {
            Some(Kept::Removed(tombstone)) if tombstone.is_withdrawn() => withdrawn(),
            Some(Kept::Picture(_)) => internal("a picture came back"),
            _ => no_such_picture(),
        })
    }
}

/// A stranger learns of a private picture no more by changing it than by looking at it.
fn may_change(stored: &Stored, asking: Option<&OwnerId>) -> Result<(), Problem> {
    if stored.is_of(asking) {
        return Ok(());
    }
    Err(match stored.state {
        State::Hidden => withdrawn(),
        _ if stored.is_shown_to(asking) => not_owner(),
        _ => no_such_picture(),
    })
}
