//! How the device holds a weight.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Result};
use crate::proto::Storage;
use crate::tensor::Packing;

/// What raw bytes of a file become.
pub(super) fn of_file(storage: Storage) -> Packing {
    match storage {
        Storage::F16 => Packing::F16,
        Storage::BF16 => Packing::BF16,
        Storage::U8 => Packing::U8,
        Storage::I8 => Packing::I8,
        Storage::U4 => Packing::U4,
        Storage::I4 => Packing::I4,
        Storage::F32 | Storage::F64 | Storage::I64 | Storage::I32 | Storage::Bool => Packing::Words,
    }
}

/// What a tensor in main memory becomes.
pub(super) fn of_tensor(storage: Storage) -> Packing {
    match storage {
        Storage::F16 => Packing::F16,
        Storage::BF16 => Packing::BF16,
        _ => Packing::Words,
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
