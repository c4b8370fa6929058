//! ONNX Runtime's [`MultiHeadAttention`](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MultiHeadAttention)
//! and [`Attention`](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.Attention).

use super::super::elementwise::{binary, cast_value, select_values};
use super::super::matmul::{biased_product, product};
use super::super::movement::{join, part, permuted};
use super::masks::{Frontier, add_bias, below, window_bias};
use super::{Attention, count, four, merge_heads, split_heads, with_past};
use crate::context::Cx;
use crate::error::{Result, mismatch, unsupported};
use crate::kernels::elementwise::BinaryOp;
use crate::program::Value;
use crate::tensor::{DType, Tensor};

pub(super) fn refuse_inputs(cx: &Cx<'_>, inputs: &[(usize, &str)]) -> Result<()> {
    match inputs.iter().find(|(i, _)| cx.optional(*i).is_some()) {
        None => Ok(()),
        Some((_, name)) => Err(unsupported(format!("input '{name}' is not supported"))),
    }
}

/// The padding mask as something to add: `mask_filter_value` where a key is hidden.
fn padding(
    cx: &mut Cx<'_>,
    mask: &Value,
    [batch, queries, keys]: [usize; 3],
    dtype: DType,
) -> Result<Value> {
    let filter = cx.attributes.float("mask_filter_value", -10_000.0)?;
    let seen = if mask.shape() == [batch] {
        let lengths = cx.reshaped(mask.clone(), vec![batch, 1, 1, 1])?;
        below(cx, keys, &lengths)?
    } else {
        let shape = match *mask.shape() {
            [b, t] if [b, t] == [batch, keys] => vec![b, 1, 1, t],
            [b, s, t] if [b, s, t] == [batch, queries, keys] => vec![b, 1, s, t],
            _ => {
                return Err(unsupported(format!(
                    "a padding mask of shape {:?} for {batch} batches, {queries} queries and {keys} keys is not supported",
                    mask.shape()
                )));
            }
        };
        let mask = cx.reshaped(mask.clone(), shape)?;
        cast_value(cx, &mask, DType::Bool)?
    };
    let number =
        |v: f32| -> Result<Value> { Ok(Value::Const(Tensor::f32([], vec![v])?.cast(dtype))) };
    select_values(cx, &seen, &number(0.0)?, &number(filter)?)
}

/// What both operators share after their inputs are split into heads.
struct Call {
    q: Value,
    k: Value,
    v: Value,
    past: [Option<Value>; 2],
    mask: Option<Value>,
    bias: Option<Value>,
}

/// The output `[batch, queries, hidden]`, the keys and the values with the past.
fn run(cx: &mut Cx<'_>, call: Call) -> Result<[Value; 3]> {
    let [past_k, past_v] = call.past;
    let k = with_past(cx, past_k, call.k)?;
    let v = with_past(cx, past_v, call.v)?;
    let ([batch, _, queries, size], [_, _, keys, _]) = (four(&call.q)?, four(&k)?);
    let dtype = call.q.dtype();
    let mut bias = call.bias;
    if let Some(mask) = &call.mask {
        let mask = padding(cx, mask, [batch, queries, keys], dtype)?;
        bias = Some(add_bias(cx, bias, mask)?);
    } else {
        cx.attributes.ignore(&["mask_filter_value"]);
    }
    if cx.attributes.flag("unidirectional", false)? {
        let before = Frontier::After(keys.saturating_sub(queries));
        let causal = window_bias(cx, [queries, keys], &before, None, Some(0), dtype)?;
        bias = Some(add_bias(cx, bias, causal)?);
    }
    // A scale of 0 stands for the default.
    let scale = match cx.attributes.float("scale", 0.0)? {
        0.0 => 1.0 / (size as f32).sqrt(),
        given => given,
    };
    let out = Attention {
        q: call.q,
        k: k.clone(),
        v: v.clone(),
        bias,
        scale,
        softcap: 0.0,
    }
    .lower(cx)?;
    Ok([merge_heads(cx, &out)?, k, v])
}

/// Part `index` of the last-but-one axis of a packed `[batch, length, heads, parts, size]`, by heads.
fn packed(cx: &mut Cx<'_>, x: &Value, index: usize) -> Result<Value> {
    let &[batch, length, heads, _, size] = x.shape() else {
        return Err(mismatch(format!("{:?} is not packed", x.shape())));
    };
    let one = part(cx, x, 3, index, 1)?;
    let view = cx.reshaped(one, vec![batch, length, heads, size])?;
    permuted(cx, &view, &[0, 2, 1, 3])
}

