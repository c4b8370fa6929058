//! Scaled dot-product attention, and the forms in which models ask for it:
//! [`Attention`](https://onnx.ai/onnx/operators/onnx__Attention.html) here, those of ONNX Runtime in [`contrib`].
//!
//! Opset notes: `Attention` came with 23, `nonpad_kv_seqlen` with 24, the window sizes with 25.

pub(super) mod contrib;
pub(super) mod masks;

use super::elementwise::{binary, unary};
use super::matmul::product;
use super::movement::{join, permuted};
use crate::error::{Result, mismatch, unsupported};
use crate::kernels::elementwise::{BinaryOp, UnaryOp};
use crate::kernels::softmax::{Softmax, softmax};
use crate::lower::{Cx, Value};
use crate::tensor::{DType, Tensor};
use masks::{Frontier, add_bias, additive, padded, window_bias};

/// `softmax(softcap(scale · Q·Kᵀ) + bias) · V` over `[batch, heads, length, size]`; several query heads may share a key head.
pub(super) struct Attention {
    pub q: Value,
    pub k: Value,
    pub v: Value,
    /// Added to the scores; broadcasts to `[batch, heads, queries, keys]`.
    pub bias: Option<Value>,
    pub scale: f32,
    /// `c · tanh(x / c)` on the scores; 0 for none.
    pub softcap: f32,
}

/// The result and the stages of the scores.
pub(super) struct Attended {
    pub out: Value,
    pub scores: Value,
    pub capped: Value,
    pub biased: Value,
    pub weights: Value,
}

fn scalar(value: f32, dtype: DType) -> Result<Value> {
    Ok(Value::Const(Tensor::f32([], vec![value])?.cast(dtype)))
}

/// `[b, h, l, d]` of a value.
pub(super) fn four(x: &Value) -> Result<[usize; 4]> {
    match *x.shape() {
        [b, h, l, d] => Ok([b, h, l, d]),
        _ => Err(mismatch(format!(
            "{:?} is not [batch, heads, length, size]",
            x.shape()
        ))),
    }
}

impl Attention {
    pub fn lower(self, cx: &mut Cx<'_>) -> Result<Attended> {
        let [batch, heads, queries, size] = four(&self.q)?;
        let [kb, kv_heads, keys, k_size] = four(&self.k)?;
        let [vb, v_heads, v_keys, v_size] = four(&self.v)?;
        if [kb, vb] != [batch; 2]
            || v_heads != kv_heads
            || v_keys != keys
            || k_size != size
            || kv_heads == 0
            || !heads.is_multiple_of(kv_heads)
            || size == 0
            || keys == 0
        {
            return Err(mismatch(format!(
                "queries {:?}, keys {:?} and values {:?} do not fit",
                self.q.shape(),
                self.k.shape(),
                self.v.shape()
            )));
        }
        // Query heads that share a key head get an axis of their own, over which keys and values broadcast.
        let share = heads / kv_heads;
        let split = |cx: &Cx<'_>, x: Value, [h, g]: [usize; 2], rest: [usize; 2]| {
            cx.reshaped(x, vec![batch, h, g, rest[0], rest[1]])
        };
        let (q, k, v) = if share == 1 {
            (self.q, self.k, self.v)
        } else {
            (
                split(cx, self.q, [kv_heads, share], [queries, size])?,
                split(cx, self.k, [kv_heads, 1], [keys, size])?,
                split(cx, self.v, [kv_heads, 1], [keys, v_size])?,
            )
        };
        let scores = product(cx, &q, &k, true, self.scale)?;
        let scores = cx.reshaped(scores, vec![batch, heads, queries, keys])?;
        let mut capped = scores.clone();
        if self.softcap != 0.0 {
            let cap = scalar(self.softcap, scores.dtype())?;
            let ratio = binary(cx, BinaryOp::Div, &scores, &cap)?;
            let bounded = unary(cx, UnaryOp::Tanh, &ratio)?;
            capped = binary(cx, BinaryOp::Mul, &bounded, &cap)?;
        }
        let biased = match &self.bias {
            Some(bias) => binary(cx, BinaryOp::Add, &capped, bias)?,
            None => capped.clone(),
        };
        if biased.shape() != [batch, heads, queries, keys] {
            return Err(mismatch(format!(
                "a mask {:?} does not fit scores {:?}",
                self.bias.as_ref().map(Value::shape),
                scores.shape()
            )));
        }
        let geometry = Softmax {
            outer: batch * heads * queries,
            axis: keys,
            inner: 1,
            log: false,
            zero_if_empty: self.bias.is_some(),
        };
        let class = cx.class();
        let weights = cx.launch(
            || softmax(&geometry, class),
            &[&biased],
            biased.shape(),
            biased.dtype(),
        )?;
        let shared = if share == 1 {
            weights.clone()
        } else {
            split(cx, weights.clone(), [kv_heads, share], [queries, keys])?
        };
        let out = product(cx, &shared, &v, false, 1.0)?;
        let out = cx.reshaped(out, vec![batch, heads, queries, v_size])?;
        Ok(Attended {
            out,
            scores,
            capped,
            biased,
            weights,
        })
    }
}

