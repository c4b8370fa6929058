//! The weights of a `model.json`, with their dimensions as graphs have them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::weights::{Element, Stored};

/// What the weights' place is called in messages.
pub(super) const FILE: &str = "the weights";
/// Most bytes of weights that are read.
const MAX_BYTES: usize = 1 << 30;

/// A group of weights, which lie one behind the other in all of its files together.
#[derive(Deserialize)]
struct Group {
    paths: Vec<String>,
    weights: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    dtype: String,
    quantization: Option<Json>,
}

/// Weights in memory under the names that builders give them: `layer.weight`, `[to, from, side, side]`, and `layer.bias`.
#[derive(Debug)]
pub(super) struct Turned {
    bytes: Vec<u8>,
    stored: BTreeMap<String, Stored>,
}

/// Names of the files of weights that a `model.json` names.
///
/// # Errors
/// [`Error::Layers`] where it names none as it should.
pub fn shards(json: &Json) -> Result<Vec<String>> {
    Ok(groups(json)?
        .into_iter()
        .flat_map(|group| group.paths)
        .collect())
}

fn groups(json: &Json) -> Result<Vec<Group>> {
    let manifest = json.get("weightsManifest").cloned().unwrap_or_default();
    serde_json::from_value(manifest).map_err(|error| wrong("weightsManifest", error.to_string()))
}

impl Turned {
    pub fn read(json: &Json, shard: &mut dyn FnMut(&str) -> Result<Vec<u8>>) -> Result<Self> {
        let mut all = Self {
            bytes: Vec::new(),
            stored: BTreeMap::new(),
        };
        for group in groups(json)? {
            let mut bytes = Vec::new();
            for path in &group.paths {
                bytes.extend(shard(path)?);
                if bytes.len() > MAX_BYTES {
                    return Err(wrong(
                        path,
                        format!("more than {MAX_BYTES} bytes of weights"),
                    ));
                }
            }
            let mut rest = &bytes[..];
            for entry in &group.weights {
                rest = all.take(entry, rest)?;
            }
            if !rest.is_empty() {
                let problem = format!("{} bytes are behind the last of its weights", rest.len());
                return Err(wrong(&group.paths.join(", "), problem));
            }
        }
        Ok(all)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn stored(&self) -> BTreeMap<String, Stored> {
        self.stored.clone()
    }

    /// The weights as a file.
    pub fn reader(&self) -> &Self {
        self
    }

    /// Takes a weight from the start of `bytes`; gives what is behind it.
    fn take<'b>(&mut self, entry: &Entry, bytes: &'b [u8]) -> Result<&'b [u8]> {
        if entry.dtype != "float32" || entry.quantization.is_some() {
            let problem = format!(
                "it is stored as {}, or quantised; float32 is read",
                entry.dtype
            );
            return Err(wrong(&entry.name, problem));
        }
        let count = entry
            .shape
            .iter()
            .try_fold(4usize, |n, &size| n.checked_mul(size));
        let (own, rest) = count
            .and_then(|count| bytes.split_at_checked(count))
            .ok_or_else(|| wrong(&entry.name, "the files end before it does"))?;
        // Layers within layers have their names before, the optimiser's count behind.
        let (layer, kind) = match entry.name.split('/').collect::<Vec<_>>()[..] {
            [layer, .., kind] => (layer, kind.trim_end_matches(":0")),
            _ => return Err(wrong(&entry.name, "its name is that of no layer's weight")),
        };
        let numbers = own.as_chunks::<4>().0;
        let (name, shape, turned) = match (kind, &entry.shape[..]) {
            ("kernel", &[down, across, from, to]) => {
                let place =
                    |to_: usize, from_: usize, pixel: usize| (pixel * from + from_) * to + to_;
                let mut turned = Vec::with_capacity(numbers.len());
                for to_ in 0..to {
                    for from_ in 0..from {
                        turned.extend(
                            (0..down * across).map(|pixel| numbers[place(to_, from_, pixel)]),
                        );
                    }
                }
                ("weight", vec![to, from, down, across], turned)
            }
            ("bias", &[to]) => ("bias", vec![to], numbers.to_vec()),
            _ => {
                let problem = format!(
                    "a {kind} of the shape {:?} is read by no layer",
                    entry.shape
                );
                return Err(wrong(&entry.name, problem));
            }
        };
        let stored = Stored {
            element: Element::F32,
            shape,
            offset: self.bytes.len() as u64,
            length: own.len() as u64,
        };
        self.bytes.extend(turned.as_flattened());
        let name = format!("{layer}.{name}");
        if self.stored.insert(name.clone(), stored).is_some() {
            return Err(wrong(&name, "it is there twice"));
        }
        Ok(rest)
    }
}

fn wrong(weight: &str, problem: impl Into<String>) -> Error {
    Error::Layers {
        layer: weight.to_owned(),
        problem: problem.into(),
    }
}
