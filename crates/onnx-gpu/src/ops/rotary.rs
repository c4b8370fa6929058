//! [`RotaryEmbedding`](https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html) of ONNX (23) and of ONNX Runtime, which differ in
//! the order of their inputs.

use super::attention::{merge_heads, split_heads};
use super::elementwise::binary;
use super::gather::gather_value;
use super::movement::{join, part};
use crate::context::Cx;
use crate::error::{Result, mismatch, unsupported};
use crate::eval;
use crate::kernels::elementwise::BinaryOp;
use crate::kernels::rotary::{Rotary, rotary as kernel};
use crate::program::Value;
use crate::tensor::DType;

/// Inputs X, cos, sin, positions.
pub(super) fn onnx(cx: &mut Cx<'_>) -> Result<()> {
    let (x, cos, sin) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let positions = cx.optional(3);
    rotary(cx, x, [cos, sin], positions)
}

/// Inputs X, positions, cos, sin.
pub(super) fn contrib(cx: &mut Cx<'_>) -> Result<()> {
    let (x, positions, cos, sin) = (cx.input(0)?, cx.input(1)?, cx.input(2)?, cx.input(3)?);
    for (name, wanted) in [("scale", 1.0), ("is_packed_batching", 0.0)] {
        let given = match name {
            "scale" => cx.attributes.float(name, wanted)?,
            _ => cx.attributes.int(name, 0)? as f32,
        };
        if given != wanted {
            return Err(unsupported(format!(
                "attribute '{name}' = {given} is not supported"
            )));
        }
    }
    let positions = if positions.elements() == 1 {
        // One number is where the sequence starts.
        let length = x.shape()[x.rank().max(2) - 2];
        let steps = Value::Const(eval::counted(vec![1, length])?);
        let start = cx.reshaped(positions, vec![1, 1])?;
        let start = super::elementwise::cast_value(cx, &start, DType::I64)?;
        binary(cx, BinaryOp::Add, &steps, &start)?
    } else {
        positions
    };
    rotary(cx, x, [cos, sin], Some(positions))
}

fn rotary(cx: &mut Cx<'_>, x: Value, caches: [Value; 2], positions: Option<Value>) -> Result<()> {
    let heads = cx.attributes.int("num_heads", 0)?;
    let given = cx.attributes.int("rotary_embedding_dim", 0)?;
    let count = |name: &str, value: i64| {
        usize::try_from(value).map_err(|_| mismatch(format!("attribute '{name}' = {value}")))
    };
    let pairs = Pairs {
        heads: count("num_heads", heads.max(0))?,
        rotated: count("rotary_embedding_dim", given)?,
        interleaved: cx.attributes.flag("interleaved", false)?,
    };
    if x.rank() == 3 && pairs.heads == 0 && pairs.rotated > 0 {
        return Err(mismatch(format!("attribute 'num_heads' = {heads}")));
    }
    let out = turned(cx, x, caches, positions, pairs)?;
    cx.set(0, out);
    Ok(())
}

/// What of every head is turned.
pub(super) struct Pairs {
    /// Heads of `[batch, length, heads · size]`; 0 where the caches tell the size of a head.
    pub heads: usize,
    /// Numbers of a head that are turned; 0 for all.
    pub rotated: usize,
    /// Whether neighbours make a pair, not numbers half a head apart.
    pub interleaved: bool,
}

/// `x`, of three or four axes, turned by the angles of `[positions, pairs]`, or of `[batch, length, pairs]` without positions.
pub(super) fn turned(
    cx: &mut Cx<'_>,
    x: Value,
    caches: [Value; 2],
    positions: Option<Value>,
    pairs: Pairs,
) -> Result<Value> {
    let flat = x.rank() == 3;
    let interleaved = pairs.interleaved;
    let heads = match (flat, pairs.heads) {
        (false, _) => 0,
        // ONNX Runtime lets the caches tell the size of a head.
        (true, 0) => x.shape()[2] / (2 * caches[0].shape().last().copied().unwrap_or(1)).max(1),
        (true, heads) => heads,
    };
    let [batch, heads, length, size] = match *x.shape() {
        [batch, length, hidden] if heads > 0 && hidden % heads == 0 => {
            [batch, heads, length, hidden / heads]
        }
        [batch, heads, length, size] => [batch, heads, length, size],
        _ => {
            return Err(mismatch(format!(
                "{:?} is not [batch, heads, length, size]",
                x.shape()
            )));
        }
    };
    let rotated = match pairs.rotated {
        0 => size,
        n if n <= size => n,
        n => {
            return Err(mismatch(format!("{n} numbers to turn of heads of {size}")));
        }
    };
    let half = rotated / 2;
    let mut angles = Vec::with_capacity(2);
    for cache in caches {
        let chosen = match &positions {
            Some(positions) => gather_value(cx, &cache, positions, 0)?,
            None => cache,
        };
        let lead = match *chosen.shape() {
            [b, l, h] if (b == batch || b == 1) && l == length && h == half => b,
            _ => {
                return Err(mismatch(format!(
                    "angles {:?} do not fit {batch} batches of {length} tokens and {half} pairs",
                    chosen.shape()
                )));
            }
        };
        angles.push((chosen, lead));
    }
    let alike = angles[0].1 == angles[1].1;
    if rotated == size && size == 2 * half && alike && x.dtype() == DType::F32 {
        let geometry = Rotary {
            batch,
            length,
            heads,
            size,
            flat,
            interleaved,
            own_angles: angles[0].1 == batch && batch > 1,
        };
        let inputs = [&x, &angles[0].0, &angles[1].0];
        return cx.launch(|| kernel(&geometry), &inputs, x.shape(), DType::F32);
    }
    let mut spread = Vec::with_capacity(2);
    for (chosen, lead) in angles {
        let shape = if interleaved {
            vec![lead, 1, length, half, 1]
        } else {
            vec![lead, 1, length, half]
        };
        spread.push(cx.reshaped(chosen, shape)?);
    }
    let x = if flat { split_heads(cx, &x, heads)? } else { x };
    let (cos, sin) = (&spread[0], &spread[1]);
    let turned = part(cx, &x, 3, 0, rotated)?;
    let (pairs, axis) = if interleaved {
        (cx.reshaped(turned, vec![batch, heads, length, half, 2])?, 4)
    } else {
        (turned, 3)
    };
    let width = if interleaved { 1 } else { half };
    let real = part(cx, &pairs, axis, 0, width)?;
    let imaginary = part(cx, &pairs, axis, width, width)?;
    let mut turn = |a: &Value, b: &Value, op| -> Result<Value> {
        let (x, y) = (
            binary(cx, BinaryOp::Mul, &real, a)?,
            binary(cx, BinaryOp::Mul, &imaginary, b)?,
        );
        binary(cx, op, &x, &y)
    };
    let first = turn(cos, sin, BinaryOp::Sub)?;
    let second = turn(sin, cos, BinaryOp::Add)?;
    let joined = join(cx, &[first, second], axis)?;
    let mut out = cx.reshaped(joined, vec![batch, heads, length, rotated])?;
    if rotated < size {
        let rest = part(cx, &x, 3, rotated, size - rotated)?;
        out = join(cx, &[out, rest], 3)?;
    }
    if flat { merge_heads(cx, &out) } else { Ok(out) }
}
