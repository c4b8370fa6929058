//! Normalisations.

use crate::error::Result;
use crate::network::{Scope, Value};

/// How planes are normalised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Groups {
    /// Groups of channels.
    pub count: usize,
    /// Added to the variance.
    pub epsilon: f32,
}

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

    /// PyTorch's `GroupNorm` of planes: `weight` and `bias`. Written as its exporters do, which `onnx-gpu` runs in one dispatch and
    /// rten, which has no operator for it, runs as well.
    pub fn group_norm(&mut self, x: Value, channels: usize, groups: Groups) -> Result<Value> {
        let weight = self.weight_as("weight", &[channels], &[channels, 1, 1])?;
        let bias = self.weight_as("bias", &[channels], &[channels, 1, 1])?;
        let ones = self.floats(&[groups.count], &vec![1.0; groups.count]);
        let zeros = self.floats(&[groups.count], &vec![0.0; groups.count]);
        let grouped = self.reshaped(x, &[0, groups.count as i64, -1]);
        let normal = self.node(
            "InstanceNormalization",
            &[grouped, ones, zeros],
            &[("epsilon", groups.epsilon.into())],
        );
        let shape = self.node("Shape", &[x], &[]);
        let normal = self.node("Reshape", &[normal, shape], &[]);
        let scaled = self.multiply(normal, weight);
        Ok(self.add(scaled, bias))
    }
}
