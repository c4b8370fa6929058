//! API keys that the operator gave out.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::KeyName;
use crate::images::OwnerId;

/// Random bytes of a key.
const KEY_BYTES: usize = 32;
/// What keys begin with, so that one in the wrong place is recognised.
const PREFIX: &str = "dh-";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<ApiKey>,
}

/// A key, of which the hub knows only the digest, and what its holder may have.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Its name in logs and counts.
    pub name: KeyName,
    /// SHA-256 of the key in hex.
    sha256: String,
    /// Pictures that may wait or be made; absent: as for everybody.
    #[serde(default)]
    pub pictures_in_flight: Option<NonZeroU32>,
    /// Pictures an hour; absent: as for everybody.
    #[serde(default)]
    pub pictures_per_hour: Option<NonZeroU32>,
    /// Pictures a day; absent: no limit.
    #[serde(default)]
    pub pictures_per_day: Option<NonZeroU32>,
}

impl ApiKey {
    /// Whose the pictures are that are made with the key.
    pub fn owner(&self) -> OwnerId {
        // No cookie's token has a space.
        OwnerId::of(&format!("api key {}", self.name))
    }
}

/// The keys that are known, by the digest of each.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys(HashMap<[u8; 32], Arc<ApiKey>>);

impl ApiKeys {
    /// Reads a list of keys.
    ///
    /// # Errors
    /// A sentence that names the file, or the key and what is wrong with it.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the list of API keys {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("the list of API keys {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let file: File = toml::from_str(text)?;
        let mut names = HashSet::new();
        let mut keys = HashMap::new();
        for key in file.key {
            let mut digest = [0; 32];
            hex::decode_to_slice(&key.sha256, &mut digest).map_err(|_| {
                anyhow::anyhow!("sha256 of key {} is not 64 hexadecimal digits", key.name)
            })?;
            ensure!(
                names.insert(key.name.clone()),
                "two keys are named {}",
                key.name
            );
            let name = key.name.clone();
            ensure!(
                keys.insert(digest, Arc::new(key)).is_none(),
                "key {name} has the digest of another one"
            );
        }
        Ok(Self(keys))
    }

    /// Whether there are keys at all. Where there are none, nobody's is looked at.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that was sent. Looked up by its digest, so that time tells nothing of the keys.
    pub fn find(&self, sent: &str) -> Option<&Arc<ApiKey>> {
        let digest: [u8; 32] = Sha256::digest(sent).into();
        self.0.get(&digest)
    }
}

/// A new key and the lines for the list.
///
/// # Errors
/// When the system has no source of randomness.
pub fn new_key(name: &KeyName) -> anyhow::Result<(String, String)> {
    let random = URL_SAFE_NO_PAD.encode(crate::random::bytes::<KEY_BYTES>()?);
    let key = format!("{PREFIX}{random}");
    let digest = hex::encode(Sha256::digest(&key));
    let lines = format!("[[key]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n");
    Ok((key, lines))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_new_key_is_known_by_its_lines_and_no_other_is() {
        let (ci, ci_lines) = new_key(&"ci".parse().unwrap()).unwrap();
        let (team, team_lines) = new_key(&"team".parse().unwrap()).unwrap();
        let keys = ApiKeys::parse(&format!("{ci_lines}{team_lines}pictures_per_day = 9")).unwrap();
        assert_eq!(keys.find(&ci).unwrap().name.to_string(), "ci");
        let found = keys.find(&team).unwrap();
        assert_eq!(found.pictures_per_day.unwrap().get(), 9);
        assert_eq!(found.pictures_per_hour, None);
        let digest = &found.sha256;
        for other in [
            "",
            "dh-",
            "ci",
            digest,
            &ci[..ci.len() - 1],
            &format!("{ci} "),
        ] {
            assert!(keys.find(other).is_none(), "{other}");
        }
        assert!(!ci_lines.contains(&ci));
        assert!(ci.len() > 40);
    }

    #[test]
    fn the_digest_is_sha256_of_the_key() {
        // FIPS 180-2, B.1.
        let list = "[[key]]\nname = \"a\"\nsha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"";
        assert!(ApiKeys::parse(list).unwrap().find("abc").is_some());
    }

    #[test]
    fn a_list_that_is_not_as_needed_is_refused_by_name() {
        let digest = "ab".repeat(32);
        let key = |name: &str, sha256: &str, more: &str| {
            format!("[[key]]\nname = \"{name}\"\nsha256 = \"{sha256}\"\n{more}\n")
        };
        for (list, told) in [
            (key("a", "ab", ""), "key a"),
            (key("a b", &digest, ""), "name"),
            (key("a", &digest, "pictures_per_hour = 0"), "nonzero"),
            (key("a", &digest, "colour = 1"), "colour"),
            (
                key("a", &digest, "") + &key("a", &"cd".repeat(32), ""),
                "named a",
            ),
            (key("a", &digest, "") + &key("b", &digest, ""), "key b"),
        ] {
            let error = format!("{:#}", ApiKeys::parse(&list).unwrap_err());
            assert!(error.contains(told), "{told}: {error}");
        }
        assert!(ApiKeys::parse("").unwrap().is_empty());
    }
}
