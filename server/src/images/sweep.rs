//! Puts the store in order.
//!
//! | what is found | what is done |
//! |---|---|
//! | a record of the first format | taken over; its old key is marked |
//! | an upload that was never committed, a record that expired, a removal that broke off | ended as its owner would |
//! | markers or references that a record lacks, or has too many | written, deleted |
//! | bytes or references that nothing explains | marked, and removed by a later sweep that still finds nothing |
//! | so many of those, or of records without bytes, that the bucket must be half of one | nothing: [`SweepError::Implausible`] |
//!
//! Any number of replicas may sweep at once: every step is safe to repeat, records change only where nobody else
//! changed them, and bytes go only by [`Images::remove_if_unreferenced`].

mod audit;
mod ends;
mod inventory;
mod marks;
mod pages;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::Problem;

use self::inventory::Inventory;
pub use self::pages::Pages;
use super::references::{REMOVAL_LIFETIME, now};
use super::{Images, keys};
use crate::storage::PROBE_PREFIX;

/// Age at which an announced upload is forgotten.
pub const PENDING_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Longest time that a request can still be under way.
const UNDER_WAY: Duration = Duration::from_secs(3600);
/// Time between two sweeps that read every record.
const FULL_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// How much earlier than the last sweep a record may have changed and still be read again: clocks differ.
const MARGIN: Duration = Duration::from_secs(600);

/// How to sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepOptions {
    /// Age from which an announced upload is forgotten; what nothing explains waits at most an hour, and a tombstone
    /// and a key of the first format as long as this.
    pub lifetime: Duration,
    /// Read every record, not only those that changed since this process's last sweep.
    pub full: bool,
    /// Remove what nothing explains however much it is.
    pub force: bool,
}

impl SweepOptions {
    /// A complete sweep that forgets uploads older than `lifetime`.
    pub fn older_than(lifetime: Duration) -> Self {
        Self {
            lifetime,
            full: true,
            force: false,
        }
    }
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Swept {
    /// Records found, tombstones among them.
    pub records: usize,
    /// Announced uploads forgotten.
    pub uploads: usize,
    /// Pictures and thumbnails removed that nothing referred to.
    pub pictures: usize,
    /// Other objects removed: markers, references, bytes on probation, tombstones, traces of removals and probes.
    pub leftovers: usize,
    /// Records whose markers or references were put right.
    pub repaired: usize,
    /// Records of the first format that got a key of this one.
    pub taken_over: usize,
    /// Pictures removed that nobody saved.
    pub expired: usize,
    /// Objects that nothing needs, to be removed by a later sweep.
    pub marked: usize,
    /// Records whose bytes are missing.
    pub missing: usize,
}

/// Why a sweep stopped.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SweepError {
    /// The store did not answer; what was done until then stays done.
    #[error(transparent)]
    Store(#[from] Problem),
    /// Too much would go: nothing was removed.
    #[error(
        "{what}: this looks like a bucket that was restored in part, and nothing was removed. If the rest is really gone, \
         `demo-hub storage sweep --force` removes it"
    )]
    Implausible {
        /// How much of what.
        what: String,
    },
}

impl From<crate::storage::StorageError> for SweepError {
    fn from(error: crate::storage::StorageError) -> Self {
        Self::Store(error.into())
    }
}

/// Times of one sweep, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// Uploads announced before are forgotten, tombstones and old keys of before go.
    expired: u64,
    /// No request of before is still under way.
    settled: u64,
    /// Marks of before are acted on.
    marked: u64,
}

impl Times {
    fn of(lifetime: Duration) -> Self {
        let under_way = UNDER_WAY.min(lifetime);
        Self {
            expired: before(lifetime),
            settled: before(lifetime + under_way),
            marked: before(under_way),
        }
    }
}

/// When this process swept last, in milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default)]
pub struct LastSweep(Arc<Mutex<Option<Last>>>);

#[derive(Clone, Copy, Debug)]
struct Last {
    begun_at: u64,
    full_at: u64,
}

impl LastSweep {
    /// Records that did not change since need not be read by a sweep that begins now.
    fn since(&self, full: bool) -> Option<u64> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let margin = u64::try_from(MARGIN.as_millis()).unwrap_or(u64::MAX);
        last.filter(|last| !full && last.full_at > before(FULL_INTERVAL))
            .map(|last| last.begun_at.saturating_sub(margin))
    }

    fn set(&self, begun_at: u64, was_full: bool) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = match *last {
            Some(last) if !was_full => last.full_at,
            _ => begun_at,
        };
        *last = Some(Last { begun_at, full_at });
    }
}

impl Images {
    /// One sweep.
    ///
    /// # Errors
    /// [`SweepError`].
    pub async fn sweep(&self, options: SweepOptions) -> Result<Swept, SweepError> {
        let begun_at = now();
        let times = Times::of(options.lifetime);
        let since = self.last_sweep.since(options.full);
        let mut swept = Swept::default();
        self.take_over(&mut swept).await?;
        // Before anything is judged: their bytes are explained.
        self.end_removals(&times, &mut swept).await?;
        let mut inventory = Inventory::take(self).await?;
        swept.records = inventory.records();
        swept.repaired += inventory.write_missing_references(self).await?;
        let found = inventory.judge(&times);
        swept.missing = found.missing;
        if !options.force {
            found.plausible()?;
        }
        for (prefix, before) in [
            (keys::INCOMING, times.expired),
            // However little the sweep spares: a removal under way must be seen.
            (keys::REMOVING, times.settled.min(before(REMOVAL_LIFETIME))),
            (PROBE_PREFIX, times.settled),
        ] {
            swept.leftovers += self.remove_older(prefix, before).await?;
        }
        self.end_uploads(&times, &mut swept).await?;
        self.end_expired(&mut swept).await?;
        self.audit(&inventory, since, &times, &mut swept).await?;
        self.act_on_marks(found, &times, &mut swept).await?;
        self.last_sweep.set(begun_at, since.is_none());
        Ok(swept)
    }
}

/// Milliseconds since the Unix epoch, `age` ago.
fn before(age: Duration) -> u64 {
    now().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}
