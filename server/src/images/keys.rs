//! Where things lie in the store.
//!
//! | key | what |
//! |---|---|
//! | `img/<sha[0..2]>/<sha>.png` | the bytes of a picture |
//! | `thumb/<sha[0..2]>/<sha>.webp` | its thumbnail |
//! | `record/<id>.json` | the record of a picture for all its life, then its tombstone |
//! | `listed/<id>` | empty; a record in the gallery |
//! | `model/<slug>/<id>`, `creator/<name>/<id>` | empty; a listed record of that model, of that creator's models |
//! | `own/<owner>/<id>!<slug>` | empty; a record of that owner, whoever sees it |
//! | `expiry/<milliseconds>-<id>` | empty; that record goes at that time unless it is saved |
//! | `removed/<id>` | empty; the removal of that record was begun |
//! | `ref/<sha>/<id>` | empty; the record or announced upload `id` needs those bytes |
//! | `pending/<id>.json` | an announced upload |
//! | `incoming/<id>.png` | bytes on probation, where the store does not check them itself |
//! | `removing/<sha>/<milliseconds>-<random>` | empty; somebody is removing those bytes since then |
//! | `marked/<milliseconds>/<key>` | empty; a sweep found at that time that nothing needs the object `key` |
//! | `denied/<sha>.json` | the operator accepts those bytes no more |
//! | `report/open/<id>/<client>.json`, `report/resolved/…` | what a visitor says against a picture |
//! | `input/file/<id>` | the bytes of a picture that requests begin with, or of a mask |
//! | `input/record/<id>.json` | whose it is |
//! | `gallery/<inverted time>-<id>.json`, `unlisted/<id>.json` | records of the first format |
//!
//! An id begins with its inverted time, so that every list by id is newest first. Whatever is empty is derived from
//! the records and only leads to them: a reader asks the record.

use protocol::is_sha256_hex;
use sha2::{Digest, Sha256};

use super::{ImageId, OwnerId};

pub const RECORDS: &str = "record/";
pub const LISTED: &str = "listed/";
pub const EXPIRIES: &str = "expiry/";
pub const REMOVED: &str = "removed/";
pub const MARKED: &str = "marked/";
pub const DENIED: &str = "denied/";
pub const OPEN_REPORTS: &str = "report/open/";
pub const RESOLVED_REPORTS: &str = "report/resolved/";
/// Records of the first format.
pub const OLD_LISTED: &str = "gallery/";
pub const OLD_UNLISTED: &str = "unlisted/";
pub const MODELS: &str = "model/";
pub const CREATORS: &str = "creator/";
pub const OWNED: &str = "own/";
pub const REFERENCES: &str = "ref/";
pub const PENDING: &str = "pending/";
pub const INCOMING: &str = "incoming/";
pub const INPUT_FILES: &str = "input/file/";
pub const INPUT_RECORDS: &str = "input/record/";
pub const REMOVING: &str = "removing/";
pub const PICTURES: &str = "img/";
pub const THUMBNAILS: &str = "thumb/";

/// Longest name of a model in a key: the embedded store names files after keys.
const MAX_SLUG: usize = 80;

/// Key of the bytes with that digest (64 hex digits).
pub fn picture(sha256: &str) -> String {
    format!("{PICTURES}{}/{sha256}.png", fan(sha256))
}

pub fn thumbnail(sha256: &str) -> String {
    format!("{THUMBNAILS}{}/{sha256}.webp", fan(sha256))
}

fn fan(sha256: &str) -> &str {
    sha256.get(..2).unwrap_or_default()
}

pub fn record(id: &ImageId) -> String {
    format!("{RECORDS}{id}.json")
}

pub fn listed(id: &ImageId) -> String {
    format!("{LISTED}{id}")
}

/// Times have as many digits until the year 2286.
pub fn expiry(at: u64, id: &ImageId) -> String {
    format!("{EXPIRIES}{at:013}-{id}")
}

pub fn removed(id: &ImageId) -> String {
    format!("{REMOVED}{id}")
}

pub fn marked(at: u64, key: &str) -> String {
    format!("{MARKED}{at:013}/{key}")
}

pub fn denied(sha256: &str) -> String {
    format!("{DENIED}{sha256}.json")
}

pub fn open_reports(id: &ImageId) -> String {
    format!("{OPEN_REPORTS}{id}/")
}

pub fn resolved_reports(id: &ImageId) -> String {
    format!("{RESOLVED_REPORTS}{id}/")
}

pub fn old_listed(id: &ImageId) -> String {
    format!("{OLD_LISTED}{}-{id}.json", id.inverted_time())
}

pub fn old_unlisted(id: &ImageId) -> String {
    format!("{OLD_UNLISTED}{id}.json")
}

pub fn pending(id: &ImageId) -> String {
    format!("{PENDING}{id}.json")
}

pub fn incoming(id: &ImageId) -> String {
    format!("{INCOMING}{id}.png")
}

pub fn input_file(id: &ImageId) -> String {
    format!("{INPUT_FILES}{id}")
}

pub fn input_record(id: &ImageId) -> String {
    format!("{INPUT_RECORDS}{id}.json")
}

pub fn removing(sha256: &str, since: u64, random: u64) -> String {
    format!("{REMOVING}{sha256}/{since:013}-{random:016x}")
}

/// Prefix of the removals of those bytes, those of the first format (`<sha>.json`) included.
pub fn removals(sha256: &str) -> String {
    format!("{REMOVING}{sha256}")
}

