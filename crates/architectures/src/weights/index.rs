//! `*.safetensors.index.json`: which file of several holds which tensor.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::error::{Error, Result};

/// The index of weights that lie in several files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    /// Reads the index.
    ///
    /// # Errors
    /// [`Error::Index`] where it is none, or names a file that does not lie beside it.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let index: Self =
            serde_json::from_slice(json).map_err(|error| Error::Index(error.to_string()))?;
        for file in index.files() {
            let plain = !file.contains(['/', '\\', '\0'])
                && file.ends_with(".safetensors")
                && !file.starts_with('.');
            if !plain {
                return Err(Error::Index(format!(
                    "{file:?} is no safetensors file beside it"
                )));
            }
        }
        Ok(index)
    }

    /// Names of the files.
    pub fn files(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }

    /// The file of each tensor.
    pub(super) fn places(&self) -> &BTreeMap<String, String> {
        &self.weight_map
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_lie_beside_the_index() {
        let index = Index::parse(br#"{"metadata":{"total_size":8},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}"#).unwrap();
        assert_eq!(
            index.files().into_iter().collect::<Vec<_>>(),
            ["m-1.safetensors", "m-2.safetensors"]
        );
        for file in [
            "../m.safetensors",
            "/m.safetensors",
            "a/m.safetensors",
            "m.bin",
            ".safetensors",
        ] {
            let json = format!(r#"{{"weight_map":{{"a":"{file}"}}}}"#);
            assert!(Index::parse(json.as_bytes()).is_err(), "{file}");
        }
        assert!(Index::parse(b"{}").is_err());
    }
}
