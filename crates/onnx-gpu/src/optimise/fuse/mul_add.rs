//! A product and the sum after it: modulations `x·scale + shift` and gated residuals `x + gate·y`.

use super::view::{View, either, fused, is_op, two};
use crate::graph::Node;

/// The inputs of the fused node are both factors and the addend.
pub(super) fn matches(view: &View<'_>, node: &Node) -> Option<Node> {
    if !is_op(node, "Add") {
        return None;
    }
    either(node).find_map(|[product, addend]| {
        let [a, b] = two(view.sole_op(product, "Mul")?)?;
        Some(fused(node, "MulAdd", &[a, b, addend]))
    })
}
