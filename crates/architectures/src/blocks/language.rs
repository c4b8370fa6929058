//! What networks of tokens are made of that came after CLIP: root mean squares, rotated heads, gated layers.

use super::{Activation, Heads};
use crate::error::Result;
use crate::network::{Scope, Value};

/// Widest inner layer that is computed at once: of 4,608 tokens, a picture of 1024² and its text, it takes 113 MB, and a binding
/// holds 128 MiB.
pub(crate) const WIDEST: usize = 6144;
/// ONNX's number of float32 and of truth values.
const FLOAT: i64 = 1;
const BOOL: i64 = 9;

/// Cosines and sines `[1, tokens, half of a head]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Angles {
    cos: Value,
    sin: Value,
    /// Whether neighbouring numbers are turned together, or those half a head apart.
    neighbours: bool,
}

/// What becomes of the products of queries and keys.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Scores {
    /// What they are multiplied with, in place of a head's size to the power of -½.
    pub scale: Option<f32>,
    /// `c · tanh(x / c)` of them, for a `c` other than 0.
    pub cap: f32,
}

/// Names of the three matrices of a gated layer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gated {
    /// One of its own each: through the activation, times, back.
    Apart([&'static str; 3]),
    /// The first two one above the other; back.
    Joined([&'static str; 2]),
}

/// First number and size of the parts in which a layer of so many numbers is computed.
pub(crate) fn parts(inner: usize) -> impl Iterator<Item = (usize, usize)> {
    parts_of(inner, WIDEST)
}

/// [`parts`] of at most `widest` numbers.
pub(crate) fn parts_of(inner: usize, widest: usize) -> impl Iterator<Item = (usize, usize)> {
    let part = inner.div_ceil(inner.div_ceil(widest.max(1)).max(1)).max(1);
    (0..inner)
        .step_by(part)
        .map(move |start| (start, part.min(inner - start)))
}

impl Scope<'_, '_> {
    /// PyTorch's `RMSNorm` of the last dimension.
    pub fn rms_norm(&mut self, x: Value, width: usize, epsilon: f32) -> Result<Value> {
        let weight = self.weight("weight", &[width])?;
        let attributes = [("axis", (-1).into()), ("epsilon", epsilon.into())];
        Ok(self.node("RMSNormalization", &[x, weight], &attributes))
    }

    /// [`Self::rms_norm`] of every head of rows.
    pub fn head_norm(
        &mut self,
        rows: Value,
        heads: usize,
        size: usize,
        epsilon: f32,
    ) -> Result<Value> {
        let each = self.reshaped(rows, &[-1, size as i64]);
        let normal = self.rms_norm(each, size, epsilon)?;
        Ok(self.rows(normal, heads * size))
    }

    /// Rows with a mean of 0 and a deviation of 1, times `scale` and plus `shift` `[width]`, which a run computes.
    pub fn modulated(&mut self, rows: Value, [scale, shift]: [Value; 2], epsilon: f32) -> Value {
        let attributes = [("axis", (-1).into()), ("epsilon", epsilon.into())];
        self.node("LayerNormalization", &[rows, scale, shift], &attributes)
    }

    /// 0, 1, 2 … as floats `[count, 1]`; `count` is a scalar of the graph.
    pub fn places(&mut self, count: Value) -> Value {
        let [zero, one] = [0, 1].map(|number| {
            let vector = self.integers(&[number]);
            self.scalar(vector)
        });
        let places = self.node("Range", &[zero, count, one], &[]);
        let floats = self.node("Cast", &[places], &[("to", FLOAT.into())]);
        self.reshaped(floats, &[-1, 1])
    }

    /// `width` zeros along the last axis, for each of its lines.
    pub fn still(&mut self, x: Value, width: i64) -> Value {
        let first = self.slice(x, -1, 0, 1);
        let zero = self.number(0.0);
        let nothing = self.multiply(first, zero);
        let zeros = self.floats(&[1, width as usize], &vec![0.0; width as usize]);
        self.add(nothing, zeros)
    }

    /// The only element of a value `[1]`.
    pub fn scalar(&mut self, one: Value) -> Value {
        let first = self.integers(&[0]);
        self.node("Squeeze", &[one, first], &[])
    }

    /// A size of a value, a scalar of the graph.
    pub fn size_of(&mut self, x: Value, axis: i64) -> Value {
        let one = self.node(
            "Shape",
            &[x],
            &[("start", axis.into()), ("end", (axis + 1).into())],
        );
        self.scalar(one)
    }

    /// Frequencies `θ^(-2i/size)` (Su et al., arXiv:2104.09864), `[1, size / 2]`.
    pub fn frequencies(&mut self, size: usize, theta: f64) -> Value {
        let of = |i: usize| theta.powf(-2.0 * i as f64 / size as f64) as f32;
        let all: Vec<f32> = (0..size / 2).map(of).collect();
        self.floats(&[1, all.len()], &all)
    }

    /// Of angles `[tokens, half of a head]`.
    pub fn angles(&mut self, angles: Value, neighbours: bool) -> Angles {
        let first = self.integers(&[0]);
        let angles = self.node("Unsqueeze", &[angles, first], &[]);
        Angles {
            cos: self.node("Cos", &[angles], &[]),
            sin: self.node("Sin", &[angles], &[]),
            neighbours,
        }
    }

    /// Rows of heads turned by their places, as tokens `[1, tokens, width]`.
    pub fn turned(&mut self, rows: Value, angles: Angles, heads: usize, size: usize) -> Value {
        let tokens = self.reshaped(rows, &[1, -1, (heads * size) as i64]);
        let attributes = [
            ("num_heads", (heads as i64).into()),
            ("interleaved", i64::from(angles.neighbours).into()),
        ];
        self.node(
            "RotaryEmbedding",
            &[tokens, angles.cos, angles.sin],
            &attributes,
        )
    }

    /// Attention of tokens `[1, tokens, width]` to rows; `mask`, which broadcasts to `[1, 1, queries, keys]`, says which of them are
    /// seen.
    pub fn looked(&mut self, qkv: [Value; 3], mask: Option<Value>, heads: Heads) -> Value {
        self.looked_by(qkv, mask, heads, Scores::default())
    }

    /// [`Self::looked`] by other scores.
    pub fn looked_by(
        &mut self,
        [q, k, v]: [Value; 3],
        mask: Option<Value>,
        heads: Heads,
        scores: Scores,
    ) -> Value {
        let v = self.reshaped(v, &[1, -1, (heads.shared * heads.size) as i64]);
        let mut inputs = vec![q, k, v];
        inputs.extend(mask);
        let mut attributes = vec![
            ("q_num_heads", (heads.count as i64).into()),
            ("kv_num_heads", (heads.shared as i64).into()),
            ("is_causal", i64::from(heads.causal).into()),
        ];
        attributes.extend(scores.scale.map(|scale| ("scale", scale.into())));
        if scores.cap != 0.0 {
            attributes.push(("softcap", scores.cap.into()));
        }
        let out = self.node("Attention", &inputs, &attributes);
        self.rows(out, heads.count * heads.size)
    }

    /// Numbers `[1, tokens]` that are not 0 where a token is seen, as a mask of [`Self::looked`].
    pub fn seen(&mut self, mask: Value) -> Value {
        let seen = self.node("Cast", &[mask], &[("to", BOOL.into())]);
        self.reshaped(seen, &[1, 1, 1, -1])
    }

    /// `f(x A) * (x B)` times C, in parts where it is wide: `[width, inner, out]`.
    pub fn gated(
        &mut self,
        rows: Value,
        names: Gated,
        activation: Activation,
        [width, inner, out]: [usize; 3],
    ) -> Result<Value> {
        let mut sum = None;
        for (start, size) in parts(inner) {
            let [gate, up, back] = match names {
                Gated::Apart([gate, up, back]) => [
                    self.weight_rows(gate, &[inner, width], start..start + size)?,
                    self.weight_rows(up, &[inner, width], start..start + size)?,
                    self.weight_columns(back, [out, inner], start, size)?,
                ],
                Gated::Joined([both, back]) => [
                    self.weight_rows(both, &[2 * inner, width], start..start + size)?,
                    self.weight_rows(
                        both,
                        &[2 * inner, width],
                        inner + start..inner + start + size,
                    )?,
                    self.weight_columns(back, [out, inner], start, size)?,
                ],
            };
            let hidden = self.through_gate(rows, gate, up, activation);
            sum = Some(self.product(hidden, back, sum));
        }
        // There is a part, since no size is 0.
        Ok(sum.unwrap_or(rows))
    }

    /// `f(x A) * (x B)`, of matrices `[inner, width]`.
    pub fn through_gate(
        &mut self,
        rows: Value,
        gate: Value,
        up: Value,
        activation: Activation,
    ) -> Value {
        let gate = self.product(rows, gate, None);
        let gate = self.activated(gate, activation);
        let up = self.product(rows, up, None);
        self.multiply(gate, up)
    }

    /// Rows times a matrix `[to, from]`, and what is added.
    pub fn product(&mut self, rows: Value, matrix: Value, more: Option<Value>) -> Value {
        let mut inputs = vec![rows, matrix];
        inputs.extend(more);
        self.node("Gemm", &inputs, &[("transB", 1.into())])
    }

    /// Columns of a weight `[rows, columns]`.
    pub fn weight_columns(
        &mut self,
        name: &str,
        shape: [usize; 2],
        start: usize,
        count: usize,
    ) -> Result<Value> {
        let weight = self.weight(name, &shape)?;
        if count == shape[1] {
            return Ok(weight);
        }
        Ok(self.slice(weight, 1, start as i64, (start + count) as i64))
    }

    /// A part of a value along an axis.
    pub fn slice(&mut self, x: Value, axis: i64, start: i64, end: i64) -> Value {
        let [start, end, axis] = [start, end, axis].map(|number| self.integers(&[number]));
        self.node("Slice", &[x, start, end, axis], &[])
    }
}
