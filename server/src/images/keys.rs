//! Where things lie in the store.
//!
//! | key | what |
//! |---|---|
//! | `img/<sha[0..2]>/<sha>.png` | the bytes of a picture |
//! | `thumb/<sha[0..2]>/<sha>.webp` | its thumbnail |
//! | `gallery/<inverted time>-<id>.json` | a listed record |
//! | `unlisted/<id>.json` | a record that the gallery does not show |
//! | `model/<slug>/<id>`, `creator/<name>/<id>` | empty; a listed record of that model, of that creator's models |
//! | `own/<owner>/<id>!<slug>` | empty; a record of that owner, listed or not |
//! | `ref/<sha>/<id>` | empty; the record or announced upload `id` needs those bytes |
//! | `pending/<id>.json` | an announced upload |
//! | `incoming/<id>.png` | bytes on probation, where the store does not check them itself |
//! | `removing/<sha>.json` | those bytes are being removed |
//!
//! An id begins with its inverted time, so that every list by id is newest first.

use protocol::is_sha256_hex;
use sha2::{Digest, Sha256};

use super::{ImageId, OwnerId};

pub const GALLERY: &str = "gallery/";
pub const UNLISTED: &str = "unlisted/";
pub const MODELS: &str = "model/";
pub const CREATORS: &str = "creator/";
pub const OWNED: &str = "own/";
pub const REFERENCES: &str = "ref/";
pub const PENDING: &str = "pending/";
pub const INCOMING: &str = "incoming/";
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

pub fn listed(id: &ImageId) -> String {
    format!("{GALLERY}{}-{id}.json", id.inverted_time())
}

pub fn unlisted(id: &ImageId) -> String {
    format!("{UNLISTED}{id}.json")
}

pub fn pending(id: &ImageId) -> String {
    format!("{PENDING}{id}.json")
}

pub fn incoming(id: &ImageId) -> String {
    format!("{INCOMING}{id}.png")
}

pub fn removing(sha256: &str) -> String {
    format!("{REMOVING}{sha256}.json")
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

/// The id in the name of a record, a marker, a reference or an announcement.
pub fn id_in(key: &str) -> Option<ImageId> {
    let name = key.rsplit('/').next()?;
    let name = name.strip_suffix(".json").unwrap_or(name);
    let name = name.strip_suffix(".png").unwrap_or(name);
    let name = if key.starts_with(GALLERY) {
        name.split_once('-')?.1
    } else {
        name.split('!').next()?
    };
    name.parse().ok()
}

/// The digest in the key of a picture, a thumbnail, a reference or a removal.
pub fn digest_in(key: &str) -> Option<&str> {
    let mut parts = key.rsplit('/');
    let mut name = parts.next()?;
    if key.starts_with(REFERENCES) {
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
            listed(&id),
            unlisted(&id),
            pending(&id),
            incoming(&id),
            reference(&sha, &id),
            owned(&owner, &id, "demo-hub/glyph"),
            format!("{}{id}", of_model("a/b")),
        ] {
            assert_eq!(id_in(&key), Some(id.clone()), "{key}");
        }
        for key in [
            picture(&sha),
            thumbnail(&sha),
            reference(&sha, &id),
            removing(&sha),
        ] {
            assert_eq!(digest_in(&key), Some(sha.as_str()), "{key}");
        }
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
