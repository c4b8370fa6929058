//! Puts the store in order: forgets what was never committed, removes what nothing refers to, and writes markers
//! and references that are missing.
//!
//! Any number of replicas may sweep at once: every step is safe to repeat, and bytes go only by
//! [`Images::remove_if_unreferenced`].

use std::collections::HashSet;
use std::time::Duration;

use protocol::Problem;

use super::references::now;
use super::{ImageId, Images, keys};
use crate::storage::{Listed, PROBE_PREFIX};

/// Age at which an announced upload is forgotten.
pub const PENDING_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Longest time that a request can still be under way.
const UNDER_WAY: Duration = Duration::from_secs(3600);
/// Keys in one list request.
const PAGE: usize = 1000;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Swept {
    /// Records found.
    pub records: usize,
    /// Announced uploads forgotten.
    pub uploads: usize,
    /// Pictures and thumbnails removed that nothing refers to.
    pub pictures: usize,
    /// Other objects removed: markers, references, bytes on probation, traces of removals and probes.
    pub leftovers: usize,
    /// Records whose markers or references were written again.
    pub repaired: usize,
}

impl Images {
    /// One sweep; uploads announced more than `lifetime` ago are forgotten.
    ///
    /// # Errors
    /// [`protocol::ProblemCode::StorageUnavailable`]; what was done until then stays done.
    pub async fn sweep(&self, lifetime: Duration) -> Result<Swept, Problem> {
        let mut swept = Swept::default();
        let expired = before(lifetime);
        // What is younger may belong to a commit that is under way.
        let settled = before(lifetime + UNDER_WAY.min(lifetime));
        swept.uploads = self
            .remove_older(keys::PENDING, |object| age_by_id(&object.key), expired)
            .await?;
        for (prefix, before) in [
            (keys::INCOMING, expired),
            (keys::REMOVING, settled),
            (PROBE_PREFIX, settled),
        ] {
            swept.leftovers += self
                .remove_older(prefix, |object| Some(object.modified_at), before)
                .await?;
        }
        let records = self.record_ids().await?;
        swept.records = records.len();
        let referenced = self.repair(&records, settled, &mut swept).await?;
        for prefix in [keys::REFERENCES, keys::MODELS, keys::CREATORS, keys::OWNED] {
            let orphaned = |object: &Listed| {
                let id = keys::id_in(&object.key)?;
                (!records.contains(&id.to_bits())).then(|| id.created_at())
            };
            swept.leftovers += self.remove_older(prefix, orphaned, settled).await?;
        }
        for prefix in [keys::PICTURES, keys::THUMBNAILS] {
            swept.pictures += self
                .remove_unreferenced(prefix, &referenced, settled)
                .await?;
        }
        Ok(swept)
    }

    /// Deletes the objects whose time, in milliseconds since the Unix epoch, is before `before`.
    async fn remove_older(
        &self,
        prefix: &str,
        time: impl Fn(&Listed) -> Option<u64>,
        before: u64,
    ) -> Result<usize, Problem> {
        let mut removed = 0;
        let mut pages = Pages::new(self, prefix);
        while let Some(objects) = pages.next().await? {
            for object in objects {
                if time(&object).is_some_and(|time| time <= before) {
                    self.store.delete(&object.key).await?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// Ids of all records. A picture that is both listed and not was being hidden: hiding is finished.
    async fn record_ids(&self) -> Result<HashSet<u128>, Problem> {
        let mut ids = HashSet::new();
        for prefix in [keys::GALLERY, keys::UNLISTED] {
            let mut pages = Pages::new(self, prefix);
            while let Some(objects) = pages.next().await? {
                for object in objects {
                    let Some(id) = keys::id_in(&object.key) else {
                        continue;
                    };
                    if !ids.insert(id.to_bits()) {
                        self.store.delete(&keys::listed(&id)).await?;
                    }
                }
            }
        }
        Ok(ids)
    }

    /// Writes the reference and the markers of records without a reference, as the first version of the hub wrote
    /// them; all others have them, since they are written before the record. Gives the digests that are referred to.
    async fn repair(
        &self,
        records: &HashSet<u128>,
        settled: u64,
        swept: &mut Swept,
    ) -> Result<HashSet<String>, Problem> {
        let mut lacking = records.clone();
        let mut referenced = HashSet::new();
        let mut pages = Pages::new(self, keys::REFERENCES);
        while let Some(objects) = pages.next().await? {
            for object in objects {
                let Some(id) = keys::id_in(&object.key) else {
                    continue;
                };
                lacking.remove(&id.to_bits());
                // A reference without a record counts until it is old enough to be removed itself.
                let counts = records.contains(&id.to_bits()) || id.created_at() > settled;
                if let Some(digest) = keys::digest_in(&object.key).filter(|_| counts) {
                    referenced.insert(digest.to_owned());
                }
            }
        }
        for id in lacking.into_iter().map(ImageId::from_bits) {
            let stored = match self.find_record(&id).await {
                Ok(Some(stored)) => stored,
                Ok(None) => continue,
                // It was logged; what it refers to is not known, so nothing may be removed after it.
                Err(problem) => return Err(problem),
            };
            self.put_markers(&stored.markers(&id)).await?;
            let reference = keys::reference(&stored.record.sha256, &id);
            self.store.put_marker(&reference).await?;
            referenced.insert(stored.record.sha256);
            swept.repaired += 1;
        }
        Ok(referenced)
    }

    async fn remove_unreferenced(
        &self,
        prefix: &str,
        referenced: &HashSet<String>,
        before: u64,
    ) -> Result<usize, Problem> {
        let mut removed = 0;
        let mut pages = Pages::new(self, prefix);
        while let Some(objects) = pages.next().await? {
            for object in objects {
                let Some(sha256) = keys::digest_in(&object.key) else {
                    tracing::error!(key = object.key, "foreign object among the pictures");
                    continue;
                };
                let may_go = object.modified_at <= before && !referenced.contains(sha256);
                if may_go && self.remove_if_unreferenced(sha256).await? {
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

/// All objects under a prefix, a list request at a time.
struct Pages<'a> {
    images: &'a Images,
    prefix: &'a str,
    after: Option<String>,
    ended: bool,
}

impl<'a> Pages<'a> {
    fn new(images: &'a Images, prefix: &'a str) -> Self {
        Self {
            images,
            prefix,
            after: None,
            ended: false,
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<Listed>>, Problem> {
        if self.ended {
            return Ok(None);
        }
        let store = &self.images.store;
        let (objects, more) = store
            .list_objects(self.prefix, self.after.take(), PAGE)
            .await?;
        self.after = objects.last().map(|object| object.key.clone());
        self.ended = !more || self.after.is_none();
        Ok(Some(objects))
    }
}

fn age_by_id(key: &str) -> Option<u64> {
    keys::id_in(key).map(|id| id.created_at())
}

/// Milliseconds since the Unix epoch, `age` ago.
fn before(age: Duration) -> u64 {
    now().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}
