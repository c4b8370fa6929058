//! From uploaded bytes to a picture.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use image::DynamicImage;
use protocol::{ImageRecord, PNG_MIME, Problem, ProblemCode, THUMBNAIL_MIME, Thumbnail};

use super::records::{Kept, Loaded, State, Stored};
use super::uploads::Pending;
use super::verify::{self, sha256_hex};
use super::{
    FORMAT, ImageId, Images, OwnerId, internal, keys, most_bytes, no_such_picture, not_owner,
    refused, thumbnail, withdrawn,
};
use crate::storage::StorageError;
use crate::telemetry::metrics;

/// Commits under way in this process: one upload is verified by one of them at a time.
#[derive(Clone, Default)]
pub struct Flights(Arc<Mutex<HashMap<ImageId, Weak<tokio::sync::Mutex<()>>>>>);

impl Flights {
    fn of(&self, id: &ImageId) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(id).and_then(Weak::upgrade) {
            return flight;
        }
        flights.retain(|_, flight| flight.strong_count() > 0);
        let flight = Arc::default();
        flights.insert(id.clone(), Arc::downgrade(&flight));
        flight
    }
}

impl Images {
    /// Verifies the stored bytes of an announced upload and saves the picture, for the owner who announced it.
    /// Repeating it gives the same record. `address` is counted like the owner.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`], [`ProblemCode::NotOwner`], [`ProblemCode::RateLimited`],
    /// [`ProblemCode::UploadMissing`], [`ProblemCode::UploadMismatch`], [`ProblemCode::ImageRefused`],
    /// [`ProblemCode::StorageUnavailable`].
    pub async fn commit(
        &self,
        id: &str,
        asking: Option<&OwnerId>,
        address: IpAddr,
    ) -> Result<ImageRecord, Problem> {
        let id: ImageId = id.parse().map_err(|_| no_such_upload())?;
        let asking = asking.ok_or_else(not_owner)?;
        if let Some(quota) = &self.quota {
            quota.take_commit(asking, address)?;
        }
        self.commit_for(&id, Some(asking)).await
    }

    /// As [`Self::commit`], uncounted.
    pub(super) async fn commit_for(
        &self,
        id: &ImageId,
        asking: Option<&OwnerId>,
    ) -> Result<ImageRecord, Problem> {
        let flight = self.flights.of(id);
        let _alone = flight.lock().await;
        if let Some(loaded) = self.load(id).await? {
            return committed(loaded, asking);
        }
        let Some(pending) = self.pending(id).await? else {
            // A commit on another replica may have finished in between.
            let loaded = self.load(id).await?.ok_or_else(no_such_upload)?;
            return committed(loaded, asking);
        };
        if pending.keeping.owner.is_some() && pending.keeping.owner.as_ref() != asking {
            return Err(not_owner());
        }
        if let Some(why) = &pending.mismatch {
            return Err(mismatch(why));
        }
        if self.is_denied(&pending.sha256).await? {
            return Err(refused());
        }
        // Once more: the announcement may be a day old, and its reference was perhaps taken for a leftover.
        self.refer(&pending.sha256, id).await?;
        let picture = self.verify(id, &pending).await?;
        self.save_verified(id, pending, picture, asking).await
    }

    async fn save_verified(
        &self,
        id: &ImageId,
        pending: Pending,
        picture: DynamicImage,
        asking: Option<&OwnerId>,
    ) -> Result<ImageRecord, Problem> {
        let source = pending.source();
        let (visibility, expires_at) = self.expiries.of(&pending.keeping, source);
        let stored = Stored {
            format: FORMAT,
            state: visibility.into(),
            id: id.to_string(),
            bytes: pending.bytes,
            width: picture.width(),
            height: picture.height(),
            created_at: id.created_at(),
            recipe: pending.recipe,
            thumbnail: Some(self.store_thumbnail(id, &pending.sha256, picture).await?),
            sha256: pending.sha256,
            owner: pending.keeping.owner,
            expires_at,
            hidden_from: None,
        };
        // The markers first: what is answered is in every list.
        let markers = stored.markers(id);
        self.put_markers(&markers).await?;
        if !self
            .create(id, &Kept::Picture(Box::new(stored.clone())))
            .await?
        {
            let loaded = self.load(id).await?.ok_or_else(no_such_upload)?;
            self.settle(id, &stored).await?;
            return committed(loaded, asking);
        }
        self.confirm(id, &stored).await?;
        if let Err(error) = self.forget_upload(id).await {
            tracing::warn!(%id, %error, "what is left of a finished upload stays for the next sweep");
        }
        self.holdings.settled(id);
        metrics::stored(source, stored.bytes);
        tracing::info!(%id, sha256 = stored.sha256, bytes = stored.bytes, "picture saved");
        Ok(stored.seen_by(asking))
    }

