//! How the elements of a tensor lie on a device.

/// Elements in storage on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Packing {
    /// A 32-bit word each.
    #[default]
    Words,
    /// Two 16-bit floats per word, the first in the low half.
    F16,
    /// Two upper halves of 32-bit floats per word, the first in the low half.
    BF16,
    /// Four 8-bit integers per word, the first in the lowest byte.
    U8,
    /// As [`Packing::U8`], signed.
    I8,
    /// Eight 4-bit integers per word, the first in the lowest bits.
    U4,
    /// As [`Packing::U4`], signed.
    I4,
}

impl Packing {
    /// Whether a word holds two floats of 16 bits.
    pub(crate) fn is_halves(self) -> bool {
        matches!(self, Self::F16 | Self::BF16)
    }

    /// Elements in a 32-bit word.
    pub(crate) fn per_word(self) -> usize {
        match self {
            Self::Words => 1,
            Self::F16 | Self::BF16 => 2,
            Self::U8 | Self::I8 => 4,
            Self::U4 | Self::I4 => 8,
        }
    }

    /// Bytes of whole words that hold `elements`.
    pub(crate) fn bytes(self, elements: usize) -> u64 {
        elements.div_ceil(self.per_word()).max(1) as u64 * 4
    }
}
