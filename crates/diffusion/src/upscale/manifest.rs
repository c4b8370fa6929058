//! `manifest.json` of a package of the kind `upscaler`.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{Paper, UpscaleFactor, UsedUpscaler};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::manifest::{FileEntry, Graph, MAX_MANIFEST_BYTES, check_files, check_id, ensure};

/// The manifest format that this crate reads.
pub const FORMAT: u32 = 1;
/// The kind that a manifest states.
pub const KIND: &str = "upscaler";
/// Widest [`Enlargement::overlap`].
pub const MAX_OVERLAP: usize = 128;

/// A parsed and checked manifest: networks that make pictures larger.
#[derive(Clone, Debug, PartialEq)]
pub struct UpscalerManifest {
    stated: Stated,
    digest: String,
}

/// The manifest as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// [`FORMAT`].
    pub format: u32,
    /// [`KIND`].
    pub kind: String,
    /// `owner/name`.
    pub id: String,
    /// Human name.
    pub name: String,
    /// Creator: the part of `id` before the slash.
    pub creator: String,
    /// Version of the weights.
    pub version: String,
    /// One sentence for lists.
    pub summary: String,
    /// SPDX expression of the weights' licence.
    pub license: String,
    /// Paper that the network comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<Paper>,
    /// What pictures can be made larger by, each once.
    pub enlargements: Vec<Enlargement>,
    /// Every file of the package but the manifest.
    pub files: Vec<FileEntry>,
}

/// A network that makes pictures one number of times as large.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enlargement {
    /// How many times as large a side becomes.
    pub factor: UpscaleFactor,
    /// ONNX graph.
    pub file: String,
    /// Files of its external data: the package's file by the location that the graph names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub external: BTreeMap<String, String>,
    /// Its input, float32 `[1, 3, height, width]`.
    pub input: String,
    /// Its output, float32 `[1, 3, factor · height, factor · width]`.
    pub output: String,
    /// The value that stands for white; 0 stands for black.
    pub white: f32,
    /// Pixels of the picture around a part that the larger one of that part depends on, as far as one of 255 goes; up to
    /// [`MAX_OVERLAP`].
    pub overlap: usize,
}

impl Enlargement {
    /// What an engine loads.
    pub(super) fn graph(&self) -> Graph {
        Graph {
            file: self.file.clone(),
            external: self.external.clone(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// Its file and those of its external data.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let external = self.external.values().map(String::as_str);
        [&*self.file].into_iter().chain(external)
    }
}

impl UpscalerManifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidPackage`] naming the first thing that is wrong.
    pub fn parse(json: &[u8]) -> Result<Self> {
        ensure(json.len() <= MAX_MANIFEST_BYTES, || {
            format!("the manifest has more than {MAX_MANIFEST_BYTES} bytes")
        })?;
        let stated: Stated = serde_json::from_slice(json)
            .map_err(|e| Error::package(format!("the manifest is not readable: {e}")))?;
        check(&stated)?;
        Ok(Self {
            stated,
            digest: hex::encode(Sha256::digest(json)),
        })
    }

    /// The enlargement by `factor`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidRequest`] where the package has none.
    pub fn enlargement(&self, factor: UpscaleFactor) -> Result<&Enlargement> {
        let mut all = self.stated.enlargements.iter();
        all.find(|enlargement| enlargement.factor == factor)
            .ok_or_else(|| {
                let message = format!("{} makes no pictures {factor} times as large", self.id);
                Error::new(crate::ErrorKind::InvalidRequest, message)
            })
    }

    /// What recipes say of it.
    pub fn used(&self) -> UsedUpscaler {
        UsedUpscaler {
            model: self.id.clone(),
            weights_digest: self.digest.clone(),
        }
    }

    /// SHA-256 (hex) of the manifest; it names the digest of every file, so it pins them all.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl std::ops::Deref for UpscalerManifest {
    type Target = Stated;

    fn deref(&self) -> &Stated {
        &self.stated
    }
}

fn check(stated: &Stated) -> Result<()> {
    ensure(stated.kind == KIND, || {
        format!("the package is of the kind {:?}, not {KIND:?}", stated.kind)
    })?;
    ensure(stated.format == FORMAT, || {
        format!(
            "the manifest of an {KIND} has format {}; this version reads {FORMAT}",
            stated.format
        )
    })?;
    check_id(&stated.id, &stated.creator)?;
    let used = stated.enlargements.iter().flat_map(Enlargement::files);
    check_files(&stated.files, used)?;
    ensure(!stated.enlargements.is_empty(), || {
        "the package makes nothing larger".to_owned()
    })?;
    let mut factors = BTreeSet::new();
    for one in &stated.enlargements {
        let factor = one.factor;
        ensure(factors.insert(factor), || {
            format!("there are two enlargements by {factor}")
        })?;
        ensure(one.white.is_finite() && one.white > 0.0, || {
            format!("white is {} in the enlargement by {factor}", one.white)
        })?;
        ensure(one.overlap <= MAX_OVERLAP, || {
            format!(
                "the enlargement by {factor} has an overlap of {}; at most {MAX_OVERLAP} is read",
                one.overlap
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::manifest::{Manifest, stated_kind};

    fn manifest() -> Value {
        let sha256 = "0".repeat(64);
        json!({
            "format": 1, "kind": "upscaler", "id": "a/b", "name": "B", "creator": "a", "version": "1", "summary": "", "license": "MIT",
            "enlargements": [{"factor": 2, "file": "x2.onnx", "input": "in", "output": "out", "white": 1.0, "overlap": 16}],
            "files": [{"name": "x2.onnx", "bytes": 1, "sha256": sha256}],
        })
    }

    fn parse(manifest: &Value) -> std::result::Result<UpscalerManifest, String> {
        UpscalerManifest::parse(manifest.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_upscaler_has_a_manifest_of_its_own() {
        let read = parse(&manifest()).unwrap();
        assert_eq!(read.enlargement(UpscaleFactor::Two).unwrap().overlap, 16);
        assert!(read.enlargement(UpscaleFactor::Four).is_err());
        let json = manifest().to_string();
        assert_eq!(stated_kind(json.as_bytes()).unwrap().as_deref(), Some(KIND));
        let error = Manifest::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("of the kind \"upscaler\""), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Change = fn(&mut Value);
        let changes: [(Change, &str); 12] = [
            (|m| m["kind"] = "other".into(), "of the kind \"other\""),
            (|m| m["format"] = 2.into(), "format 2"),
            (|m| m["id"] = "c/b".into(), "not \"creator/name\""),
            (|m| m["enlargements"] = json!([]), "nothing larger"),
            (
                |m| m["enlargements"][0]["factor"] = 3.into(),
                "2 or 4 times",
            ),
            (|m| m["enlargements"][0]["file"] = "x".into(), "not listed"),
            (
                |m| m["enlargements"][0]["external"] = json!({"d": "y"}),
                "not listed",
            ),
            (|m| m["enlargements"][0]["white"] = 0.into(), "white is 0"),
            (
                |m| m["enlargements"][0]["overlap"] = 129.into(),
                "overlap of 129",
            ),
            (|m| m["enlargements"][0]["more"] = 1.into(), "unknown field"),
            (|m| m["files"][0]["name"] = "../x".into(), "plain file name"),
            (
                |m| {
                    let one = m["enlargements"][0].clone();
                    m["enlargements"] = json!([one.clone(), one]);
                },
                "two enlargements",
            ),
        ];
        for (change, message) in changes {
            let mut changed = manifest();
            change(&mut changed);
            let error = parse(&changed).unwrap_err();
            assert!(error.contains(message), "{message}: {error}");
        }
    }
}
