//! What an owner does with a picture afterwards: hide, show, delete.

use protocol::{ImageChange, ImageRecord, Problem, Visibility};

use super::records::Stored;
use super::{ImageId, Images, OwnerId, keys, no_such_picture, not_owner};

impl Images {
    /// Takes a picture out of the gallery or puts it back.
    ///
    /// # Errors
    /// [`protocol::ProblemCode::NotFound`], [`protocol::ProblemCode::NotOwner`],
    /// [`protocol::ProblemCode::StorageUnavailable`].
    pub async fn change(
        &self,
        id: &str,
        change: ImageChange,
        asking: Option<&OwnerId>,
    ) -> Result<ImageRecord, Problem> {
        let (id, mut stored) = self.own_record(id, asking).await?;
        let unlisted = change.visibility != Visibility::Listed;
        stored.record.unlisted = unlisted;
        stored.record.visibility = change.visibility;
        // The new record first: between the two writes the picture has two records, never none.
        self.write_record(&id, &stored).await?;
        if unlisted {
            self.store.delete(&keys::listed(&id)).await?;
            self.delete_all(&stored.public_markers(&id)).await?;
        } else {
            self.store.delete(&keys::unlisted(&id)).await?;
        }
        Ok(stored.seen_by(asking))
    }

    /// Deletes record and markers, and picture and thumbnail unless another record shows the same bytes.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub async fn delete(&self, id: &str, asking: Option<&OwnerId>) -> Result<(), Problem> {
        let (id, stored) = self.own_record(id, asking).await?;
        // A commit that is repeated at this moment must find no announcement.
        self.store.delete(&keys::pending(&id)).await?;
        self.store.delete(&keys::listed(&id)).await?;
        self.store.delete(&keys::unlisted(&id)).await?;
        let mut markers = stored.markers(&id);
        markers.extend(stored.public_markers(&id));
        markers.push(keys::reference(&stored.record.sha256, &id));
        self.delete_all(&markers).await?;
        let removed = self.remove_if_unreferenced(&stored.record.sha256).await?;
        tracing::info!(%id, removed, "picture deleted");
        Ok(())
    }

    async fn own_record(
        &self,
        id: &str,
        asking: Option<&OwnerId>,
    ) -> Result<(ImageId, Stored), Problem> {
        let id: ImageId = id.parse().map_err(|_| no_such_picture())?;
        let stored = self.find_record(&id).await?.ok_or_else(no_such_picture)?;
        if stored.owner.is_none() || stored.owner.as_ref() != asking {
            return Err(not_owner());
        }
        Ok((id, stored))
    }
}