/// The time in the key of an expiry, a mark or a removal, in milliseconds since the Unix epoch.
pub fn time_in(key: &str) -> Option<u64> {
    let rest = key
        .strip_prefix(EXPIRIES)
        .or_else(|| key.strip_prefix(MARKED));
    let rest = match rest {
        Some(rest) => rest,
        None => key.strip_prefix(REMOVING)?.split_once('/')?.1,
    };
    rest.split(['-', '/']).next()?.parse().ok()
}

/// The key that a mark is of.
pub fn marked_key(mark: &str) -> Option<&str> {
    mark.strip_prefix(MARKED)?
        .split_once('/')
        .map(|(_, key)| key)
}

/// Prefix of the references to those bytes.
pub fn references(sha256: &str) -> String {
    format!("{REFERENCES}{sha256}/")
}

pub fn reference(sha256: &str, id: &ImageId) -> String {
    format!("{REFERENCES}{sha256}/{id}")
}

/// Prefix of a model's pictures.
pub fn of_model(model: &str) -> String {
    format!("{MODELS}{}/", slug(model))
}

/// Prefix of the pictures of a creator's models.
pub fn of_creator(creator: &str) -> String {
    format!("{CREATORS}{}/", slug(creator))
}

/// Prefix of an owner's pictures.
pub fn of_owner(owner: &OwnerId) -> String {
    format!("{OWNED}{owner}/")
}

/// The owner's own marker of a picture.
pub fn owned(owner: &OwnerId, id: &ImageId, model: &str) -> String {
    format!("{}{id}!{}", of_owner(owner), slug(model))
}

/// The part of a model's id before the slash.
pub fn creator(model: &str) -> &str {
    model.split_once('/').map_or(model, |(creator, _)| creator)
}

/// A name as part of a key; `/` becomes `!`.
pub fn slug(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if name.len() <= MAX_SLUG && !name.is_empty() && name.chars().all(plain) {
        name.replace('/', "!")
    } else {
        format!("x-{}", hex::encode(&Sha256::digest(name)[..16]))
    }
}

/// The id in the name of a record, a marker, a reference, an announcement or a report.
pub fn id_in(key: &str) -> Option<ImageId> {
    let mut parts = key.rsplit('/');
    let mut name = parts.next()?;
    if key.starts_with("report/") {
        name = parts.next()?;
    }
    let name = name.strip_suffix(".json").unwrap_or(name);
    let name = name.strip_suffix(".png").unwrap_or(name);
    let name = if key.starts_with(OLD_LISTED) || key.starts_with(EXPIRIES) {
        name.split_once('-')?.1
    } else {
        name.split('!').next()?
    };
    name.parse().ok()
}

/// The digest in the key of a picture, a thumbnail, a reference, a removal or a denial.
pub fn digest_in(key: &str) -> Option<&str> {
    let mut parts = key.rsplit('/');
    let mut name = parts.next()?;
    if key.starts_with(REFERENCES) || (key.starts_with(REMOVING) && !name.ends_with(".json")) {
        name = parts.next()?;
    }
    let digest = name.split('.').next()?;
    is_sha256_hex(digest).then_some(digest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_went_into_a_key_comes_out() {
        let id = ImageId::new().unwrap();
        let sha = "0f".repeat(32);
        let owner = OwnerId::of("token");
        for key in [
            record(&id),
            listed(&id),
            old_listed(&id),
            old_unlisted(&id),
            expiry(1_800_000_000_000, &id),
            removed(&id),
            pending(&id),
            incoming(&id),
            input_file(&id),
            input_record(&id),
            reference(&sha, &id),
            owned(&owner, &id, "demo-hub/glyph"),
            format!("{}{id}", of_model("a/b")),
            format!("{}client.json", open_reports(&id)),
        ] {
            assert_eq!(id_in(&key), Some(id.clone()), "{key}");
        }
        for key in [
            picture(&sha),
            thumbnail(&sha),
            reference(&sha, &id),
            removing(&sha, 5, 7),
            format!("removing/{sha}.json"),
            denied(&sha),
        ] {
            assert_eq!(digest_in(&key), Some(sha.as_str()), "{key}");
        }
        for (key, time) in [
            (expiry(5, &id), Some(5)),
            (
                marked(1_800_000_000_000, &picture(&sha)),
                Some(1_800_000_000_000),
            ),
            (removing(&sha, 5, 7), Some(5)),
            (format!("removing/{sha}.json"), None),
        ] {
            assert_eq!(time_in(&key), time, "{key}");
        }
        let key = reference(&sha, &id);
        assert_eq!(marked_key(&marked(5, &key)), Some(key.as_str()));
        assert!(removing(&sha, 5, 7).starts_with(&removals(&sha)));
        assert_eq!(id_in("gallery/foreign.json"), None);
        assert_eq!(digest_in("img/0f/foreign.png"), None);
    }

    #[test]
    fn names_stay_apart_and_short() {
        assert_eq!(slug("demo-hub/glyph"), "demo-hub!glyph");
        let strange = [
            "a b/c",
            "a_b/c",
            "",
            "é",
            "../x",
            &"x".repeat(81),
            &"x".repeat(82),
        ];
        let slugs: Vec<String> = strange.iter().map(|name| slug(name)).collect();
        for (i, slug) in slugs.iter().enumerate() {
            assert!(!slug.contains('/') && slug.len() <= MAX_SLUG, "{slug}");
            assert!(!slugs[..i].contains(slug), "{slug}");
        }
        assert_eq!(creator("demo-hub/glyph"), "demo-hub");
    }
}
