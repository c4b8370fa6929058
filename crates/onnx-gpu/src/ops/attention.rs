//! Scaled dot-product attention, and the forms in which models ask for it:
//! [`Attention`](https://onnx.ai/onnx/operators/onnx__Attention.html) here, those of ONNX Runtime in [`contrib`].
//!
//! Opset notes: `Attention` came with 23, `nonpad_kv_seqlen` with 24, the window sizes with 25.

pub(super) mod contrib;
pub(super) mod grouped;
pub(super) mod masks;

use super::elementwise::{binary, unary};
use super::flash::{Call, in_blocks};
use super::matmul::product;
use super::movement::{join, permuted};
use crate::context::Cx;
use crate::error::{Error, Result, mismatch, unsupported};
use crate::kernels::elementwise::{BinaryOp, UnaryOp};
use crate::kernels::softmax::{Softmax, softmax};
use crate::program::Value;
use crate::tensor::broadcast;
use crate::tensor::{DType, Tensor};
use masks::{Frontier, add_bias, additive, padded, window_bias};

/// `softmax(softcap(scale · Q·Kᵀ) + bias) · V` over `[batch, heads, length, size]`; several query heads may share a key head.
#[derive(Clone)]
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

/// What becomes of the scores on their way to the weights.
pub(super) struct Stages {
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
    /// The result alone; scores are stored only where the kernel does not suit, and then not more than one buffer holds.
    pub fn lower(self, cx: &mut Cx<'_>) -> Result<Value> {
        let grid = self.grid()?;
        let [q, k, v] = self.shared(cx, grid)?;
        let bias = match &self.bias {
            Some(bias) => Some(grid.split_bias(cx, bias)?),
            None => None,
        };
        let call = Call {
            q: &q,
            k: &k,
            v: &v,
            mask: bias.as_ref(),
            keys_in_rows: true,
            scale: self.scale,
            softcap: self.softcap,
            guarded: bias.is_some(),
        };
        let out = match call.flash(cx)? {
            Some(out) => out,
            None => {
                let scores = [grid.batch * grid.heads, grid.keys];
                in_blocks(cx, &self.q, self.bias.as_ref(), scores, |cx, q, bias| {
                    let some = Self {
                        q: q.clone(),
                        bias: bias.cloned(),
                        ..self.clone()
                    };
                    Ok(some.in_stages(cx)?.0)
                })?
            }
        };
        cx.reshaped(out, vec![grid.batch, grid.heads, grid.queries, grid.v_size])
    }

    fn grid(&self) -> Result<Grid> {
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
        Ok(Grid {
            batch,
            heads,
            kv_heads,
            queries,
            keys,
            size,
            v_size,
        })
    }

    /// Queries, keys and values. Query heads that share a key head get an axis of their own, over which keys and values
    /// broadcast.
    fn shared(&self, cx: &Cx<'_>, g: Grid) -> Result<[Value; 3]> {
        let own = [self.q.clone(), self.k.clone(), self.v.clone()];
        if g.heads == g.kv_heads {
            return Ok(own);
        }
        let [q, k, v] = own;
        let split = |x: Value, share: usize, rows: usize, columns: usize| {
            cx.reshaped(x, vec![g.batch, g.kv_heads, share, rows, columns])
        };
        Ok([
            split(q, g.heads / g.kv_heads, g.queries, g.size)?,
            split(k, 1, g.keys, g.size)?,
            split(v, 1, g.keys, g.v_size)?,
        ])
    }

    /// The result by one operator after the other, and the scores between them.
    pub fn in_stages(&self, cx: &mut Cx<'_>) -> Result<(Value, Stages)> {
        let g = self.grid()?;
        let [q, k, v] = self.shared(cx, g)?;
        let shape = vec![g.batch, g.heads, g.queries, g.keys];
        let scores = product(cx, &q, &k, true, self.scale)?;
        let scores = cx.reshaped(scores, shape.clone())?;
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
        if biased.shape() != shape {
            return Err(g.misfit(&self.bias));
        }
        let geometry = Softmax {
            outer: g.batch * g.heads * g.queries,
            axis: g.keys,
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
        let by_key_head = if g.heads == g.kv_heads {
            weights.clone()
        } else {
            let share = g.heads / g.kv_heads;
            let shape = vec![g.batch, g.kv_heads, share, g.queries, g.keys];
            cx.reshaped(weights.clone(), shape)?
        };
        let out = product(cx, &by_key_head, &v, false, 1.0)?;
        let out = cx.reshaped(out, vec![g.batch, g.heads, g.queries, g.v_size])?;
        let stages = Stages {
            scores,
            capped,
            biased,
            weights,
        };
        Ok((out, stages))
    }
}

/// The sizes of one attention.
#[derive(Clone, Copy)]
struct Grid {
    batch: usize,
    heads: usize,
    kv_heads: usize,
    queries: usize,
    keys: usize,
    size: usize,
    v_size: usize,
}

impl Grid {
    /// A mask of `[batch, heads, queries, keys]` or what broadcasts to it, as it broadcasts to the scores of [`Attention::shared`].
    fn split_bias(&self, cx: &Cx<'_>, bias: &Value) -> Result<Value> {
        let wanted = [self.batch, self.heads, self.queries, self.keys];
        if broadcast(bias.shape(), &wanted)? != wanted {
            return Err(self.misfit(&Some(bias.clone())));
        }
        let Some(at) = bias.rank().checked_sub(3) else {
            return Ok(bias.clone());
        };
        if self.heads == self.kv_heads {
            return Ok(bias.clone());
        }
        let mut shape = bias.shape().to_vec();
        let split = match shape[at] {
            1 => [1, 1],
            heads => [self.kv_heads, heads / self.kv_heads],
        };
        shape.splice(at..=at, split);
        cx.reshaped(bias.clone(), shape)
    }

    fn misfit(&self, bias: &Option<Value>) -> Error {
        mismatch(format!(
            "a mask {:?} does not fit scores {:?}",
            bias.as_ref().map(Value::shape),
            [self.batch, self.heads, self.queries, self.keys]
        ))
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
    let mode = cx.attributes.int("qk_matmul_output_mode", 0)?;
    let out = if cx.wants(3) {
        let (out, stages) = call.in_stages(cx)?;
        let stage = match mode {
            0 => stages.scores,
            1 => stages.capped,
            2 => stages.biased,
            3 => stages.weights,
            other => {
                return Err(unsupported(format!(
                    "attribute 'qk_matmul_output_mode' = {other} is not supported"
                )));
            }
        };
        cx.set(3, stage);
        out
    } else {
        call.lower(cx)?
    };
    let out = if flat { merge_heads(cx, &out)? } else { out };
    cx.set(0, out);
    cx.set(1, k);
    cx.set(2, v);
    Ok(())
}
