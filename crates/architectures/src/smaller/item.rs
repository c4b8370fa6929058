//! Tensors of a file of weights that are made smaller.

use std::ops::Range;

use super::Blocks;
use crate::weights::Element;

/// Where tensors begin: engines read whole words.
pub(crate) const ALIGNMENT: u64 = 16;

/// A tensor of the author's, seen as rows: the first dimension, and all others together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Its name, for messages.
    pub name: String,
    /// Which of the author's files.
    pub file: usize,
    pub offset: u64,
    pub element: Element,
    pub rows: usize,
    pub width: usize,
}

/// What becomes of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Nothing.
    Copied,
    /// float16.
    Halved,
    /// Blocks of whole numbers, then their steps in float16.
    Blocks(Blocks),
    /// Whole numbers of 8 bits, then a step of 32 bits for each row.
    Channels,
}

/// A tensor that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub source: Source,
    /// The columns that are written; all, unless there are [`How::Blocks`].
    pub columns: Range<usize>,
    pub how: How,
    /// First byte.
    pub offset: u64,
}

impl Source {
    pub fn bytes(&self) -> u64 {
        (self.rows as u64).saturating_mul(self.row_bytes())
    }

    pub fn row_bytes(&self) -> u64 {
        (self.width as u64).saturating_mul(self.element.bytes())
    }
}

impl Item {
    fn numbers(&self) -> u64 {
        (self.source.rows as u64).saturating_mul(self.columns.len() as u64)
    }

    /// Bytes of the numbers themselves.
    pub fn length(&self) -> u64 {
        match self.how {
            How::Copied => self.source.bytes(),
            How::Halved => self.numbers().saturating_mul(2),
            How::Blocks(Blocks { bits, .. }) => self.numbers().saturating_mul(bits as u64) / 8,
            How::Channels => self.numbers(),
        }
    }

    /// First byte of the steps.
    pub fn steps(&self) -> u64 {
        let end = self.offset.saturating_add(self.length());
        end.checked_next_multiple_of(ALIGNMENT).unwrap_or(u64::MAX)
    }

    /// Bytes of the steps.
    pub fn steps_length(&self) -> u64 {
        match self.how {
            How::Copied | How::Halved => 0,
            How::Blocks(Blocks { size, .. }) => self.numbers() / size as u64 * 2,
            How::Channels => self.source.rows as u64 * 4,
        }
    }

    /// The byte behind all of it.
    pub fn end(&self) -> u64 {
        match self.steps_length() {
            0 => self.offset.saturating_add(self.length()),
            steps => self.steps().saturating_add(steps),
        }
    }
}
