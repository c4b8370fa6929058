//! Weights in fewer bits than their authors': how, and the file that holds them.
//!
//! Nothing is calibrated: what a number becomes depends on it and its neighbours alone. [decision
//! 0046](../../../docs/decisions/0046-weights-made-smaller.md) says what and why.

mod item;
mod rounding;
mod written;

use std::fmt;
use std::str::FromStr;

pub(crate) use item::{How, Item, Source};
pub(crate) use written::widened;
pub use written::{Packed, ReadAt};

/// In how many bits weights are kept. Numbers of one dimension, norms and biases, stay as they are in all of them; tables that ids pick
/// rows from, and what is neither product nor convolution, have 16 bits at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// 16 bits at most: 32-bit floats are rounded to float16, the others stay as they are.
    F16,
    /// Products in blocks of 8 bits, convolutions in 8 bits with a step for each channel.
    Int8,
    /// Products in blocks of 4 bits, convolutions as in [`Kind::Int8`].
    Int4,
}

/// Numbers of a block share a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Blocks {
    pub bits: usize,
    pub size: usize,
}

/// Smallest block that engines read.
const SMALLEST_BLOCK: usize = 16;

impl Kind {
    /// All of them, the largest first.
    pub const ALL: [Self; 3] = [Self::F16, Self::Int8, Self::Int4];

    /// The name that [`Kind::from_str`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }

    /// How rows of `width` numbers are cut up; not at all where no block fits.
    pub(crate) fn blocks(self, width: usize) -> Option<Blocks> {
        let (bits, largest) = match self {
            Self::F16 => return None,
            Self::Int8 => (8, 128),
            Self::Int4 => (4, 32),
        };
        // The largest power of two that a row is a multiple of.
        let fitting = width & width.wrapping_neg();
        let size = fitting.min(largest);
        (size >= SMALLEST_BLOCK).then_some(Blocks { bits, size })
    }

    /// Whether convolutions have 8 bits.
    pub(crate) fn shrinks_convolutions(self) -> bool {
        self != Self::F16
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == text);
        known.ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_fit_the_rows() {
        let size = |kind: Kind, width| kind.blocks(width).map(|blocks| blocks.size);
        assert_eq!(size(Kind::Int4, 320), Some(32));
        assert_eq!(size(Kind::Int4, 48), Some(16));
        assert_eq!(size(Kind::Int4, 24), None);
        assert_eq!(size(Kind::Int4, 0), None);
        assert_eq!(size(Kind::Int8, 320), Some(64));
        assert_eq!(size(Kind::Int8, 1280), Some(128));
        assert_eq!(size(Kind::F16, 1280), None);
    }
}
