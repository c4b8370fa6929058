//! Pictures: presigned upload, commit, records, gallery. Everything lives in the store; there is no database.

mod announcement;
mod export;
mod gallery;
pub mod id;
mod keys;
mod owner;
mod quota;
mod records;
mod references;
mod removal;
mod sweep;
mod thumbnail;
mod uploads;
pub mod verify;

use std::sync::Arc;
use std::time::Duration;

use protocol::{ImageRecord, Problem, ProblemCode};
use tokio::sync::Semaphore;

use crate::catalog::Catalog;
use crate::storage::{ObjectHead, StorageError, Store};

pub use export::{Entry, Room};
pub use gallery::{DEFAULT_PAGE, MAX_PAGE};
pub use id::ImageId;
pub use owner::{Client, Keeping, OwnerId, new_owner, renewed, today};
pub use quota::UploadLimits;
pub use sweep::{PENDING_LIFETIME, Swept};

use quota::UploadQuota;

/// Largest picture accepted, in bytes.
pub const MAX_IMAGE_BYTES: u64 = 8 << 20;
/// Largest thumbnail, in bytes.
const MAX_THUMBNAIL_BYTES: u64 = 1 << 20;
/// Largest JSON object that the hub writes to the store, in bytes.
const MAX_RECORD_BYTES: u64 = 64 << 10;
/// Pictures decoded at the same time, which bounds the memory.
const DECODERS: usize = 4;

/// The pictures in a store.
#[derive(Clone)]
pub struct Images {
    store: Store,
    catalog: Arc<Catalog>,
    expiry: Duration,
    quota: Option<Arc<UploadQuota>>,
    decoders: Arc<Semaphore>,
}

impl Images {
    /// Pictures of the models in `catalog`; presigned URLs for uploads are valid for `expiry`.
    pub fn new(store: Store, catalog: Arc<Catalog>, expiry: Duration) -> Self {
        Self {
            store,
            catalog,
            expiry,
            quota: None,
            decoders: Arc::new(Semaphore::new(DECODERS)),
        }
    }

    /// Limits what one client may upload.
    #[must_use]
    pub fn with_limits(mut self, limits: UploadLimits) -> Self {
        self.quota = Some(Arc::new(UploadQuota::new(limits)));
        self
    }

    /// Forgets clients that have not uploaded for long.
    pub fn forget_idle_clients(&self) {
        if let Some(quota) = &self.quota {
            quota.forget_idle();
        }
    }

    /// The store underneath.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The record of a picture, as `asking` sees it.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`], [`ProblemCode::StorageUnavailable`].
    pub async fn record(&self, id: &str, asking: Option<&OwnerId>) -> Result<ImageRecord, Problem> {
        let id: ImageId = id.parse().map_err(|_| no_such_picture())?;
        let found = self.find_record(&id).await?.ok_or_else(no_such_picture)?;
        Ok(found.seen_by(asking))
    }

    /// What the store says of the bytes of a picture.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`], [`ProblemCode::StorageUnavailable`].
    pub async fn stored(&self, sha256: &str) -> Result<ObjectHead, Problem> {
        if !protocol::is_sha256_hex(sha256) {
            return Err(no_such_picture());
        }
        match self.store.head(&keys::picture(sha256)).await {
            Ok(head) => Ok(head),
            Err(StorageError::NotFound(_)) => Err(no_such_picture()),
            Err(error) => Err(error.into()),
        }
    }

    /// A presigned URL of the bytes of a picture that is [stored](Self::stored); with `save_as` a browser saves it under
    /// that name.
    ///
    /// # Errors
    /// [`ProblemCode::StorageUnavailable`].
    pub async fn presigned_url(
        &self,
        sha256: &str,
        save_as: Option<&str>,
    ) -> Result<String, Problem> {
        let key = keys::picture(sha256);
        let mime = protocol::PNG_MIME;
        Ok(self.store.presign_get(&key, mime, save_as).await?)
    }

    /// The bytes of a stored picture.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`], [`ProblemCode::StorageUnavailable`].
    pub async fn png(&self, sha256: &str) -> Result<Vec<u8>, Problem> {
        self.read(&keys::picture(sha256), MAX_IMAGE_BYTES).await
    }

    /// The bytes of a thumbnail, by the digest of its picture.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`], [`ProblemCode::StorageUnavailable`].
    pub async fn thumbnail(&self, sha256: &str) -> Result<Vec<u8>, Problem> {
        if !protocol::is_sha256_hex(sha256) {
            return Err(no_such_picture());
        }
        let key = keys::thumbnail(sha256);
        self.read(&key, MAX_THUMBNAIL_BYTES).await
    }

    async fn read(&self, key: &str, cap: u64) -> Result<Vec<u8>, Problem> {
        match self.store.get(key, cap).await {
            Ok(bytes) => Ok(bytes),
            Err(StorageError::NotFound(_)) => Err(no_such_picture()),
            Err(error) => Err(error.into()),
        }
    }
}

fn no_such_picture() -> Problem {
    Problem::new(ProblemCode::NotFound, "there is no picture of this address")
        .with_hint("Pictures are listed under /gallery.")
}

fn not_owner() -> Problem {
    Problem::new(
        ProblemCode::NotOwner,
        "only the client that made this picture may do that",
    )
    .with_hint("Use the browser that it was saved with; its cookie is the only key.")
}

fn internal(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "pictures");
    Problem::new(ProblemCode::Internal, "the picture could not be handled")
}
