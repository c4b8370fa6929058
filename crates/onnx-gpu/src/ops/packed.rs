//! Small constants as a device holds large ones: several elements in a word.

use std::borrow::Cow;

use crate::error::Result;
use crate::program::Value;
use crate::tensor::{DType, Packing, Tensor};

/// Bytes as the kernel reads them, four in a word; none where a run computes them, one in a word.
pub(super) fn packed_bytes(value: &Value) -> Result<Option<Value>> {
    match value {
        Value::Device(device) if device.packing == Packing::U8 => Ok(Some(value.clone())),
        Value::Device(_) => Ok(None),
        Value::Const(tensor) => in_words(Cow::Borrowed(tensor.as_u8()?)).map(Some),
    }
}

/// Floats of 16 bits as the kernel reads them, two in a word; none for others.
pub(super) fn halves(value: &Value) -> Result<Option<Value>> {
    match value {
        Value::Device(device) if device.packing == Packing::F16 => Ok(Some(value.clone())),
        Value::Const(tensor) if tensor.dtype() == DType::F16 => {
            let bytes = tensor.as_f16()?.iter().flat_map(|x| x.to_le_bytes());
            in_words(bytes.collect()).map(Some)
        }
        _ => Ok(None),
    }
}

/// Whole words of bytes, filled up with zeros.
pub(super) fn in_words(bytes: Cow<'_, [u8]>) -> Result<Value> {
    let words = bytes.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        i32::from_le_bytes(word)
    });
    let words: Vec<i32> = words.collect();
    Ok(Value::Const(Tensor::i32([words.len()], words)?))
}