    /// Takes the picture back if its bytes went, or were refused, while this commit ran. Whoever refuses bytes writes
    /// that down first and then looks for records, so one of the two sees the other.
    async fn confirm(&self, id: &ImageId, stored: &Stored) -> Result<(), Problem> {
        let denied = self.is_denied(&stored.sha256).await?;
        if !denied && self.store.exists(&keys::picture(&stored.sha256)).await? {
            return Ok(());
        }
        self.remove(id, if denied { "operator" } else { "lost" }, |_| Ok(()))
            .await?;
        Err(if denied { refused() } else { no_such_upload() })
    }

    /// Checks the stored bytes against the announcement, puts staged ones in place, and gives the decoded picture.
    ///
    /// Bytes that can never become a picture under this key are deleted. Bytes that are right for the key but
    /// not for this announcement stay: another record may show them.
    async fn verify(&self, id: &ImageId, pending: &Pending) -> Result<DynamicImage, Problem> {
        let key = if pending.staged {
            keys::incoming(id)
        } else {
            keys::picture(&pending.sha256)
        };
        let bytes = match self.store.get(&key, most_bytes(&pending.recipe)).await {
            Ok(bytes) => Arc::new(bytes),
            Err(StorageError::NotFound(_)) => {
                return Err(Problem::new(
                    ProblemCode::UploadMissing,
                    "no bytes have arrived for this upload",
                )
                .with_hint("Send them to the presigned URL first; if it expired, announce the upload again."));
            }
            Err(error @ StorageError::TooLarge { .. }) => {
                self.delete_bytes(&key).await?;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        };
        if sha256_hex(&bytes) != pending.sha256 {
            self.delete_bytes(&key).await?;
            return Err(mismatch(
                "the stored bytes do not have the announced SHA-256",
            ));
        }
        check_length(bytes.len() as u64, pending.bytes)?;
        let catalog = self.catalog.now();
        let model = catalog.summary(&pending.recipe.request.model);
        let size = model.map(|model| model.size_of(&pending.recipe.request));
        let (recipe, to_check) = (pending.recipe.clone(), Arc::clone(&bytes));
        let checked = self
            .compute(move || verify::check(&to_check, size, &recipe))
            .await?;
        let picture = match checked {
            Ok(picture) => picture,
            Err(error) => {
                // The bytes have the announced digest: they will never be this picture, and are read once.
                let why = error.to_string();
                let refused = Pending {
                    mismatch: Some(why.clone()),
                    ..pending.clone()
                };
                self.write_pending(id, &refused).await?;
                if pending.staged || !error.depends_on_announcement() {
                    self.delete_bytes(&key).await?;
                }
                return Err(mismatch(why));
            }
        };
        if pending.staged {
            let bytes = Arc::unwrap_or_clone(bytes);
            let key = keys::picture(&pending.sha256);
            self.store.put(&key, bytes, PNG_MIME).await?;
        }
        Ok(picture)
    }

    async fn store_thumbnail(
        &self,
        id: &ImageId,
        sha256: &str,
        picture: DynamicImage,
    ) -> Result<Thumbnail, Problem> {
        let encoded = self.compute(move || thumbnail::encode(&picture)).await?;
        let encoded = encoded.map_err(internal)?;
        self.holdings.grows(id, encoded.webp.len() as u64);
        let key = keys::thumbnail(sha256);
        self.store.put(&key, encoded.webp, THUMBNAIL_MIME).await?;
        Ok(Thumbnail {
            url: format!("/thumbnails/{sha256}.webp"),
            width: encoded.width,
            height: encoded.height,
        })
    }

    /// Runs work on pixels away from the event loop, a few at a time.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let _permit = self.decoders.acquire().await.map_err(internal)?;
        tokio::task::spawn_blocking(work).await.map_err(internal)
    }
}

/// The answer to a commit of what is committed, or removed, already.
fn committed(loaded: Loaded, asking: Option<&OwnerId>) -> Result<ImageRecord, Problem> {
    match loaded.kept {
        Kept::Picture(stored) if stored.owner.is_some() && !stored.is_of(asking) => {
            Err(not_owner())
        }
        Kept::Picture(stored) if stored.state == State::Hidden => Err(withdrawn()),
        Kept::Picture(stored) => Ok(stored.seen_by(asking)),
        Kept::Removed(tombstone) if tombstone.is_withdrawn() => Err(withdrawn()),
        Kept::Removed(_) => Err(no_such_upload()),
    }
}

pub(super) fn check_length(stored: u64, announced: u64) -> Result<(), Problem> {
    if stored == announced {
        return Ok(());
    }
    Err(mismatch(format!(
        "{stored} bytes are stored, {announced} were announced"
    )))
}

fn mismatch(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemCode::UploadMismatch, detail)
        .with_hint("Nothing was listed. Make the picture again and save it once more.")
}

fn no_such_upload() -> Problem {
    Problem {
        detail: "there is no announced upload of this id".to_owned(),
        hint: "POST /api/v1/uploads announces one.".to_owned(),
        ..no_such_picture()
    }
}
