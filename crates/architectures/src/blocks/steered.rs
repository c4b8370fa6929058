//! Sub-layers that are steered by numbers of which a run computes them (Peebles & Xie, arXiv:2212.09748): shift and scale of a norm, and
//! a gate.

use crate::error::Result;
use crate::network::{Scope, Value};

impl Scope<'_, '_> {
    /// `N` neighbours of width `width` of one row, `[width]` each.
    pub fn pieces<const N: usize>(&mut self, row: Value, width: usize) -> [Value; N] {
        let flat = self.reshaped(row, &[-1]);
        let mut start = 0;
        [(); N].map(|()| {
            let piece = self.slice(flat, 0, start, start + width as i64);
            start += width as i64;
            piece
        })
    }

    /// The layer `linear` of a row, as `N` pieces `[width]`.
    pub fn adaptive<const N: usize>(&mut self, row: Value, width: usize) -> Result<[Value; N]> {
        let mut layer = self.at("linear");
        let mut pieces = [Value::NONE; N];
        for (index, piece) in pieces.iter_mut().enumerate() {
            // One product each: together they are larger than what many devices bind.
            let start = index * width;
            let part = layer.linear_part(row, [width, N * width], start..start + width)?;
            *piece = layer.reshaped(part, &[-1]);
        }
        Ok(pieces)
    }

    /// [`Self::modulated`] by `1 + scale` and `shift` `[width]`.
    pub fn shifted(&mut self, rows: Value, [shift, scale]: [Value; 2], epsilon: f32) -> Value {
        let one = self.number(1.0);
        let scale = self.add(scale, one);
        self.modulated(rows, [scale, shift], epsilon)
    }

    /// [`Self::rms_norm`], whose weight is multiplied by `factor` `[width]` before.
    pub fn scaled_norm(
        &mut self,
        rows: Value,
        factor: Option<Value>,
        width: usize,
        epsilon: f32,
    ) -> Result<Value> {
        let mut weight = self.weight("weight", &[width])?;
        if let Some(factor) = factor {
            weight = self.multiply(weight, factor);
        }
        let attributes = [("axis", (-1).into()), ("epsilon", epsilon.into())];
        Ok(self.node("RMSNormalization", &[rows, weight], &attributes))
    }

    /// The first `count` rows, a scalar of the graph.
    pub fn before(&mut self, rows: Value, count: Value) -> Value {
        let [zero, count] = [self.integers(&[0]), self.reshaped(count, &[1])];
        let axis = zero;
        self.node("Slice", &[rows, zero, count, axis], &[])
    }

    /// The rows behind the first `count`.
    pub fn behind(&mut self, rows: Value, count: Value) -> Value {
        let [axis, count, end] = [
            self.integers(&[0]),
            self.reshaped(count, &[1]),
            self.integers(&[i64::from(i32::MAX)]),
        ];
        self.node("Slice", &[rows, count, end, axis], &[])
    }

    /// What a sub-layer gives, times its gate, and the rows before.
    pub fn through(&mut self, rows: Value, given: Value, gate: Value) -> Value {
        let given = self.multiply(given, gate);
        self.add(given, rows)
    }
}
