//! What is in the bucket, by its keys alone, and what of it nothing explains.

use std::collections::{HashMap, HashSet};

use protocol::{Problem, ProblemCode};

use super::pages::Pages;
use super::{SweepError, Times};
use crate::images::records::Kept;
use crate::images::{ImageId, Images, keys};

/// Fewer objects than this that nothing explains are an accident.
const FEW: usize = 3;
/// More than one in so many that nothing explains is no accident.
const PLAUSIBLE_SHARE: usize = 5;

/// Bits of the markers of a listed picture.
pub const PUBLIC: u8 = 1 | 2 | 4;
/// Bit of its owner's marker.
pub const OWNED: u8 = 8;

type Digest = [u8; 32];

/// The bucket's keys, packed: about 300 bytes for each picture.
#[derive(Default)]
pub struct Inventory {
    /// Ids of records, and when each was changed.
    pub records: HashMap<u128, u64>,
    /// Bits of the markers that lead to an id.
    pub markers: HashMap<u128, u8>,
    /// Ids whose removal was begun.
    removed: HashSet<u128>,
    /// Ids of uploads that are not committed.
    pending: HashSet<u128>,
    references: HashMap<Digest, Vec<u128>>,
    /// Ids with a reference.
    referring: HashSet<u128>,
    /// Digests of pictures and thumbnails, and when each was written.
    pictures: HashMap<Digest, u64>,
    thumbnails: HashMap<Digest, u64>,
    /// Keys of the first format whose record has a key of its own.
    superseded: Vec<String>,
    /// A record without a reference is damaged: what it refers to is not known.
    uncertain: bool,
}

/// What nothing explains.
#[derive(Debug, Default)]
pub struct Unexplained {
    /// Keys that a later sweep may remove.
    pub keys: HashSet<String>,
    /// Records whose picture is not there.
    pub missing: usize,
    strays: usize,
    pictures: usize,
    orphans: usize,
    references: usize,
    records: usize,
}

impl Inventory {
    /// Lists the bucket: what an upload leaves behind first, what comes of it later.
    pub async fn take(images: &Images) -> Result<Self, Problem> {
        let mut all = Self::default();
        all.list_records(images).await?;
        for (prefix, bit) in [
            (keys::LISTED, 1),
            (keys::MODELS, 2),
            (keys::CREATORS, 4),
            (keys::OWNED, OWNED),
        ] {
            let mut pages = Pages::new(images, prefix);
            while let Some(objects) = pages.next().await? {
                for id in objects.iter().filter_map(|object| keys::id_in(&object.key)) {
                    *all.markers.entry(id.to_bits()).or_default() |= bit;
                }
            }
        }
        all.list_references(images).await?;
        for prefix in [keys::PICTURES, keys::THUMBNAILS] {
            let mut pages = Pages::new(images, prefix);
            while let Some(objects) = pages.next().await? {
                for object in objects {
                    let Some(digest) = digest_in(&object.key) else {
                        tracing::error!(key = object.key, "foreign object among the pictures");
                        continue;
                    };
                    let found = match prefix {
                        keys::PICTURES => &mut all.pictures,
                        _ => &mut all.thumbnails,
                    };
                    found.insert(digest, object.modified_at);
                }
            }
        }
        Ok(all)
    }

    async fn list_records(&mut self, images: &Images) -> Result<(), Problem> {
        for prefix in [keys::REMOVED, keys::PENDING, keys::RECORDS] {
            let mut pages = Pages::new(images, prefix);
            while let Some(objects) = pages.next().await? {
                for object in objects {
                    let Some(id) = keys::id_in(&object.key).map(|id| id.to_bits()) else {
                        continue;
                    };
                    match prefix {
                        keys::REMOVED => self.removed.insert(id),
                        keys::PENDING => self.pending.insert(id),
                        _ => self.records.insert(id, object.modified_at).is_none(),
                    };
                }
            }
        }
        for prefix in [keys::OLD_LISTED, keys::OLD_UNLISTED] {
            let mut pages = Pages::new(images, prefix);
            while let Some(objects) = pages.next().await? {
                let old = objects.into_iter().map(|object| object.key);
                self.superseded.extend(old.filter(|key| {
                    let id = keys::id_in(key);
                    id.is_some_and(|id| self.records.contains_key(&id.to_bits()))
                }));
            }
        }
        Ok(())
    }

    async fn list_references(&mut self, images: &Images) -> Result<(), Problem> {
        let mut pages = Pages::new(images, keys::REFERENCES);
        while let Some(objects) = pages.next().await? {
            for key in objects.into_iter().map(|object| object.key) {
                if let (Some(id), Some(digest)) = (keys::id_in(&key), digest_in(&key)) {
                    self.referring.insert(id.to_bits());
                    let ids = self.references.entry(digest).or_default();
                    ids.push(id.to_bits());
                }
            }
        }
        Ok(())
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        self.records.len()
    }

