//! Pictures: presigned upload, commit, records, gallery. Everything lives in the store; there is no database.
//!
//! Keys: `img/<sha[0..2]>/<sha>.png` the bytes; `pending/<id>.json` an upload that was announced;
//! `gallery/<inverted time>-<id>.json` a listed picture. An id begins with its inverted time, so the key of a
//! record follows from its id, and listing by key is newest first.

mod gallery;
pub mod id;
mod uploads;
pub mod verify;

use std::sync::Arc;
use std::time::Duration;

use protocol::{ImageRecord, Problem, ProblemCode};

use crate::catalog::Catalog;
use crate::storage::{StorageError, Store};

pub use gallery::{DEFAULT_PAGE, MAX_PAGE};
pub use id::ImageId;
pub use uploads::Source;

/// Largest picture accepted, in bytes.
pub const MAX_IMAGE_BYTES: u64 = 8 << 20;
/// Largest JSON object that the hub writes to the store, in bytes.
const MAX_RECORD_BYTES: u64 = 64 << 10;
/// Prefix of the records.
const GALLERY: &str = "gallery/";
/// Prefix of the announced uploads.
const PENDING: &str = "pending/";

/// The pictures in a store.
#[derive(Clone)]
pub struct Images {
    store: Store,
    catalog: Arc<Catalog>,
    expiry: Duration,
    http: reqwest::Client,
}

impl Images {
    /// Pictures of the models in `catalog`; presigned URLs are valid for `expiry`.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(store: Store, catalog: Arc<Catalog>, expiry: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            store,
            catalog,
            expiry,
            http: reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(2))
                .timeout(Duration::from_secs(30))
                .build()?,
        })
    }

    /// The store underneath.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The record of a listed picture.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`], [`ProblemCode::StorageUnavailable`].
    pub async fn record(&self, id: &str) -> Result<ImageRecord, Problem> {
        let id: ImageId = id.parse().map_err(|_| no_such_picture())?;
        self.find_record(&id).await?.ok_or_else(no_such_picture)
    }

    /// A presigned URL of the bytes of a picture.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`] for what is no digest, [`ProblemCode::StorageUnavailable`].
    pub async fn presigned_url(&self, sha256: &str) -> Result<String, Problem> {
        if !protocol::is_sha256_hex(sha256) {
            return Err(no_such_picture());
        }
        Ok(self
            .store
            .presign_get(&image_key(sha256), protocol::PNG_MIME, self.expiry)
            .await?)
    }

    /// The bytes of a stored picture.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`], [`ProblemCode::StorageUnavailable`].
    pub async fn png(&self, sha256: &str) -> Result<Vec<u8>, Problem> {
        match self.store.get(&image_key(sha256), MAX_IMAGE_BYTES).await {
            Ok(bytes) => Ok(bytes),
            Err(StorageError::NotFound(_)) => Err(no_such_picture()),
            Err(error) => Err(error.into()),
        }
    }

    async fn find_record(&self, id: &ImageId) -> Result<Option<ImageRecord>, Problem> {
        match self.store.get(&record_key(id), MAX_RECORD_BYTES).await {
            Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|error| {
                tracing::error!(%id, %error, "record is damaged");
                Problem::new(
                    ProblemCode::Internal,
                    "the record of this picture is damaged",
                )
            }),
            Err(StorageError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Key of the bytes with that digest (64 hex digits).
fn image_key(sha256: &str) -> String {
    format!("img/{}/{sha256}.png", sha256.get(..2).unwrap_or_default())
}

fn record_key(id: &ImageId) -> String {
    format!("{GALLERY}{}-{id}.json", id.inverted_time())
}

fn pending_key(id: &ImageId) -> String {
    format!("{PENDING}{id}.json")
}

fn no_such_picture() -> Problem {
    Problem::new(ProblemCode::NotFound, "there is no picture of this address")
        .with_hint("Pictures are listed under /gallery.")
}
