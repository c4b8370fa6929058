//! ONNX Runtime's [`GroupQueryAttention`](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention),
//! in which language models are exported: causal, with a cache of keys and values, and maybe turned by their positions.

use super::super::movement::part;
use super::super::rotary::{Pairs, turned};
use super::contrib::refuse_inputs;
use super::masks::{Frontier, add_bias, window_bias};
use super::{Attention, count, four, merge_heads, split_heads, with_past};
use crate::context::Cx;
use crate::error::{Result, invalid_model, mismatch, unsupported};
use crate::eval;
use crate::program::Value;
use crate::tensor::Tensor;

pub(in crate::ops) fn grouped(cx: &mut Cx<'_>) -> Result<()> {
    refuse_inputs(cx, &[(11, "head_sink"), (12, "k_scale"), (13, "v_scale")])?;
    refuse_attributes(cx)?;
    let (heads, kv_heads) = (count(cx, "num_heads")?, count(cx, "kv_num_heads")?);
    let [q, k, v] = operands(cx, heads, kv_heads)?;
    let queries = q.shape()[1];
    let pasts = [cx.optional(3), cx.optional(4)];
    let past = match &pasts[0] {
        Some(past) => four(past)?[2],
        None => 0,
    };
    check_lengths(cx, q.shape()[0], queries, past)?;
    let [q, k] = turn(cx, [q, k], [heads, kv_heads], past)?;
    let q = split_heads(cx, &q, heads)?;
    let k = split_heads(cx, &k, kv_heads)?;
    let v = split_heads(cx, &v, kv_heads)?;
    let [past_k, past_v] = pasts;
    let k = with_past(cx, past_k, k)?;
    let v = with_past(cx, past_v, v)?;
    let size = four(&q)?[3];
    let keys = four(&k)?[2];
    let dtype = q.dtype();
    let mut bias = cx.optional(10);
    let window = match cx.attributes.int("local_window_size", -1)? {
        -1 => None,
        // A query sees so many keys, its own among them.
        window @ 1.. => Some(window - 1),
        other => {
            return Err(invalid_model(format!(
                "attribute 'local_window_size' = {other}"
            )));
        }
    };
    if queries > 1 || window.is_some() {
        let seen = Frontier::After(past);
        let causal = window_bias(cx, [queries, keys], &seen, window, Some(0), dtype)?;
        bias = Some(add_bias(cx, bias, causal)?);
    }
    let scale = match cx.attributes.float("scale", 0.0)? {
        0.0 => 1.0 / (size as f32).sqrt(),
        given => given,
    };
    let call = Attention {
        q,
        k: k.clone(),
        v: v.clone(),
        bias,
        scale,
        softcap: cx.attributes.float("softcap", 0.0)?,
    };
    let out = call.lower(cx)?;
    let out = merge_heads(cx, &out)?;
    cx.set(0, out);
    cx.set(1, k);
    cx.set(2, v);
    Ok(())
}

/// Refuses a cache of quantised numbers and what changes the softmax.
fn refuse_attributes(cx: &Cx<'_>) -> Result<()> {
    for name in ["k_quant_type", "v_quant_type"] {
        let kind = cx.attributes.text(name, "NONE")?;
        if kind != "NONE" {
            return Err(unsupported(format!(
                "attribute '{name}' = \"{kind}\" is not supported"
            )));
        }
    }
    for name in ["kv_cache_bit_width", "qk_output", "smooth_softmax"] {
        let given = cx.attributes.int(name, 0)?;
        if !matches!(given, -1 | 0) {
            return Err(unsupported(format!(
                "attribute '{name}' = {given} is not supported"
            )));
        }
    }
    Ok(())
}

/// Queries, keys and values `[batch, length, heads · size]`, which may be packed in the first input.
fn operands(cx: &mut Cx<'_>, heads: usize, kv_heads: usize) -> Result<[Value; 3]> {
    let q = cx.input(0)?;
    let &[_, _, hidden] = q.shape() else {
        return Err(mismatch(format!(
            "{:?} is not [batch, length, hidden]",
            q.shape()
        )));
    };
    match (cx.optional(1), cx.optional(2)) {
        (Some(k), Some(v)) => Ok([q, k, v]),
        (None, None) => {
            let all = heads + 2 * kv_heads;
            if !hidden.is_multiple_of(all) {
                return Err(mismatch(format!(
                    "{hidden} features do not divide into {heads} heads of queries and {kv_heads} of keys and values"
                )));
            }
            let size = hidden / all;
            let mut start = 0;
            let mut parts = Vec::with_capacity(3);
            for count in [heads, kv_heads, kv_heads] {
                parts.push(part(cx, &q, 2, start, count * size)?);
                start += count * size;
            }
            <[Value; 3]>::try_from(parts).map_err(|_| mismatch("three parts"))
        }
        _ => Err(invalid_model("keys without values, or values without keys")),
    }
}

/// Checks that every batch has all of the past behind it; a prompt may be filled up on the right, where results mean nothing.
fn check_lengths(cx: &Cx<'_>, batch: usize, queries: usize, past: usize) -> Result<()> {
    let missing = || invalid_model("the lengths of the sequences are missing");
    let last = cx.constant(5)?.ok_or_else(missing)?.to_i64_vec()?;
    let total = cx.constant(6)?.ok_or_else(missing)?.to_i64_vec()?;
    let (&[total], true) = (total.as_slice(), last.len() == batch) else {
        return Err(mismatch(format!(
            "{} lengths and {} totals for {batch} batches",
            last.len(),
            total.len()
        )));
    };
    let whole = (past + queries) as i64;
    let fits = if past == 0 {
        last.iter().all(|&last| (0..whole).contains(&last)) && total == whole
    } else {
        last.iter().all(|&last| last == whole - 1) && total == whole
    };
    if fits {
        return Ok(());
    }
    Err(unsupported(format!(
        "sequences that end at {last:?} of {total} tokens, with a cache of {past} and {queries} new ones, are not supported: the cache has to hold \
         what came before, and nothing else"
    )))
}

/// Queries and keys turned by their positions, where the node asks for it.
fn turn(cx: &mut Cx<'_>, [q, k]: [Value; 2], heads: [usize; 2], past: usize) -> Result<[Value; 2]> {
    let interleaved = cx.attributes.flag("rotary_interleaved", false)?;
    if !cx.attributes.flag("do_rotary", false)? {
        return Ok([q, k]);
    }
    let (cos, sin) = (cx.input(7)?, cx.input(8)?);
    let positions = match cx.optional(9) {
        Some(positions) => positions,
        None => {
            let length = q.shape()[1];
            let counted = eval::counted(vec![1, length])?;
            let from = counted.to_i64_vec()?.into_iter().map(|at| at + past as i64);
            Value::Const(Tensor::i64([1, length], from.collect())?)
        }
    };
    let mut turn = |x: Value, heads: usize| {
        let pairs = Pairs {
            heads,
            rotated: 2 * cos.shape().last().copied().unwrap_or_default(),
            interleaved,
        };
        let caches = [cos.clone(), sin.clone()];
        turned(cx, x, caches, Some(positions.clone()), pairs)
    };
    Ok([turn(q, heads[0])?, turn(k, heads[1])?])
}
