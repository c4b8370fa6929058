//! From an announced upload to a listed picture.

use std::sync::Arc;

use image::DynamicImage;
use protocol::{
    ImageRecord, PNG_MIME, Problem, ProblemCode, Recipe, THUMBNAIL_MIME, Thumbnail, UploadRequest,
    UploadTicket, Visibility,
};
use serde::{Deserialize, Serialize};

use super::announcement::Source;
use super::records::Stored;
use super::verify::{self, sha256_hex};
use super::{
    Client, ImageId, Images, Keeping, MAX_IMAGE_BYTES, MAX_RECORD_BYTES, OwnerId, internal, keys,
    no_such_picture, not_owner, thumbnail,
};
use crate::storage::{Audience, ObjectClaim, StorageError};

/// An announced upload as kept in the store until its commit.
#[derive(Serialize, Deserialize)]
struct Pending {
    sha256: String,
    bytes: u64,
    recipe: Recipe,
    #[serde(flatten)]
    keeping: Keeping,
    /// Where the bytes are to arrive.
    #[serde(default)]
    staged: bool,
}

impl Images {
    /// Checks an announced upload and signs a PUT for exactly those bytes.
    ///
    /// # Errors
    /// A problem that names what is wrong with the request; [`ProblemCode::RateLimited`];
    /// [`ProblemCode::StorageUnavailable`].
    pub async fn announce(
        &self,
        request: UploadRequest,
        client: &Client,
    ) -> Result<UploadTicket, Problem> {
        let request = self.check(request, Source::Browser)?;
        if let Some(quota) = &self.quota {
            quota.take(client, request.bytes)?;
        }
        let id = ImageId::new().map_err(internal)?;
        let keeping = Keeping {
            owner: Some(client.owner.clone()),
            unlisted: request.unlisted,
        };
        self.announce_as(id, request, keeping, Audience::Public)
            .await
    }

    async fn announce_as(
        &self,
        id: ImageId,
        request: UploadRequest,
        keeping: Keeping,
        audience: Audience,
    ) -> Result<UploadTicket, Problem> {
        let support = self.store.support().await?;
        self.refer(&request.sha256, &id).await?;
        let already_stored = self.keep_if_sound(&request).await?;
        let staged = !support.direct() && !already_stored;
        let key = if staged {
            keys::incoming(&id)
        } else {
            keys::picture(&request.sha256)
        };
        let mut sha256 = [0; 32];
        hex::decode_to_slice(&request.sha256, &mut sha256).map_err(internal)?;
        let claim = ObjectClaim {
            key: &key,
            bytes: request.bytes,
            content_type: PNG_MIME,
            sha256,
            only_new: support.conditional_header,
        };
        let presigned = self
            .store
            .presign_put(&claim, audience, self.expiry)
            .await?;
        let pending = Pending {
            sha256: request.sha256,
            bytes: request.bytes,
            recipe: request.recipe,
            keeping,
            staged,
        };
        let json = serde_json::to_vec(&pending).map_err(internal)?;
        self.store.put_json(&keys::pending(&id), json).await?;
        Ok(UploadTicket {
            id: id.to_string(),
            method: "PUT".to_owned(),
            url: presigned.url,
            headers: presigned.headers,
            expires_in: self.expiry.as_secs(),
            already_stored,
        })
    }

    /// Verifies the stored bytes of an announced upload and lists the picture. Repeating it gives the same
    /// record.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`], [`ProblemCode::NotOwner`], [`ProblemCode::UploadMissing`],
    /// [`ProblemCode::UploadMismatch`], [`ProblemCode::StorageUnavailable`].
    pub async fn commit(&self, id: &str, asking: Option<&OwnerId>) -> Result<ImageRecord, Problem> {
        let id: ImageId = id.parse().map_err(|_| no_such_upload())?;
        if let Some(stored) = self.find_record(&id).await? {
            return committed(stored, asking);
        }
        let pending: Pending = match self.store.get(&keys::pending(&id), MAX_RECORD_BYTES).await {
            Ok(json) => serde_json::from_slice(&json).map_err(internal)?,
            // A commit that ran beside this one may have finished in between.
            Err(StorageError::NotFound(_)) => {
                let stored = self.find_record(&id).await?.ok_or_else(no_such_upload)?;
                return committed(stored, asking);
            }
            Err(error) => return Err(error.into()),
        };
        if pending.keeping.owner.is_some() && pending.keeping.owner.as_ref() != asking {
            return Err(not_owner());
        }
        let picture = self.verify(&id, &pending).await?;
        let stored = Stored {
            record: ImageRecord {
                id: id.to_string(),
                url: format!("/images/{}.png", pending.sha256),
                permalink: format!("/i/{id}"),
                bytes: pending.bytes,
                width: picture.width(),
                height: picture.height(),
                created_at: id.created_at(),
                recipe: pending.recipe,
                thumbnail: Some(self.store_thumbnail(&pending.sha256, picture).await?),
                sha256: pending.sha256,
                unlisted: pending.keeping.unlisted,
                visibility: if pending.keeping.unlisted {
                    Visibility::Unlisted
                } else {
                    Visibility::Listed
                },
                expires_at: None,
                mine: false,
            },
            owner: pending.keeping.owner,
        };
        self.write_record(&id, &stored).await?;
        self.confirm(&id, &stored).await?;
        for key in [keys::pending(&id), keys::incoming(&id)] {
            if key.starts_with(keys::INCOMING) && !pending.staged {
                continue;
            }
            if let Err(error) = self.store.delete(&key).await {
                tracing::warn!(%id, %error, "what is left of a finished upload stays for the next sweep");
            }
        }
        tracing::info!(%id, sha256 = stored.record.sha256, bytes = stored.record.bytes, "picture saved");
        Ok(stored.seen_by(asking))
    }

