//! What a LoRA adds to: for each pair of matrices the place of a weight in the files of a package.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::Files;
use crate::manifest::{LoraEntry, Manifest};

/// The only format of [`Bindings`].
pub const FORMAT: u32 = 1;
/// Largest file of bindings.
const MAX_BYTES: usize = 32 << 20;
/// Largest rank, and largest number of rows and columns.
const MAX_RANK: usize = 1 << 12;
const MAX_SIDE: usize = 1 << 24;

/// A file of bindings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bindings {
    /// [`FORMAT`].
    pub format: u32,
    /// One for each weight that is added to.
    pub updates: Vec<Update>,
}

/// Type of stored numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// The upper halves of 32-bit floats.
    BF16,
}

impl Element {
    /// Bytes of a number.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

/// A matrix of a LoRA's file, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factor {
    /// First byte in the file.
    pub offset: u64,
    /// Type of its numbers.
    pub element: Element,
}

/// What is added to one weight: `scale` times `up` times `down`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// The manifest's name of the graph that reads the weight.
    pub graph: String,
    /// The weight's name, for messages.
    pub tensor: String,
    /// The package's file that it is in.
    pub file: String,
    /// Its first byte.
    pub offset: u64,
    /// Type of its numbers.
    pub element: Element,
    /// Its rows, and numbers in each.
    pub size: [usize; 2],
    /// `[rank, size[1]]`.
    pub down: Factor,
    /// `[size[0], rank]`.
    pub up: Factor,
    /// The inner dimension of the product.
    pub rank: usize,
    /// What the product is multiplied by at weight 1.
    pub scale: f32,
}

impl Update {
    /// The byte behind the weight.
    pub(super) fn end(&self) -> u64 {
        let [rows, width] = self.size;
        self.offset.saturating_add(bytes(rows, width, self.element))
    }
}

/// Bytes of a matrix.
pub(super) fn bytes(rows: usize, width: usize, element: Element) -> u64 {
    (rows as u64)
        .saturating_mul(width as u64)
        .saturating_mul(element.bytes())
}

impl Bindings {
    /// Reads a file of bindings.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidPackage`].
    pub fn parse(json: &[u8], name: &str) -> Result<Self> {
        let unreadable =
            |problem: String| Error::package(format!("{name} is not readable: {problem}"));
        if json.len() > MAX_BYTES {
            return Err(unreadable(format!("it has {} bytes", json.len())));
        }
        let read: Self = serde_json::from_slice(json).map_err(|e| unreadable(e.to_string()))?;
        if read.format != FORMAT {
            return Err(unreadable(format!("its format is {}", read.format)));
        }
        Ok(read)
    }
}

/// Whether updates stay within the package's files.
pub(super) fn check(
    updates: &[Update],
    manifest: &Manifest,
    files: &dyn Files,
    entry: &LoraEntry,
) -> Result<()> {
    let of_lora = files.size(&entry.file)?;
    for update in updates {
        let fault = |problem: &str| {
            let (name, tensor) = (&entry.name, &update.tensor);
            Error::package(format!(
                "the LoRA {name:?} and the weight {tensor}: {problem}"
            ))
        };
        let graph = manifest.graphs.get(&update.graph);
        let reads =
            graph.is_some_and(|graph| graph.external.values().any(|file| *file == update.file));
        if !reads {
            return Err(fault("no graph reads it"));
        }
        let [rows, width] = update.size;
        let sound = (1..=MAX_RANK).contains(&update.rank)
            && [rows, width]
                .iter()
                .all(|side| (1..=MAX_SIDE).contains(side))
            && update.scale.is_finite();
        if !sound {
            return Err(fault("its sizes or its scale cannot be"));
        }
        let within = |factor: Factor, rows, width| {
            let length = bytes(rows, width, factor.element);
            factor
                .offset
                .checked_add(length)
                .is_some_and(|end| end <= of_lora)
        };
        let fits = update.end() <= files.size(&update.file)?
            && within(update.down, update.rank, width)
            && within(update.up, rows, update.rank);
        if !fits {
            return Err(fault("it lies beyond the end of a file"));
        }
    }
    check_apart(updates)
}

/// A LoRA adds to a weight once.
fn check_apart(updates: &[Update]) -> Result<()> {
    let mut sorted: Vec<&Update> = updates.iter().collect();
    sorted.sort_by_key(|update| (&update.graph, &update.file, update.offset));
    for pair in sorted.windows(2) {
        if let [one, other] = pair
            && (&one.graph, &one.file) == (&other.graph, &other.file)
            && other.offset < one.end()
        {
            return Err(overlap(one, other));
        }
    }
    Ok(())
}

/// Several LoRAs add to the same weights, or to others.
pub(super) fn check_together<'u>(updates: impl Iterator<Item = &'u Update>) -> Result<()> {
    let mut sorted: Vec<&Update> = updates.collect();
    sorted.sort_by_key(|update| (&update.graph, &update.file, update.offset));
    for pair in sorted.windows(2) {
        if let [one, other] = pair
            && (&one.graph, &one.file) == (&other.graph, &other.file)
            && other.offset < one.end()
            && (one.offset, one.size, one.element) != (other.offset, other.size, other.element)
        {
            return Err(overlap(one, other));
        }
    }
    Ok(())
}

fn overlap(one: &Update, other: &Update) -> Error {
    let (one, other) = (&one.tensor, &other.tensor);
    Error::package(format!("the weights {one} and {other} lie over each other"))
}