    /// Writes the references of records that have none, as the first hubs wrote them; all others have one before they
    /// have a record. How many.
    pub async fn write_missing_references(&mut self, images: &Images) -> Result<usize, Problem> {
        let lacking: Vec<u128> = self
            .records
            .keys()
            .filter(|id| !self.referring.contains(id) && !self.removed.contains(id))
            .copied()
            .collect();
        let mut written = 0;
        for bits in lacking {
            let id = ImageId::from_bits(bits);
            let stored = match images.load(&id).await {
                Ok(Some(loaded)) => match loaded.kept {
                    Kept::Picture(stored) => stored,
                    Kept::Removed(_) => {
                        // Its removal goes on where the marker of it was lost.
                        images.store().put_marker(&keys::removed(&id)).await?;
                        self.removed.insert(bits);
                        continue;
                    }
                },
                Ok(None) => continue,
                Err(problem) if problem.code == ProblemCode::Internal => {
                    self.uncertain = true;
                    continue;
                }
                Err(problem) => return Err(problem),
            };
            let key = keys::reference(&stored.sha256, &id);
            images.store().put_marker(&key).await?;
            if let Some(digest) = digest_in(&key) {
                self.references.entry(digest).or_default().push(bits);
            }
            written += 1;
        }
        Ok(written)
    }

    /// What nothing explains, and how much of the whole that is.
    pub fn judge(&mut self, times: &Times) -> Unexplained {
        let mut found = Unexplained {
            pictures: self.pictures.len(),
            records: self.records.len().saturating_sub(self.removed.len()),
            ..Unexplained::default()
        };
        found.keys.extend(std::mem::take(&mut self.superseded));
        let mut needed = HashSet::new();
        for (digest, ids) in &self.references {
            let mut shown = 0;
            for bits in ids {
                found.references += 1;
                let has_record = self.records.contains_key(bits);
                let id = ImageId::from_bits(*bits);
                if has_record || self.pending.contains(bits) || id.created_at() > times.settled {
                    needed.insert(*digest);
                    shown += usize::from(has_record && !self.removed.contains(bits));
                } else {
                    found.orphans += 1;
                    let key = keys::reference(&hex::encode(digest), &id);
                    found.keys.insert(key);
                }
            }
            if !self.pictures.contains_key(digest) {
                found.missing += shown;
            }
        }
        if self.uncertain {
            tracing::error!("a record without a reference is damaged: no bytes are removed");
            return found;
        }
        for (of, key_of, count) in [
            (&self.pictures, keys::picture as fn(&str) -> String, 1),
            (&self.thumbnails, keys::thumbnail, 0),
        ] {
            for (digest, modified_at) in of {
                if *modified_at <= times.settled && !needed.contains(digest) {
                    found.strays += count;
                    found.keys.insert(key_of(&hex::encode(digest)));
                }
            }
        }
        found
    }
}

impl Unexplained {
    /// Whether this much may be an accident.
    ///
    /// # Errors
    /// [`SweepError::Implausible`].
    pub fn plausible(&self) -> Result<(), SweepError> {
        for (some, all, what) in [
            (
                self.strays,
                self.pictures,
                "pictures are needed by no record",
            ),
            (
                self.orphans,
                self.references,
                "references are of records that are not there",
            ),
            (self.missing, self.records, "records miss their picture"),
        ] {
            if some >= FEW && some.saturating_mul(PLAUSIBLE_SHARE) > all {
                return Err(SweepError::Implausible {
                    what: format!("{some} of {all} {what}"),
                });
            }
        }
        Ok(())
    }
}

fn digest_in(key: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    hex::decode_to_slice(keys::digest_in(key)?, &mut digest).ok()?;
    Some(digest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_share_is_judged_where_there_are_more_than_a_few() {
        let judged = |strays, pictures, missing, records| {
            let found = Unexplained {
                strays,
                pictures,
                missing,
                records,
                ..Unexplained::default()
            };
            found.plausible().map_err(|error| error.to_string())
        };
        assert_eq!(judged(0, 0, 0, 0), Ok(()));
        assert_eq!(judged(2, 2, 2, 2), Ok(()));
        assert_eq!(judged(20, 100, 0, 80), Ok(()));
        for (strays, pictures, missing, records, said) in [
            (3, 3, 0, 0, "3 of 3 pictures"),
            (21, 100, 0, 79, "21 of 100 pictures"),
            (0, 5, 8, 13, "8 of 13 records"),
        ] {
            let told = judged(strays, pictures, missing, records).unwrap_err();
            assert!(told.contains(said) && told.contains("--force"), "{told}");
        }
    }
}
