//! Files of a package in which weights have become sums.
//!
//! Beside the bytes that are asked for, main memory holds the matrices of one weight in 32 bits: its rows and columns times the ranks of
//! the LoRAs that are added to it. Neighbouring reads of one weight share them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use half::{bf16, f16};

use super::bindings::{Element, Factor, Update, bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::files::Files;

/// Files with what LoRAs add to weights of one graph.
pub(crate) struct Merged {
    files: Arc<dyn Files>,
    /// By their file, in the order of their offsets.
    sums: BTreeMap<String, Vec<Sum>>,
    held: Mutex<Option<Held>>,
}

/// A weight and what is added to it.
struct Sum {
    weight: Arc<Update>,
    added: Vec<Added>,
}

/// What a LoRA adds to a weight.
#[derive(Clone)]
pub(super) struct Added {
    /// File of the matrices.
    pub file: Arc<str>,
    pub update: Arc<Update>,
    /// What the sum of the products is multiplied by, beside its scale.
    pub weight: f32,
}

/// Matrices in 32 bits.
struct Pair {
    /// `[rank, width]`.
    down: Vec<f32>,
    /// `[rows, rank]`.
    up: Vec<f32>,
    factor: f32,
}

/// The matrices of the weight that was read last, by its file and its first byte.
struct Held {
    weight: Arc<Update>,
    pairs: Arc<Vec<Pair>>,
}

impl Merged {
    pub fn new(files: Arc<dyn Files>, all: impl Iterator<Item = Added>) -> Self {
        let mut by_place: BTreeMap<(String, u64), Sum> = BTreeMap::new();
        for added in all {
            let place = (added.update.file.clone(), added.update.offset);
            let sum = by_place.entry(place).or_insert_with(|| Sum {
                weight: Arc::clone(&added.update),
                added: Vec::new(),
            });
            sum.added.push(added);
        }
        let mut sums: BTreeMap<String, Vec<Sum>> = BTreeMap::new();
        for ((file, _), sum) in by_place {
            sums.entry(file).or_default().push(sum);
        }
        Self {
            files,
            sums,
            held: Mutex::new(None),
        }
    }

    /// The weights of a file that lie in a range of it.
    fn within(&self, file: &str, start: u64, end: u64) -> &[Sum] {
        let all = self.sums.get(file).map_or(&[][..], Vec::as_slice);
        let first = all.partition_point(|sum| sum.weight.end() <= start);
        let last = all.partition_point(|sum| sum.weight.offset < end);
        all.get(first..last).unwrap_or_default()
    }

    async fn pairs(&self, sum: &Sum) -> Result<Arc<Vec<Pair>>> {
        if let Some(held) = &*self.held.lock().unwrap_or_else(PoisonError::into_inner)
            && Arc::ptr_eq(&held.weight, &sum.weight)
        {
            return Ok(held.pairs.clone());
        }
        let mut pairs = Vec::with_capacity(sum.added.len());
        for added in &sum.added {
            let Update {
                size: [rows, width],
                rank,
                ..
            } = *added.update;
            pairs.push(Pair {
                down: self
                    .matrix(&added.file, added.update.down, rank, width)
                    .await?,
                up: self
                    .matrix(&added.file, added.update.up, rows, rank)
                    .await?,
                factor: added.update.scale * added.weight,
            });
        }
        let pairs = Arc::new(pairs);
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Held {
            weight: Arc::clone(&sum.weight),
            pairs: pairs.clone(),
        });
        Ok(pairs)
    }

    async fn matrix(
        &self,
        file: &str,
        factor: Factor,
        rows: usize,
        width: usize,
    ) -> Result<Vec<f32>> {
        let length = bytes(rows, width, factor.element) as usize;
        let raw = self.files.read(file, factor.offset, length).await?;
        let mut numbers = Vec::new();
        widened(factor.element, &raw, &mut numbers);
        Ok(numbers)
    }
}

#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
impl Files for Merged {
    fn size(&self, file: &str) -> Result<u64> {
        self.files.size(file)
    }

