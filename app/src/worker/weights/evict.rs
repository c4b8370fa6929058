//! Which stored models make room for another one.

use serde::{Deserialize, Serialize};

/// A stored model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredModel {
    /// SHA-256 of its manifest.
    pub digest: String,
    /// `owner/name`.
    pub id: String,
    /// Human name.
    pub name: String,
    /// Bytes that are stored of its files.
    pub stored_bytes: u64,
    /// Bytes of all of its files.
    pub total_bytes: u64,
    /// When it was used last, in milliseconds since 1970.
    pub last_used_ms: f64,
}

/// What a download needs that the browser does not give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeedsRoom {
    /// Bytes that are still to be stored.
    pub needed: u64,
    /// Bytes that the browser would still take.
    pub available: u64,
    /// Models whose deletion makes enough room, least recently used first; empty where none do.
    pub evictable: Vec<StoredModel>,
}

/// Room is asked for with this much to spare: the browser's own files grow too.
const SPARE: u64 = 8 << 20;

/// Checks `quota` and `usage` before `needed` more bytes are stored; `models` are those stored, `keep` is the digest of
/// the one that is wanted.
///
/// # Errors
/// [`NeedsRoom`] where they do not fit.
pub fn check(
    needed: u64,
    quota: u64,
    usage: u64,
    models: &[StoredModel],
    keep: &str,
) -> Result<(), NeedsRoom> {
    let available = quota.saturating_sub(usage).saturating_sub(SPARE);
    if needed <= available {
        return Ok(());
    }
    Err(refused(needed, available, models, keep))
}

/// The question where the browser takes `available` bytes and no more: some browsers tell of a quota that is not theirs, and
/// then only a write that fails says so.
pub fn refused(needed: u64, available: u64, models: &[StoredModel], keep: &str) -> NeedsRoom {
    let mut others: Vec<&StoredModel> = models
        .iter()
        .filter(|m| m.digest != keep && m.stored_bytes > 0)
        .collect();
    others.sort_by(|a, b| a.last_used_ms.total_cmp(&b.last_used_ms));
    let mut evictable = Vec::new();
    let mut room = available;
    for model in others {
        if room >= needed {
            break;
        }
        room += model.stored_bytes;
        evictable.push(model.clone());
    }
    if room < needed {
        evictable.clear();
    }
    NeedsRoom {
        needed,
        available,
        evictable,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MIB: u64 = 1 << 20;

    fn model(digest: &str, mib: u64, last_used_ms: f64) -> StoredModel {
        StoredModel {
            digest: digest.into(),
            id: format!("owner/{digest}"),
            name: digest.into(),
            stored_bytes: mib * MIB,
            total_bytes: mib * MIB,
            last_used_ms,
        }
    }

    fn evicted(needed_mib: u64, models: &[StoredModel]) -> Vec<String> {
        let usage = models.iter().map(|m| m.stored_bytes).sum();
        let needs = check(needed_mib * MIB, 108 * MIB, usage, models, "wanted").unwrap_err();
        needs.evictable.into_iter().map(|m| m.digest).collect()
    }

    #[test]
    fn what_fits_is_stored() {
        assert_eq!(check(100 * MIB, 108 * MIB, 0, &[], "wanted"), Ok(()));
        let refused = check(101 * MIB, 108 * MIB, 0, &[], "wanted").unwrap_err();
        assert_eq!((refused.needed, refused.available), (101 * MIB, 100 * MIB));
    }

    #[test]
    fn the_least_recently_used_go_first_and_no_more_than_needed() {
        let models = [
            model("new", 30, 3.0),
            model("old", 30, 1.0),
            model("middle", 30, 2.0),
        ];
        assert_eq!(evicted(20, &models), ["old"]);
        assert_eq!(evicted(60, &models), ["old", "middle"]);
    }

    #[test]
    fn a_disk_that_is_full_against_the_estimate_asks_for_the_same() {
        let models = [model("new", 30, 2.0), model("old", 30, 1.0)];
        let needs = refused(20 * MIB, 0, &models, "wanted");
        assert_eq!((needs.needed, needs.available), (20 * MIB, 0));
        assert_eq!(needs.evictable.len(), 1);
        assert_eq!(needs.evictable[0].digest, "old");
    }

    #[test]
    fn nothing_goes_where_it_would_not_help_and_the_wanted_model_stays() {
        let models = [model("wanted", 50, 1.0), model("other", 20, 2.0)];
        assert_eq!(evicted(90, &models), [] as [&str; 0]);
        assert_eq!(evicted(45, &models), ["other"]);
    }
}