/// `[batch, length, heads · size]` to `[batch, heads, length, size]`.
pub(super) fn split_heads(cx: &mut Cx<'_>, x: &Value, heads: usize) -> Result<Value> {
    let &[batch, length, hidden] = x.shape() else {
        return Err(mismatch(format!(
            "{:?} is not [batch, length, hidden]",
            x.shape()
        )));
    };
    if heads == 0 || !hidden.is_multiple_of(heads) {
        return Err(mismatch(format!(
            "{hidden} features do not divide into {heads} heads"
        )));
    }
    let view = cx.reshaped(x.clone(), vec![batch, length, heads, hidden / heads])?;
    permuted(cx, &view, &[0, 2, 1, 3])
}

/// The inverse of [`split_heads`].
pub(super) fn merge_heads(cx: &mut Cx<'_>, x: &Value) -> Result<Value> {
    let [batch, heads, length, size] = four(x)?;
    let moved = permuted(cx, x, &[0, 2, 1, 3])?;
    cx.reshaped(moved, vec![batch, length, heads * size])
}

/// A positive integer attribute.
pub(super) fn count(cx: &Cx<'_>, name: &str) -> Result<usize> {
    let given = cx.attributes.int(name, 0)?;
    usize::try_from(given)
        .ok()
        .filter(|&n| n > 0)
        .ok_or_else(|| mismatch(format!("attribute '{name}' = {given}")))
}

/// `past` before `x` along the sequence.
pub(super) fn with_past(cx: &mut Cx<'_>, past: Option<Value>, x: Value) -> Result<Value> {
    match past {
        Some(past) if past.elements() > 0 => join(cx, &[past, x], 2),
        _ => Ok(x),
    }
}

pub(super) fn attention(cx: &mut Cx<'_>) -> Result<()> {
    let (q, k, v) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let flat = q.rank() == 3;
    let (q, k, v) = if flat {
        let heads = count(cx, "q_num_heads")?;
        let kv_heads = count(cx, "kv_num_heads")?;
        (
            split_heads(cx, &q, heads)?,
            split_heads(cx, &k, kv_heads)?,
            split_heads(cx, &v, kv_heads)?,
        )
    } else {
        cx.attributes.ignore(&["q_num_heads", "kv_num_heads"]);
        (q, k, v)
    };
    // Scores and softmax are always computed in 32 bits.
    cx.attributes.ignore(&["softmax_precision"]);
    let past = cx.optional(4);
    let past_length = past.as_ref().map_or(Ok(0), |p| four(p).map(|s| s[2]))?;
    let k = with_past(cx, past, k)?;
    let past = cx.optional(5);
    let v = with_past(cx, past, v)?;
    let ([batch, _, queries, size], [_, _, keys, _]) = (four(&q)?, four(&k)?);
    let dtype = q.dtype();
    let mut bias = match cx.optional(3) {
        Some(mask) => {
            let mask = padded(cx, mask, keys)?;
            Some(additive(cx, &mask, dtype)?)
        }
        None => None,
    };
    let lengths = cx.optional(6);
    let frontier = match &lengths {
        Some(lengths) => Frontier::PerBatch(cx.reshaped(lengths.clone(), vec![batch, 1, 1, 1])?),
        None => Frontier::After(past_length),
    };
    let side = |name| -> Result<Option<i64>> {
        Ok(Some(cx.attributes.int(name, -1)?).filter(|&n| n >= 0))
    };
    let (left, mut right) = (side("left_window_size")?, side("right_window_size")?);
    if cx.attributes.flag("is_causal", false)? {
        right = Some(right.map_or(0, |r| r.min(0)));
    }
    if left.is_some() || right.is_some() {
        let window = window_bias(cx, [queries, keys], &frontier, left, right, dtype)?;
        bias = Some(add_bias(cx, bias, window)?);
    }
    if let Frontier::PerBatch(lengths) = &frontier {
        let valid = masks::below(cx, keys, lengths)?;
        let valid = additive(cx, &valid, dtype)?;
        bias = Some(add_bias(cx, bias, valid)?);
    }
    let default = 1.0 / (size as f32).sqrt();
    let call = Attention {
        q,
        k: k.clone(),
        v: v.clone(),
        bias,
        scale: cx.attributes.float("scale", default)?,
        softcap: cx.attributes.float("softcap", 0.0)?,
    };
    let done = call.lower(cx)?;
    let out = if flat {
        merge_heads(cx, &done.out)?
    } else {
        done.out
    };
    let stage = match cx.attributes.int("qk_matmul_output_mode", 0)? {
        0 => done.scores,
        1 => done.capped,
        2 => done.biased,
        3 => done.weights,
        other => {
            return Err(unsupported(format!(
                "attribute 'qk_matmul_output_mode' = {other} is not supported"
            )));
        }
    };
    cx.set(0, out);
    cx.set(1, k);
    cx.set(2, v);
    cx.set(3, stage);
    Ok(())
}
