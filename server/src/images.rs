//! Pictures: presigned upload, commit, records, gallery. Everything lives in the store; there is no database.

mod announcement;
mod budget;
pub mod command;
mod commit;
mod export;
mod gallery;
pub mod id;
mod inputs;
mod keeping;
mod keys;
pub mod moderation;
mod owner;
mod quota;
mod records;
mod references;
mod removal;
pub mod reports;
mod save;
mod served;
mod sweep;
mod thumbnail;
mod uploads;
pub mod verify;

use std::sync::Arc;
use std::time::Duration;

use protocol::{ImageRecord, Problem, ProblemCode, Recipe};
use tokio::sync::Semaphore;

use crate::catalog::Live;
use crate::storage::Store;

pub use budget::StorageLimits;
pub use export::{Entry, Room};
pub use gallery::{DEFAULT_PAGE, MAX_PAGE};
pub use id::ImageId;
pub use inputs::{Given, INPUT_LIFETIME, Input};
pub use keeping::{Expiries, Keeping};
pub use owner::{Client, OwnerId, new_owner, renewed, today};
pub use quota::UploadLimits;
pub use served::Access;
pub use sweep::{PENDING_LIFETIME, SweepError, SweepOptions, Swept};

use budget::Holdings;
use commit::Flights;
use quota::UploadQuota;
use sweep::LastSweep;

/// Most bytes of the picture of a recipe.
fn most_bytes(recipe: &Recipe) -> u64 {
    match recipe.request.upscale {
        Some(_) => MAX_LARGER_BYTES,
        None => MAX_IMAGE_BYTES,
    }
}

/// Number of the format of everything that is stored or queued; what says none is of format 1.
pub const FORMAT: u32 = 2;

/// Largest picture accepted, in bytes.
pub const MAX_IMAGE_BYTES: u64 = 8 << 20;
/// Largest picture accepted that was made larger once it was finished, in bytes: what 5 mebipixels take as they are, and what the
/// embedded store takes.
pub const MAX_LARGER_BYTES: u64 = 16 << 20;
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
    catalog: Live,
    expiry: Duration,
    quota: Option<Arc<UploadQuota>>,
    holdings: Arc<Holdings>,
    expiries: Expiries,
    decoders: Arc<Semaphore>,
    flights: Flights,
    last_sweep: LastSweep,
}

impl Images {
    /// Pictures of the models in `catalog`; presigned URLs for uploads are valid for `expiry`.
    pub fn new(store: Store, catalog: Live, expiry: Duration) -> Self {
        Self {
            store,
            catalog,
            expiry,
            quota: None,
            holdings: Arc::default(),
            expiries: Expiries::default(),
            decoders: Arc::new(Semaphore::new(DECODERS)),
            flights: Flights::default(),
            last_sweep: LastSweep::default(),
        }
    }

    /// Sets how long pictures stay that nobody saved.
    #[must_use]
    pub fn with_expiries(mut self, expiries: Expiries) -> Self {
        self.expiries = expiries;
        self
    }

    /// Limits what one client may upload.
    #[must_use]
    pub fn with_limits(mut self, limits: UploadLimits) -> Self {
        self.quota = Some(Arc::new(UploadQuota::new(limits)));
        self
    }

    /// Limits what is stored for all clients.
    #[must_use]
    pub fn with_storage_limits(mut self, limits: StorageLimits) -> Self {
        self.holdings = Arc::new(Holdings::new(limits));
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
    /// [`ProblemCode::NotFound`] also where others may see it, [`ProblemCode::Withdrawn`],
    /// [`ProblemCode::StorageUnavailable`].
    pub async fn record(&self, id: &str, asking: Option<&OwnerId>) -> Result<ImageRecord, Problem> {
        let id: ImageId = id.parse().map_err(|_| no_such_picture())?;
        let found = self.find_for(&id, asking).await?;
        let found = found.ok_or_else(no_such_picture)?;
        Ok(found.seen_by(asking))
    }
}

fn no_such_picture() -> Problem {
    Problem::new(ProblemCode::NotFound, "there is no picture of this address")
        .with_hint("Pictures are listed under /gallery.")
}

fn withdrawn() -> Problem {
    Problem::new(
        ProblemCode::Withdrawn,
        "the operator of this hub took this picture down",
    )
}

fn refused() -> Problem {
    Problem::new(
        ProblemCode::ImageRefused,
        "the operator of this hub does not accept this picture",
    )
    .with_hint("Nothing was stored.")
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
