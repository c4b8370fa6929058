//! Writing a file of weights, one tensor after the other in bounded memory.

use std::io::{self, Write};
use std::ops::Range;

use half::{bf16, f16};

use super::item::ALIGNMENT;
use super::rounding::{channel, halved};
use super::{Blocks, How, Item};
use crate::error::{Error, Result};
use crate::weights::Element;

/// Bytes of the author's that are read at a time, or one row where it has more.
const CHUNK: u64 = 1 << 20;

/// Author's files that parts are read of.
pub trait ReadAt {
    /// Fills `into` with the bytes of a file from `offset` on.
    ///
    /// # Errors
    /// When they cannot be read, or the file ends before.
    fn read_at(&mut self, file: &str, offset: u64, into: &mut [u8]) -> io::Result<()>;
}

/// A file of weights that is to be written: which tensors of the author's, where, and in how many bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    files: Vec<String>,
    items: Vec<Item>,
}

impl Packed {
    /// Lays tensors one behind the other.
    pub(crate) fn new(files: &[String]) -> Self {
        Self {
            files: files.to_vec(),
            items: Vec::new(),
        }
    }

    /// Adds a tensor at the end. Gives first byte and bytes of its numbers and of their steps.
    pub(crate) fn add(&mut self, mut item: Item) -> [Range<u64>; 2] {
        let end = self.bytes().checked_next_multiple_of(ALIGNMENT);
        item.offset = end.unwrap_or(u64::MAX);
        let range = |start: u64, length: u64| start..start.saturating_add(length);
        let places = [
            range(item.offset, item.length()),
            range(item.steps(), item.steps_length()),
        ];
        self.items.push(item);
        places
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.items.last().map_or(0, Item::end)
    }

    /// Bytes that its tensors have in the author's files.
    pub fn bytes_before(&self) -> u64 {
        let sizes = self.items.iter().map(|item| match item.how {
            // Other columns of the same rows may be another tensor here.
            How::Blocks(_) => (item.source.rows as u64)
                .saturating_mul(item.columns.len() as u64)
                .saturating_mul(item.source.element.bytes()),
            _ => item.source.bytes(),
        });
        sizes.fold(0, u64::saturating_add)
    }

    /// Most bytes that [`Self::write`] holds at a time: five times what is read at once, which is a mebibyte or one row, and the steps of
    /// the matrix that has most of them.
    pub fn working_bytes(&self) -> u64 {
        let most = |of: &dyn Fn(&Item) -> u64| self.items.iter().map(of).max().unwrap_or_default();
        let row = most(&|item| item.source.row_bytes());
        // What is read, what is made of it, and a row of 32-bit floats, twice as large as one of two bytes each, with its whole numbers.
        let chunk = CHUNK.max(row).saturating_mul(5);
        chunk.saturating_add(most(&Item::steps_length))
    }

    /// Writes the file from its first byte to its last.
    ///
    /// # Errors
    /// [`Error::Io`] where the author's files cannot be read or this one cannot be written, [`Error::NotFinite`] for a number that there
    /// is none for in fewer bits.
    pub fn write(&self, source: &mut dyn ReadAt, out: &mut dyn Write) -> Result<()> {
        let mut at = 0;
        for item in &self.items {
            padded(out, &mut at, item.offset)?;
            let steps = self.item(item, source, out)?;
            at += item.length();
            if !steps.is_empty() {
                padded(out, &mut at, item.steps())?;
                out.write_all(&steps).map_err(not_written)?;
                at += steps.len() as u64;
            }
        }
        Ok(())
    }

