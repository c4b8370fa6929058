//! [`Gather`](https://onnx.ai/onnx/operators/onnx__Gather.html), `GatherElements`, `GatherND`.
//!
//! An index out of range is an error where it is known before the run. Where only the run knows it, the result is NaN (as an
//! integer, its bits): never another element.

use crate::context::Cx;
use crate::error::{Result, invalid_model, mismatch};
use crate::eval;
use crate::eval::MAX_FOLDED;
use crate::kernels::gather as kernel;
use crate::program::Value;
use crate::tensor::{DType, elements};
use crate::tensor::{axis, split_at_axis};

/// Refuses known indices outside an axis of length `length`.
pub(super) fn check_range(indices: &Value, length: usize) -> Result<()> {
    let Some(known) = indices.constant() else {
        return Ok(());
    };
    let bound = length as i64;
    match known
        .to_i64_vec()?
        .iter()
        .find(|&&i| i < -bound || i >= bound)
    {
        None => Ok(()),
        Some(i) => Err(invalid_model(format!(
            "index {i} is outside an axis of length {length}"
        ))),
    }
}

/// [`check_range`] for tuples of indices into the leading axes of `shape`.
pub(super) fn check_tuples(indices: &Value, shape: &[usize]) -> Result<()> {
    let Some(known) = indices.constant() else {
        return Ok(());
    };
    let depth = indices.shape().last().copied().unwrap_or(1).max(1);
    for tuple in known.to_i64_vec()?.chunks(depth) {
        for (&i, &length) in tuple.iter().zip(shape) {
            if i < -(length as i64) || i >= length as i64 {
                return Err(invalid_model(format!(
                    "index {i} of {tuple:?} is outside an axis of length {length}"
                )));
            }
        }
    }
    Ok(())
}

/// Data and indices; indices are integers.
pub(super) fn operands(cx: &Cx<'_>) -> Result<(Value, Value)> {
    let (data, indices) = (cx.input(0)?, cx.input(1)?);
    check_indices(&indices)?;
    Ok((data, indices))
}

pub(super) fn check_indices(indices: &Value) -> Result<()> {
    match indices.dtype() {
        DType::I64 | DType::I32 => Ok(()),
        other => Err(invalid_model(format!(
            "the indices are {other}, int64 or int32 is wanted"
        ))),
    }
}

pub(super) fn gather(cx: &mut Cx<'_>) -> Result<()> {
    let (data, indices) = operands(cx)?;
    let along = axis(cx.attributes.int("axis", 0)?, data.rank())?;
    let out = gather_value(cx, &data, &indices, along)?;
    cx.set(0, out);
    Ok(())
}

/// The entries of axis `along` that the indices name.
pub(super) fn gather_value(
    cx: &mut Cx<'_>,
    data: &Value,
    indices: &Value,
    along: usize,
) -> Result<Value> {
    check_indices(indices)?;
    let length = data.shape().get(along).copied();
    check_range(
        indices,
        length.ok_or_else(|| mismatch("a scalar has no entries"))?,
    )?;
    let shape = [
        &data.shape()[..along],
        indices.shape(),
        &data.shape()[along + 1..],
    ]
    .concat();
    match (data.constant(), indices.constant()) {
        (Some(d), Some(i)) if elements(&shape)? <= MAX_FOLDED => {
            Ok(Value::Const(eval::gather(d, i, along, &shape)?))
        }
        _ => {
            let (outer, length, inner) = split_at_axis(data.shape(), along);
            let geometry = kernel::Gather {
                outer,
                axis: length,
                inner,
                indices: indices.elements(),
            };
            let format = data.format();
            let out = cx.launch_packed(
                || kernel::gather(&geometry, format),
                &[data, indices],
                &[0],
                &shape,
                data.dtype(),
            )?;
            Ok(out.noted(data.is_half()))
        }
    }
}

pub(super) fn gather_elements(cx: &mut Cx<'_>) -> Result<()> {
    let (data, indices) = operands(cx)?;
    let along = axis(cx.attributes.int("axis", 0)?, data.rank())?;
    let fits = indices.rank() == data.rank()
        && (0..data.rank()).all(|i| i == along || indices.shape()[i] <= data.shape()[i]);
    if !fits {
        return Err(mismatch(format!(
            "indices {:?} do not fit data {:?}",
            indices.shape(),
            data.shape()
        )));
    }
    check_range(&indices, data.shape()[along])?;
    let out = match (data.constant(), indices.constant()) {
        (Some(d), Some(i)) => Value::Const(eval::gather_elements(d, i, along)?),
        _ => cx.launch(
            || kernel::gather_elements(data.shape(), indices.shape(), along),
            &[&data, &indices],
            indices.shape(),
            data.dtype(),
        )?,
    };
    let out = out.noted(data.is_half());
    cx.set(0, out);
    Ok(())
}

pub(super) fn gather_nd(cx: &mut Cx<'_>) -> Result<()> {
    let (data, indices) = operands(cx)?;
    let batch = cx.attributes.int("batch_dims", 0)?;
    let batch_dims = usize::try_from(batch)
        .ok()
        .filter(|&b| b < indices.rank() && b < data.rank())
        .ok_or_else(|| invalid_model(format!("attribute 'batch_dims' = {batch}")))?;
    let depth = indices.shape()[indices.rank() - 1];
    if depth == 0
        || batch_dims + depth > data.rank()
        || indices.shape()[..batch_dims] != data.shape()[..batch_dims]
    {
        return Err(mismatch(format!(
            "indices {:?} do not fit data {:?} with {batch_dims} batch axes",
            indices.shape(),
            data.shape()
        )));
    }
    check_tuples(&indices, &data.shape()[batch_dims..])?;
    let shape = [
        &indices.shape()[..indices.rank() - 1],
        &data.shape()[batch_dims + depth..],
    ]
    .concat();
    let out = match (data.constant(), indices.constant()) {
        (Some(d), Some(i)) if elements(&shape)? <= MAX_FOLDED => {
            Value::Const(eval::gather_nd(d, i, batch_dims, &shape)?)
        }
        _ => cx.launch(
            || kernel::gather_nd(data.shape(), indices.shape(), batch_dims),
            &[&data, &indices],
            &shape,
            data.dtype(),
        )?,
    };
    let out = out.noted(data.is_half());
    cx.set(0, out);
    Ok(())
}
