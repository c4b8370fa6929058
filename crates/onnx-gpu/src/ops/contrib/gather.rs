//! [`GatherBlockQuantized`](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GatherBlockQuantized):
//! entries of a table that stays quantised.

use std::borrow::Cow;

use super::super::gather::{check_indices, check_range};
use super::super::packed::{halves, in_words};
use crate::context::Cx;
use crate::error::{Result, invalid_model, mismatch, unsupported};
use crate::kernels::gather_blocks::{GatherBlocks, Integers, ZeroPoint, gather_blocks as kernel};
use crate::kernels::operand::Scales;
use crate::program::Value;
use crate::tensor::{Data, Packing, Tensor, axis, elements, split_at_axis};

/// Whole numbers as the kernel binds them.
struct Stored {
    value: Value,
    integers: Integers,
    /// Elements in each of the tensor's own, which lie along the last axis: 2 where a byte holds two.
    per_entry: usize,
}

/// Elements whose type has 4 bits, or bytes of one element or two.
fn stored(value: &Value, halved: bool) -> Result<Stored> {
    let of = |value: Value, bits: u32, signed: bool, per_entry: usize| Stored {
        value,
        integers: Integers { bits, signed },
        per_entry,
    };
    let bytes = |value: Value| match halved {
        true => of(value, 4, false, 2),
        false => of(value, 8, false, 1),
    };
    match value {
        Value::Const(tensor) => match tensor.data() {
            Data::I8(v) => {
                let raw = v.iter().map(|x| x.cast_unsigned()).collect();
                Ok(of(in_words(Cow::Owned(raw))?, 8, true, 1))
            }
            Data::U8(v) => Ok(bytes(in_words(Cow::Borrowed(v))?)),
            other => Err(unsupported(format!(
                "data of {} are not supported",
                other.dtype()
            ))),
        },
        Value::Device(device) => match Integers::of(device.packing) {
            Some(Integers {
                bits: 8,
                signed: false,
            }) => Ok(bytes(value.clone())),
            Some(integers) => Ok(of(value.clone(), integers.bits, integers.signed, 1)),
            None => Err(unsupported("data that a run computes are not supported")),
        },
    }
}

/// Whether bytes hold two elements each. A file's own 4-bit type is told apart by its storage or, of small constants, by the
/// scales: as many blocks fit one reading or the other.
fn is_halved(data: &Value, scales: &Value, bits: i64, [along, block]: [usize; 2]) -> Result<bool> {
    let (4, Some(bytes)) = (bits, packed_u8(data)) else {
        return Ok(false);
    };
    let fits = |times: usize| {
        let mut shape = data.shape().to_vec();
        if let Some(last) = shape.last_mut() {
            *last *= times;
        }
        shape[along] = shape[along].div_ceil(block);
        shape == scales.shape()
    };
    match (fits(1), fits(2), bytes) {
        (_, true, None) => Ok(true),
        (true, false, Some(_)) => Ok(false),
        (false, true, Some(_)) => Ok(true),
        (true, true, Some(bytes)) if bytes.iter().any(|&byte| byte > 15) => Ok(true),
        (true, true, Some(_)) => Err(unsupported(format!(
            "rows {:?} shorter than half a block of {block} are not supported",
            data.shape()
        ))),
        _ => Err(misfit(data, scales)),
    }
}

/// Bytes of unsigned integers: of a constant in main memory also what they are.
fn packed_u8(data: &Value) -> Option<Option<&[u8]>> {
    match data {
        Value::Const(tensor) => tensor.as_u8().ok().map(Some),
        Value::Device(device) => (device.packing == Packing::U8).then_some(None),
    }
}

fn misfit(data: &Value, scales: &Value) -> crate::Error {
    mismatch(format!(
        "scales {:?} do not fit data {:?}",
        scales.shape(),
        data.shape()
    ))
}

pub(super) fn gather_blocks(cx: &mut Cx<'_>) -> Result<()> {
    let (data, indices, scales) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let zeros = cx.optional(3);
    check_indices(&indices)?;
    if !scales.dtype().is_float() {
        return Err(invalid_model(format!("the scales are {}", scales.dtype())));
    }
    let gathered = axis(cx.attributes.int("gather_axis", 0)?, data.rank())?;
    let along = axis(cx.attributes.int("quantize_axis", 1)?, data.rank())?;
    let block = cx.attributes.int("block_size", 128)?;
    let bits = cx.attributes.int("bits", 4)?;
    let block = usize::try_from(block)
        .ok()
        .filter(|block| (16..=1 << 20).contains(block) && block.is_power_of_two())
        .ok_or_else(|| invalid_model(format!("attribute 'block_size' = {block}")))?;
    if !matches!(bits, 4 | 8) {
        return Err(unsupported(format!(
            "attribute 'bits' = {bits} is not supported"
        )));
    }
    let halved = is_halved(&data, &scales, bits, [along, block])?;
    let table = stored(&data, halved)?;
    let mut shape = data.shape().to_vec();
    let last = shape.len() - 1;
    shape[last] *= table.per_entry;
    let mut blocks = shape.clone();
    blocks[along] = shape[along].div_ceil(block);
    if scales.shape() != blocks {
        return Err(misfit(&data, &scales));
    }
    let scale_row = blocks[last];
    let (zero, zero_row) = match &zeros {
        None => (None, scale_row),
        Some(zeros) => {
            let points = stored(zeros, halved)?;
            let row = zeros.shape().last().map_or(1, |&n| n * points.per_entry);
            let fits = zeros.rank() == blocks.len()
                && zeros.shape()[..last] == blocks[..last]
                && row == scale_row.next_multiple_of(points.per_entry);
            if !fits {
                return Err(mismatch(format!(
                    "zero points {:?} do not fit scales {:?}",
                    zeros.shape(),
                    scales.shape()
                )));
            }
            (Some(points), row)
        }
    };
    check_range(&indices, shape[gathered])?;
    let (outer, length, inner) = split_at_axis(&shape, gathered);
    let (_, q_axis, q_inner) = split_at_axis(&shape, along);
    let out = [&shape[..gathered], indices.shape(), &shape[gathered + 1..]].concat();
    let (scale, form) = match halves(&scales)? {
        Some(halves) => ((halves, true), Scales::F16),
        None => ((scales.clone(), false), Scales::F32),
    };
    let geometry = GatherBlocks {
        outer,
        axis: length,
        inner,
        indices: indices.elements(),
        q_axis,
        q_inner,
        block,
        elements: table.integers,
        scales: form,
        scale_row,
        zero_row,
        zeros: match &zero {
            Some(points) => ZeroPoint::Stored(points.integers),
            // Bytes count from the middle of their range, a type of 4 bits from 0.
            None if halved || bits == 8 => ZeroPoint::Number(1 << (bits - 1)),
            None => ZeroPoint::Number(0),
        },
    };
    if elements(&out)? == 0 {
        let empty = Tensor::zeros(scales.dtype(), out)?;
        cx.set(0, Value::Const(empty));
        return Ok(());
    }
    let mut inputs = vec![&table.value, &indices, &scale.0];
    let mut packed = vec![0];
    if scale.1 {
        packed.push(2);
    }
    if let Some(points) = &zero {
        packed.push(inputs.len());
        inputs.push(&points.value);
    }
    let output = cx.allocate(&out, scales.dtype())?;
    cx.push_packed(kernel(&geometry)?, &inputs, &packed, &output)?;
    cx.set(0, Value::Device(output));
    Ok(())
}
