//! Products with a matrix.

use std::ops::Range;

use crate::error::Result;
use crate::network::{Scope, Value};

impl Scope<'_, '_> {
    /// PyTorch's `Linear` of rows: `weight` `[to, from]` and, if it has one, `bias` `[to]`.
    pub fn linear(&mut self, rows: Value, [from, to]: [usize; 2], bias: bool) -> Result<Value> {
        let weight = self.weight("weight", &[to, from])?;
        let mut inputs = vec![rows, weight];
        if bias {
            inputs.push(self.weight("bias", &[to])?);
        }
        Ok(self.node("Gemm", &inputs, &[("transB", 1.into())]))
    }

    /// The part of [`Self::linear`] that makes the columns `to` of `all`.
    pub fn linear_part(
        &mut self,
        rows: Value,
        [from, all]: [usize; 2],
        to: Range<usize>,
    ) -> Result<Value> {
        let weight = self.weight_rows("weight", &[all, from], to.clone())?;
        let bias = self.weight_rows("bias", &[all], to)?;
        Ok(self.node("Gemm", &[rows, weight, bias], &[("transB", 1.into())]))
    }

    /// Tokens `[batch, tokens, width]` as rows.
    pub fn rows(&mut self, tokens: Value, width: usize) -> Value {
        self.reshaped(tokens, &[-1, width as i64])
    }

    /// Rows as tokens `[batch, tokens, width]`.
    pub fn tokens(&mut self, rows: Value, width: usize) -> Value {
        self.batched(rows, &[-1, width as i64])
    }
}
