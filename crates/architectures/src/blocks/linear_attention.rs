//! Attention that is linear in the number of tokens (Katharopoulos et al., arXiv:2006.16236) with ReLU in place of the softmax, as EfficientViT
//! has it (Cai et al., arXiv:2205.14756).

use crate::network::{Scope, Value};

/// Keeps a token that nothing looks at from a division by 0.
const LEAST: f32 = 1e-15;

impl Scope<'_, '_> {
    /// Queries, keys and values `[batch, heads, size, tokens]` to what the queries see, in the same shape.
    pub fn linear_attention(&mut self, [q, k, v]: [Value; 3]) -> Value {
        let q = self.node("Relu", &[q], &[]);
        let k = self.node("Relu", &[k], &[]);
        let turned = self.node("Transpose", &[k], &[("perm", [0, 1, 3, 2].into())]);
        let pairs = self.node("MatMul", &[v, turned], &[]);
        let seen = self.node("MatMul", &[pairs, q], &[]);
        let last = self.integers(&[3]);
        let sums = self.node("ReduceSum", &[k, last], &[("keepdims", 0.into())]);
        let axis = self.integers(&[2]);
        let sums = self.node("Unsqueeze", &[sums, axis], &[]);
        let shares = self.node("MatMul", &[sums, q], &[]);
        let least = self.number(LEAST);
        let shares = self.add(shares, least);
        self.divide(seen, shares)
    }
}