    async fn read(&self, file: &str, offset: u64, length: usize) -> Result<Cow<'_, [u8]>> {
        let end = offset.saturating_add(length as u64);
        let sums = self.within(file, offset, end);
        let (Some(first), Some(last)) = (sums.first(), sums.last()) else {
            return self.files.read(file, offset, length).await;
        };
        // Numbers are read whole.
        let start = offset - first.weight.beyond(offset);
        let stop = match last.weight.beyond(end) {
            0 => end,
            cut => end - cut + last.weight.element.bytes(),
        };
        let read = self
            .files
            .read(file, start, (stop - start) as usize)
            .await?;
        let mut bytes = read.into_owned();
        for sum in sums {
            let pairs = self.pairs(sum).await?;
            sum.add(&pairs, start, &mut bytes)?;
        }
        let skipped = (offset - start) as usize;
        if skipped > 0 || bytes.len() > length {
            bytes = bytes
                .get(skipped..skipped + length)
                .unwrap_or_default()
                .to_vec();
        }
        Ok(Cow::Owned(bytes))
    }
}

impl Update {
    /// Bytes of a number of the weight that lie before a place within it.
    fn beyond(&self, place: u64) -> u64 {
        if (self.offset..self.end()).contains(&place) {
            (place - self.offset) % self.element.bytes()
        } else {
            0
        }
    }
}

impl Sum {
    /// Adds to the part of the weight that is among `bytes`, which begin at `start` of the file.
    fn add(&self, pairs: &[Pair], start: u64, bytes: &mut [u8]) -> Result<()> {
        let Update {
            offset,
            element,
            size: [_, width],
            ..
        } = *self.weight;
        let from = start.max(offset);
        let to = self.weight.end().min(start + bytes.len() as u64);
        let part = bytes.get_mut((from - start) as usize..(to - start) as usize);
        let mut rest = part.unwrap_or_default();
        let mut at = ((from - offset) / element.bytes()) as usize;
        let (mut numbers, mut product) = (Vec::new(), Vec::new());
        while !rest.is_empty() {
            let (row, column) = (at / width, at % width);
            let count = (width - column).min(rest.len() / element.bytes() as usize);
            let (raw, behind) = rest.split_at_mut(count * element.bytes() as usize);
            widened(element, raw, &mut numbers);
            for pair in pairs {
                let rank = pair.down.len() / width;
                let coefficients = pair
                    .up
                    .get(row * rank..(row + 1) * rank)
                    .unwrap_or_default();
                product.clear();
                product.resize(count, 0.0);
                for (coefficient, line) in coefficients.iter().zip(pair.down.chunks_exact(width)) {
                    let line = line.get(column..column + count).unwrap_or_default();
                    for (sum, x) in product.iter_mut().zip(line) {
                        *sum += coefficient * x;
                    }
                }
                for (number, x) in numbers.iter_mut().zip(&product) {
                    *number += pair.factor * x;
                }
            }
            if !rounded(element, &numbers, raw) {
                return Err(Error::new(
                    ErrorKind::InvalidRequest,
                    format!(
                        "with these weights of LoRAs, {} has numbers that are not finite in its type, {element:?}",
                        self.weight.tensor
                    ),
                ));
            }
            at += count;
            rest = behind;
        }
        Ok(())
    }
}

fn widened(element: Element, raw: &[u8], into: &mut Vec<f32>) {
    into.clear();
    let halves = raw.as_chunks::<2>().0.iter();
    match element {
        Element::F32 => into.extend(
            raw.as_chunks::<4>()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b)),
        ),
        Element::F16 => into.extend(halves.map(|b| f16::from_le_bytes(*b).to_f32())),
        Element::BF16 => into.extend(halves.map(|b| bf16::from_le_bytes(*b).to_f32())),
    }
}

/// Writes numbers in their type; says whether all are finite in it.
fn rounded(element: Element, numbers: &[f32], into: &mut [u8]) -> bool {
    let mut finite = true;
    let halves = into.as_chunks_mut::<2>().0;
    match element {
        Element::F32 => {
            for (x, out) in numbers.iter().zip(into.as_chunks_mut::<4>().0) {
                finite &= x.is_finite();
                *out = x.to_le_bytes();
            }
        }
        Element::F16 => {
            for (x, out) in numbers.iter().zip(halves) {
                let x = f16::from_f32(*x);
                finite &= x.is_finite();
                *out = x.to_le_bytes();
            }
        }
        Element::BF16 => {
            for (x, out) in numbers.iter().zip(halves) {
                let x = bf16::from_f32(*x);
                finite &= x.is_finite();
                *out = x.to_le_bytes();
            }
        }
    }
    finite
}

#[cfg(test)]
mod tests;