    /// Writes the numbers of a tensor; gives their steps.
    fn item(&self, item: &Item, source: &mut dyn ReadAt, out: &mut dyn Write) -> Result<Vec<u8>> {
        let from = &item.source;
        let file = self.files.get(from.file).map_or("", String::as_str);
        let unread = |error: io::Error| Error::Io {
            what: format!("{} of {file} cannot be read", from.name),
            problem: error.to_string(),
        };
        let mut steps = Vec::with_capacity(item.steps_length() as usize);
        // Rows, or where the tensor stays as it is, bytes.
        let (count, unit) = match item.how {
            How::Copied => (from.bytes(), 1),
            _ => (from.rows as u64, from.row_bytes()),
        };
        let at_once = (CHUNK / unit.max(1)).max(1);
        let mut raw = Vec::new();
        let mut done = 0;
        while done < count {
            let now = at_once.min(count - done);
            raw.resize((now * unit) as usize, 0);
            let offset = from.offset + done * unit;
            source.read_at(file, offset, &mut raw).map_err(unread)?;
            let made = match item.how {
                How::Copied => None,
                _ => Some(smaller(item, &raw, &mut steps)?),
            };
            let made = made.as_deref().unwrap_or(&raw);
            out.write_all(made).map_err(not_written)?;
            done += now;
        }
        Ok(steps)
    }
}

fn not_written(error: io::Error) -> Error {
    Error::Io {
        what: "the weights cannot be written".to_owned(),
        problem: error.to_string(),
    }
}

fn padded(out: &mut dyn Write, at: &mut u64, to: u64) -> Result<()> {
    let zeros = [0; ALIGNMENT as usize];
    let count = to.saturating_sub(*at) as usize;
    out.write_all(&zeros[..count.min(zeros.len())])
        .map_err(not_written)?;
    *at = to;
    Ok(())
}

/// Some rows of a tensor in fewer bits; their steps go behind `steps`.
fn smaller(item: &Item, raw: &[u8], steps: &mut Vec<u8>) -> Result<Vec<u8>> {
    let none = |_| Error::NotFinite(item.source.name.clone());
    let mut row = vec![0.0f32; item.source.width];
    let rows = raw.chunks_exact((item.source.row_bytes() as usize).max(1));
    let mut out = Vec::with_capacity(rows.len() * item.columns.len() * 2);
    let mut whole = Vec::new();
    for raw in rows {
        widened(item.source.element, raw, &mut row);
        let columns = row.get(item.columns.clone()).unwrap_or_default();
        match item.how {
            How::Copied | How::Halved => {
                for &x in columns {
                    out.extend(halved(x).map_err(none)?.to_le_bytes());
                }
            }
            How::Blocks(blocks) => {
                whole.resize(blocks.size, 0);
                for block in columns.chunks_exact(blocks.size) {
                    let step = blocks.rounded(block, &mut whole).map_err(none)?;
                    steps.extend(step.to_le_bytes());
                    packed(blocks, &whole, &mut out);
                }
            }
            How::Channels => {
                let mut whole = vec![0; columns.len()];
                let step = channel(columns, &mut whole).map_err(none)?;
                steps.extend(step.to_le_bytes());
                out.extend(whole.iter().map(|&q| q as u8));
            }
        }
    }
    Ok(out)
}

/// Of two whole numbers of four bits the first one is the lower half of a byte.
fn packed(blocks: Blocks, whole: &[u8], out: &mut Vec<u8>) {
    if blocks.bits == 4 {
        let pairs = whole.as_chunks::<2>().0.iter();
        out.extend(pairs.map(|[low, high]| low | high << 4));
    } else {
        out.extend_from_slice(whole);
    }
}

/// The numbers of stored bytes.
pub(crate) fn widened(element: Element, raw: &[u8], into: &mut [f32]) {
    let pairs = raw.as_chunks::<2>().0.iter().copied();
    match element {
        Element::F16 => {
            for (x, bytes) in into.iter_mut().zip(pairs) {
                *x = f16::from_le_bytes(bytes).to_f32();
            }
        }
        Element::BF16 => {
            for (x, bytes) in into.iter_mut().zip(pairs) {
                *x = bf16::from_le_bytes(bytes).to_f32();
            }
        }
        // No other is computed with: the graph refuses them.
        Element::F32 | Element::Other(_) => {
            for (x, &bytes) in into.iter_mut().zip(raw.as_chunks::<4>().0) {
                *x = f32::from_le_bytes(bytes);
            }
        }
    }
}
