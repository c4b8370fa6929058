//! From an announced upload to a listed picture.

use protocol::{ImageRecord, PNG_MIME, Problem, ProblemCode, Recipe, UploadRequest, UploadTicket};
use serde::{Deserialize, Serialize};

use super::verify::{png_size, sha256_hex};
use super::{
    ImageId, Images, MAX_IMAGE_BYTES, MAX_RECORD_BYTES, PENDING, image_key, no_such_picture,
    pending_key, record_key,
};
use crate::storage::{Audience, ObjectClaim, StorageError};

/// Longest text of a recipe field that the sender words freely, in bytes.
const MAX_LABEL_BYTES: usize = 200;
/// Milliseconds after which an upload that was never committed is forgotten.
const PENDING_LIFETIME_MS: u64 = 24 * 3600 * 1000;

/// Who announces an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A visitor, whose recipe is only a claim.
    Browser,
    /// A worker of this server.
    Worker,
}

/// An announced upload as kept in the store until its commit.
#[derive(Serialize, Deserialize)]
struct Pending {
    sha256: String,
    bytes: u64,
    recipe: Recipe,
    #[serde(default)]
    unlisted: bool,
}

impl Images {
    /// Checks an announced upload and signs a PUT for exactly those bytes.
    ///
    /// # Errors
    /// A problem that names what is wrong with the request; [`ProblemCode::StorageUnavailable`].
    pub async fn announce(
        &self,
        request: UploadRequest,
        source: Source,
    ) -> Result<UploadTicket, Problem> {
        let id = ImageId::new().map_err(internal)?;
        self.announce_as(id, request, source).await
    }

    async fn announce_as(
        &self,
        id: ImageId,
        request: UploadRequest,
        source: Source,
    ) -> Result<UploadTicket, Problem> {
        let request = self.check(request, source)?;
        let key = image_key(&request.sha256);
        let already_stored = self.keep_if_sound(&key, &request).await?;
        let mut sha256 = [0; 32];
        hex::decode_to_slice(&request.sha256, &mut sha256).map_err(internal)?;
        let claim = ObjectClaim {
            key: &key,
            bytes: request.bytes,
            content_type: PNG_MIME,
            sha256,
        };
        let audience = match source {
            Source::Browser => Audience::Public,
            Source::Worker => Audience::Internal,
        };
        let presigned = self
            .store
            .presign_put(&claim, audience, self.expiry)
            .await?;
        let pending = Pending {
            sha256: request.sha256,
            bytes: request.bytes,
            recipe: request.recipe,
            unlisted: request.unlisted,
        };
        let json = serde_json::to_vec(&pending).map_err(internal)?;
        self.store.put_json(&pending_key(&id), json).await?;
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
    /// [`ProblemCode::NotFound`], [`ProblemCode::UploadMissing`], [`ProblemCode::UploadMismatch`],
    /// [`ProblemCode::StorageUnavailable`].
    pub async fn commit(&self, id: &str) -> Result<ImageRecord, Problem> {
        let id: ImageId = id.parse().map_err(|_| no_such_upload())?;
        if let Some(record) = self.find_record(&id).await? {
            return Ok(record);
        }
        let pending: Pending = match self.store.get(&pending_key(&id), MAX_RECORD_BYTES).await {
            Ok(json) => serde_json::from_slice(&json).map_err(internal)?,
            // A commit that ran beside this one may have finished in between.
            Err(StorageError::NotFound(_)) => {
                return self.find_record(&id).await?.ok_or_else(no_such_upload);
            }
            Err(error) => return Err(error.into()),
        };
        let (width, height) = self.verify(&pending).await?;
        let record = ImageRecord {
            id: id.to_string(),
            url: format!("/images/{}.png", pending.sha256),
            permalink: format!("/i/{id}"),
            sha256: pending.sha256,
            bytes: pending.bytes,
            width,
            height,
            created_at: id.created_at(),
            recipe: pending.recipe,
            thumbnail: None,
            unlisted: pending.unlisted,
            mine: false,
        };
        let json = serde_json::to_vec(&record).map_err(internal)?;
        self.store.put_json(&record_key(&id), json).await?;
        if let Err(error) = self.store.delete(&pending_key(&id)).await {
            tracing::warn!(%id, %error, "the note of a finished upload stays for the next sweep");
        }
        tracing::info!(%id, sha256 = record.sha256, bytes = record.bytes, "picture listed");
        Ok(record)
    }

    /// Stores and lists under `id` a picture that a worker made, by the same presigned PUT as a browser's.
    /// Saving twice under one id, as two workers may that held the same job, lists one picture.
    ///
    /// # Errors
    /// As [`Self::announce`] and [`Self::commit`].
    pub async fn save(
        &self,
        id: ImageId,
        png: Vec<u8>,
        recipe: Recipe,
    ) -> Result<ImageRecord, Problem> {
        if let Some(record) = self.find_record(&id).await? {
            return Ok(record);
        }
        let request = UploadRequest {
            sha256: sha256_hex(&png),
            bytes: png.len() as u64,
            content_type: PNG_MIME.to_owned(),
            recipe,
            unlisted: false,
        };
        let ticket = self.announce_as(id, request, Source::Worker).await?;
        if !ticket.already_stored {
            self.put(&ticket, png).await?;
        }
        self.commit(&ticket.id).await
    }

    /// Forgets uploads that were announced more than a day ago and never committed.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn sweep(&self) -> Result<usize, StorageError> {
        let now = ImageId::new().map(|id| id.created_at()).unwrap_or_default();
        let (mut forgotten, mut after) = (0, None);
        loop {
            let (keys, more) = self.store.list(PENDING, after, 1000).await?;
            for key in &keys {
                let id = key
                    .strip_prefix(PENDING)
                    .and_then(|name| name.strip_suffix(".json"))
                    .and_then(|id| id.parse::<ImageId>().ok());
                if id.is_some_and(|id| id.created_at() + PENDING_LIFETIME_MS < now) {
                    self.store.delete(key).await?;
                    forgotten += 1;
                }
            }
            after = keys.last().cloned();
            if !more || after.is_none() {
                return Ok(forgotten);
            }
        }
    }