pub(in crate::ops) fn multi_head(cx: &mut Cx<'_>) -> Result<()> {
    refuse_inputs(cx, &[(8, "past_sequence_length"), (9, "cache_indirection")])?;
    let heads = count(cx, "num_heads")?;
    let (q, k, v, bias) = (cx.input(0)?, cx.optional(1), cx.optional(2), cx.optional(3));
    let mut parts = match (q.rank(), k, v) {
        (5, None, None) => [packed(cx, &q, 0)?, packed(cx, &q, 1)?, packed(cx, &q, 2)?],
        (3, Some(k), None) if k.rank() == 5 => [
            split_heads(cx, &q, heads)?,
            packed(cx, &k, 0)?,
            packed(cx, &k, 1)?,
        ],
        (3, Some(k), Some(v)) => {
            let mut heads_of = |x: Value| match x.rank() {
                4 => Ok(x),
                _ => split_heads(cx, &x, heads),
            };
            [heads_of(q)?, heads_of(k)?, heads_of(v)?]
        }
        (rank, k, v) => {
            return Err(unsupported(format!(
                "a query of rank {rank} with keys {:?} and values {:?} is not supported",
                k.as_ref().map(Value::shape),
                v.as_ref().map(Value::shape)
            )));
        }
    };
    if let Some(bias) = bias {
        let mut start = 0;
        for x in &mut parts {
            let [_, h, _, d] = four(x)?;
            let own = part(cx, &bias, 0, start, h * d)?;
            let own = cx.reshaped(own, vec![h, 1, d])?;
            *x = binary(cx, BinaryOp::Add, x, &own)?;
            start += h * d;
        }
    }
    let [q, k, v] = parts;
    let call = Call {
        q,
        k,
        v,
        past: [cx.optional(6), cx.optional(7)],
        mask: cx.optional(4),
        bias: cx.optional(5),
    };
    let [out, k, v] = run(cx, call)?;
    cx.set(0, out);
    cx.set(1, k);
    cx.set(2, v);
    Ok(())
}

pub(in crate::ops) fn attention(cx: &mut Cx<'_>) -> Result<()> {
    refuse_inputs(cx, &[(6, "past_sequence_length")])?;
    let heads = count(cx, "num_heads")?;
    if cx.attributes.flag("do_rotary", false)? {
        return Err(unsupported("attribute 'do_rotary' = 1 is not supported"));
    }
    cx.attributes
        .ignore(&["rotary_embedding_dim", "past_present_share_buffer"]);
    let (x, weights) = (cx.input(0)?, cx.input(1)?);
    let all = match cx.optional(2) {
        Some(bias) => biased_product(cx, &x, &weights, &bias)?,
        None => product(cx, &x, &weights, false, 1.0)?,
    };
    let &[batch, _, total] = all.shape() else {
        return Err(mismatch(format!(
            "{:?} is not [batch, length, hidden]",
            x.shape()
        )));
    };
    let sizes = match cx.attributes.opt_ints("qkv_hidden_sizes")? {
        Some(&[q, k, v]) => [q, k, v].map(|n| usize::try_from(n).unwrap_or(0)),
        Some(other) => {
            return Err(mismatch(format!(
                "attribute 'qkv_hidden_sizes' = {other:?}"
            )));
        }
        None => [total / 3; 3],
    };
    if sizes.iter().sum::<usize>() != total || sizes.contains(&0) {
        return Err(mismatch(format!(
            "{total} features do not divide into queries, keys and values of {sizes:?}"
        )));
    }
    let mut start = 0;
    let mut parts = Vec::with_capacity(3);
    for size in sizes {
        let one = part(cx, &all, 2, start, size)?;
        parts.push(split_heads(cx, &one, heads)?);
        start += size;
    }
    let [q, k, v] = <[Value; 3]>::try_from(parts).map_err(|_| mismatch("three parts"))?;
    let mut past = [None, None];
    if let Some(both) = cx.optional(4) {
        let &[2, _, h, l, d] = both.shape() else {
            return Err(mismatch(format!("a past of shape {:?}", both.shape())));
        };
        for (i, slot) in past.iter_mut().enumerate() {
            let one = part(cx, &both, 0, i, 1)?;
            *slot = Some(cx.reshaped(one, vec![batch, h, l, d])?);
        }
    }
    let call = Call {
        q,
        k,
        v,
        past,
        mask: cx.optional(3),
        bias: cx.optional(5),
    };
    let [out, k, v] = run(cx, call)?;
    cx.set(0, out);
    if cx.wants(1) {
        let stacked = [k, v]
            .into_iter()
            .map(|x| {
                let shape = [&[1], x.shape()].concat();
                cx.reshaped(x, shape)
            })
            .collect::<Result<Vec<_>>>()?;
        let present = join(cx, &stacked, 0)?;
        cx.set(1, present);
    }
    Ok(())
}
