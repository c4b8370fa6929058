//! Normalisations.

use crate::error::Result;
use crate::network::{Scope, Value};

impl Scope<'_, '_> {
    /// PyTorch's `LayerNorm` of the last dimension: `weight` and `bias`.
    pub fn layer_norm(&mut self, x: Value, width: usize, epsilon: f32) -> Result<Value> {
        let weight = self.weight("weight", &[width])?;
        let bias = self.weight("bias", &[width])?;
        Ok(self.node(
            "LayerNormalization",
            &[x, weight, bias],
            &[("axis", (-1).into()), ("epsilon", epsilon.into())],
        ))
    }
}