    /// Takes the record back if its owner deleted the picture while this commit ran.
    async fn confirm(&self, id: &ImageId, stored: &Stored) -> Result<(), Problem> {
        let key = keys::picture(&stored.record.sha256);
        if self.store.exists(&key).await? {
            return Ok(());
        }
        self.store.delete(&keys::listed(id)).await?;
        self.store.delete(&keys::unlisted(id)).await?;
        self.delete_all(&stored.markers(id)).await?;
        Err(no_such_upload())
    }

    /// Stores under `id` a picture that a worker made, by the same presigned PUT as a browser's. Saving twice under
    /// one id, as two workers may that held the same job, saves one picture.
    ///
    /// # Errors
    /// As [`Self::announce`] and [`Self::commit`].
    pub async fn save(
        &self,
        id: ImageId,
        png: Vec<u8>,
        recipe: Recipe,
        keeping: Keeping,
    ) -> Result<ImageRecord, Problem> {
        let owner = keeping.owner.clone();
        if let Some(stored) = self.find_record(&id).await? {
            return Ok(stored.seen_by(owner.as_ref()));
        }
        let request = UploadRequest {
            sha256: sha256_hex(&png),
            bytes: png.len() as u64,
            content_type: PNG_MIME.to_owned(),
            recipe,
            unlisted: keeping.unlisted,
            visibility: None,
        };
        let request = self.check(request, Source::Worker)?;
        let ticket = self
            .announce_as(id, request, keeping, Audience::Internal)
            .await?;
        if !ticket.already_stored {
            self.put(&ticket, png).await?;
        }
        self.commit(&ticket.id, owner.as_ref()).await
    }

    /// Whether the bytes are in place and are what their key says; damaged ones are removed.
    async fn keep_if_sound(&self, request: &UploadRequest) -> Result<bool, Problem> {
        let key = keys::picture(&request.sha256);
        let bytes = match self.store.get(&key, MAX_IMAGE_BYTES).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound(_)) => return Ok(false),
            Err(StorageError::TooLarge { .. }) => {
                self.store.delete(&key).await?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        if sha256_hex(&bytes) != request.sha256 {
            self.store.delete(&key).await?;
            return Ok(false);
        }
        check_length(bytes.len() as u64, request.bytes)?;
        Ok(true)
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
        let bytes = match self.store.get(&key, MAX_IMAGE_BYTES).await {
            Ok(bytes) => Arc::new(bytes),
            Err(StorageError::NotFound(_)) => {
                return Err(Problem::new(
                    ProblemCode::UploadMissing,
                    "no bytes have arrived for this upload",
                )
                .with_hint("Send them to the presigned URL first; if it expired, announce the upload again."));
            }
            Err(error @ StorageError::TooLarge { .. }) => {
                self.store.delete(&key).await?;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        };
        if sha256_hex(&bytes) != pending.sha256 {
            self.store.delete(&key).await?;
            return Err(mismatch(
                "the stored bytes do not have the announced SHA-256",
            ));
        }
        check_length(bytes.len() as u64, pending.bytes)?;
        let model = self.catalog.summary(&pending.recipe.request.model);
        let size = model.map(|model| (model.width, model.height));
        let (recipe, to_check) = (pending.recipe.clone(), Arc::clone(&bytes));
        let checked = self
            .compute(move || verify::check(&to_check, size, &recipe))
            .await?;
        let picture = match checked {
            Ok(picture) => picture,
            Err(error) => {
                if pending.staged || !error.depends_on_announcement() {
                    self.store.delete(&key).await?;
                }
                return Err(mismatch(error.to_string()));
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
        sha256: &str,
        picture: DynamicImage,
    ) -> Result<Thumbnail, Problem> {
        let encoded = self.compute(move || thumbnail::encode(&picture)).await?;
        let encoded = encoded.map_err(internal)?;
        let key = keys::thumbnail(sha256);
        self.store.put(&key, encoded.webp, THUMBNAIL_MIME).await?;
        Ok(Thumbnail {
            url: format!("/thumbnails/{sha256}.webp"),
            width: encoded.width,
            height: encoded.height,
        })
    }

    /// Runs work on pixels away from the event loop, a few at a time.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let _permit = self.decoders.acquire().await.map_err(internal)?;
        tokio::task::spawn_blocking(work).await.map_err(internal)
    }

    async fn put(&self, ticket: &UploadTicket, png: Vec<u8>) -> Result<(), Problem> {
        let mut request = self.store.http().put(&ticket.url);
        for (name, value) in &ticket.headers {
            request = request.header(name, value);
        }
        // The URL carries the signature: it must not reach the log.
        let response = request
            .body(png)
            .send()
            .await
            .map_err(|e| StorageError::Unavailable {
                operation: "presigned PUT",
                detail: e.without_url().to_string(),
            })?;
        let status = response.status();
        // 412: the same bytes arrived by another way; the commit verifies them.
        if status.is_success() || status == http::StatusCode::PRECONDITION_FAILED {
            return Ok(());
        }
        Err(StorageError::Unavailable {
            operation: "presigned PUT",
            detail: format!("status {status}"),
        }
        .into())
    }
}

/// The answer to a commit of what is committed already.
fn committed(stored: Stored, asking: Option<&OwnerId>) -> Result<ImageRecord, Problem> {
    if stored.owner.is_some() && stored.owner.as_ref() != asking {
        return Err(not_owner());
    }
    Ok(stored.seen_by(asking))
}

fn check_length(stored: u64, announced: u64) -> Result<(), Problem> {
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
