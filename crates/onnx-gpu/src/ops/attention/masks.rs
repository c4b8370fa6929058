//! Masks of attention as values that are added to the scores: 0 where a key is seen, -∞ where not.

use super::super::elementwise::{binary, cast_value, select_values};
use super::super::movement::join;
use crate::context::Cx;
use crate::error::{Result, mismatch};
use crate::kernels::elementwise::BinaryOp;
use crate::program::Value;
use crate::tensor::{DType, Tensor};

/// Where the queries stand among the keys.
pub(super) enum Frontier {
    /// After this many keys, in every batch.
    After(usize),
    /// So that the last one stands at the end of the valid keys: their numbers, `[batch, 1, 1, 1]`.
    PerBatch(Value),
}

fn number(value: f32, dtype: DType) -> Result<Value> {
    Ok(Value::Const(Tensor::f32([], vec![value])?.cast(dtype)))
}

/// 0, 1, 2 … along axis `axis` of four.
fn positions(length: usize, axis: usize) -> Result<Value> {
    let mut shape = vec![1; 4];
    shape[axis] = length;
    Ok(Value::Const(crate::eval::counted(shape)?))
}

/// Truth values to 0 and -∞, numbers as they are.
pub(super) fn additive(cx: &mut Cx<'_>, mask: &Value, dtype: DType) -> Result<Value> {
    if mask.dtype() != DType::Bool {
        return cast_value(cx, mask, dtype);
    }
    let (seen, hidden) = (number(0.0, dtype)?, number(f32::NEG_INFINITY, dtype)?);
    select_values(cx, mask, &seen, &hidden)
}

/// Keys that a mask does not cover are hidden.
pub(super) fn padded(cx: &mut Cx<'_>, mask: Value, keys: usize) -> Result<Value> {
    let Some((&have, lead)) = mask.shape().split_last() else {
        return Ok(mask);
    };
    if have >= keys || have == 1 {
        return Ok(mask);
    }
    let shape = [lead, &[keys - have]].concat();
    let one = if mask.dtype() == DType::Bool {
        Tensor::bool([], vec![false])?
    } else {
        Tensor::f32([], vec![f32::NEG_INFINITY])?.cast(mask.dtype())
    };
    let rest = crate::eval::splat(&one, &shape)?;
    let axis = lead.len();
    join(cx, &[mask, Value::Const(rest)], axis)
}

/// Whether a key's position is below `lengths`, `[batch, 1, 1, 1]`.
pub(super) fn below(cx: &mut Cx<'_>, keys: usize, lengths: &Value) -> Result<Value> {
    let lengths = cast_value(cx, lengths, DType::I64)?;
    binary(cx, BinaryOp::Less, &positions(keys, 3)?, &lengths)
}

/// Hides keys further than `left` before or `right` after a query's own position.
pub(super) fn window_bias(
    cx: &mut Cx<'_>,
    [queries, keys]: [usize; 2],
    frontier: &Frontier,
    left: Option<i64>,
    right: Option<i64>,
    dtype: DType,
) -> Result<Value> {
    let long = |v: i64| -> Result<Value> { Ok(Value::Const(Tensor::i64([1; 4], vec![v])?)) };
    let offset = match frontier {
        Frontier::After(past) => long(*past as i64)?,
        Frontier::PerBatch(lengths) => {
            let lengths = cast_value(cx, lengths, DType::I64)?;
            binary(cx, BinaryOp::Sub, &lengths, &long(queries as i64)?)?
        }
    };
    let own = binary(cx, BinaryOp::Add, &positions(queries, 2)?, &offset)?;
    let key = positions(keys, 3)?;
    let mut bias = None;
    if let Some(right) = right {
        let last = binary(cx, BinaryOp::Add, &own, &long(right)?)?;
        let seen = binary(cx, BinaryOp::LessOrEqual, &key, &last)?;
        bias = Some(additive(cx, &seen, dtype)?);
    }
    if let Some(left) = left {
        let first = binary(cx, BinaryOp::Sub, &own, &long(left)?)?;
        let seen = binary(cx, BinaryOp::GreaterOrEqual, &key, &first)?;
        let seen = additive(cx, &seen, dtype)?;
        bias = Some(add_bias(cx, bias, seen)?);
    }
    bias.ok_or_else(|| mismatch("a window without sides"))
}

/// The sum of two masks.
pub(super) fn add_bias(cx: &mut Cx<'_>, bias: Option<Value>, more: Value) -> Result<Value> {
    match bias {
        Some(bias) => binary(cx, BinaryOp::Add, &bias, &more),
        None => Ok(more),
    }
}
