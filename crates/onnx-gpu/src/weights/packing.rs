//! How the device holds a weight.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Result};
use crate::proto::Storage;

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
    /// What raw bytes of a file become.
    pub(crate) fn of(storage: Storage) -> Self {
        match storage {
            Storage::F16 => Self::F16,
            Storage::BF16 => Self::BF16,
            Storage::U8 => Self::U8,
            Storage::I8 => Self::I8,
            Storage::U4 => Self::U4,
            Storage::I4 => Self::I4,
            Storage::F32 | Storage::F64 | Storage::I64 | Storage::I32 | Storage::Bool => {
                Self::Words
            }
        }
    }

    /// What a tensor in main memory becomes.
    pub(crate) fn of_tensor(storage: Storage) -> Self {
        match storage {
            Storage::F16 => Self::F16,
            Storage::BF16 => Self::BF16,
            _ => Self::Words,
        }
    }

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

/// Raw bytes of a file, whole elements, as the device takes them.
///
/// # Errors
/// [`ErrorKind::Limit`] for an int64 that does not fit 32 bits.
pub(crate) fn device_chunk(storage: Storage, raw: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>> {
    let wide = || raw.as_chunks::<8>().0.iter().copied();
    Ok(match storage {
        Storage::F64 => Cow::Owned(
            wide()
                .flat_map(|b| (f64::from_le_bytes(b) as f32).to_le_bytes())
                .collect(),
        ),
        Storage::I64 => {
            let mut out = Vec::with_capacity(raw.len() / 2);
            for b in wide() {
                let value = i32::try_from(i64::from_le_bytes(b)).map_err(|_| {
                    Error::new(
                        ErrorKind::Limit,
                        "an int64 value does not fit the 32 bits that the GPU computes with",
                    )
                })?;
                out.extend(value.to_le_bytes());
            }
            Cow::Owned(out)
        }
        Storage::Bool => Cow::Owned(
            raw.iter()
                .flat_map(|&b| u32::from(b != 0).to_le_bytes())
                .collect(),
        ),
        _ => raw,
    })
}