    fn check(&self, request: UploadRequest, source: Source) -> Result<UploadRequest, Problem> {
        let malformed = |detail: String| Problem::new(ProblemCode::MalformedRequest, detail);
        let UploadRequest {
            sha256,
            bytes,
            content_type,
            mut recipe,
            unlisted,
        } = request;
        if content_type != PNG_MIME {
            return Err(Problem::new(
                ProblemCode::UnsupportedType,
                format!("only {PNG_MIME} is stored"),
            ));
        }
        if !protocol::is_sha256_hex(&sha256) {
            return Err(malformed(
                "sha256 is not 64 lower-case hex digits".to_owned(),
            ));
        }
        if bytes == 0 || bytes > MAX_IMAGE_BYTES {
            return Err(malformed(format!(
                "bytes is {bytes}; 1 to {MAX_IMAGE_BYTES} are accepted"
            )));
        }
        let place = match source {
            Source::Browser => "browser",
            Source::Worker => "server",
        };
        if recipe.place != place {
            return Err(malformed(format!("recipe.place must be {place:?} here")));
        }
        for (name, text) in [
            ("scheduler", &recipe.scheduler),
            ("backend", &recipe.backend),
            ("adapter", &recipe.adapter),
        ] {
            if text.len() > MAX_LABEL_BYTES {
                return Err(malformed(format!(
                    "recipe.{name} is longer than {MAX_LABEL_BYTES} bytes"
                )));
            }
        }
        if recipe.request.seed.is_none() {
            return Err(malformed("recipe.request.seed is missing".to_owned()));
        }
        recipe.request = self.catalog.resolve(recipe.request)?;
        let known = self.catalog.summary(&recipe.request.model);
        if source == Source::Browser && known.is_some_and(|model| model.package_url.is_none()) {
            return Err(malformed(
                "this model has no package for browsers".to_owned(),
            ));
        }
        if known.is_none_or(|model| model.weights_digest != recipe.weights_digest) {
            return Err(
                malformed("recipe.weights_digest is not that of this model".to_owned()).with_hint(
                    "The model was updated: reload the page and make the picture again.",
                ),
            );
        }
        Ok(UploadRequest {
            sha256,
            bytes,
            content_type,
            recipe,
            unlisted,
        })
    }

    /// Whether the object is there and is what its key says; a damaged one is removed.
    async fn keep_if_sound(&self, key: &str, request: &UploadRequest) -> Result<bool, Problem> {
        let bytes = match self.store.get(key, MAX_IMAGE_BYTES).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound(_)) => return Ok(false),
            Err(StorageError::TooLarge { .. }) => {
                self.store.delete(key).await?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        if sha256_hex(&bytes) != request.sha256 {
            self.store.delete(key).await?;
            return Ok(false);
        }
        check_length(bytes.len() as u64, request.bytes)?;
        Ok(true)
    }

    /// Checks the stored bytes against the announcement and gives width and height in pixels.
    ///
    /// Bytes that can never become a picture under this key are deleted. Bytes that are right for the key but
    /// not for this announcement stay: another record may show them.
    async fn verify(&self, pending: &Pending) -> Result<(u32, u32), Problem> {
        let key = image_key(&pending.sha256);
        let bytes = match self.store.get(&key, MAX_IMAGE_BYTES).await {
            Ok(bytes) => bytes,
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
        let (width, height) = match png_size(&bytes) {
            Ok(size) => size,
            Err(error) => {
                self.store.delete(&key).await?;
                return Err(mismatch(error.to_string()));
            }
        };
        let model = self.catalog.summary(&pending.recipe.request.model);
        if let Some(model) = model
            && (model.width, model.height) != (width, height)
        {
            return Err(mismatch(format!(
                "the picture has {width}×{height} pixels; this model makes {}×{}",
                model.width, model.height
            )));
        }
        Ok((width, height))
    }

    async fn put(&self, ticket: &UploadTicket, png: Vec<u8>) -> Result<(), Problem> {
        let mut request = self.http.put(&ticket.url);
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

fn internal(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "upload");
    Problem::new(ProblemCode::Internal, "the upload could not be handled")
}
