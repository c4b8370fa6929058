//! Scaled dot-product attention (Vaswani et al., arXiv:1706.03762) as exporters write it.

use super::view::{View, either, fused, is_op, two};
use crate::graph::{Node, ValueId};
use crate::proto::{Attribute, AttributeValue};

/// `softmax(scale·Q·K + mask)·V`, the scale split between Q, K and the product in any way, the softmax behind a guard that
/// turns the NaN of fully masked rows into 0.
///
/// The inputs of the fused node are Q `[.., m, d]`, K as the product takes it `[.., d, n]`, V `[.., n, e]` and the mask.
pub(super) fn matches(view: &View<'_>, node: &Node) -> Option<Node> {
    if !is_op(node, "MatMul") {
        return None;
    }
    let [weights, v] = two(node)?;
    let (softmax, guarded) = softmax(view, weights)?;
    let axis = softmax
        .attributes
        .iter()
        .find(|a| a.name == "axis")
        .map(|a| &a.value);
    let &[Some(scores)] = softmax.inputs.as_slice() else {
        return None;
    };
    let axis = match axis {
        None if view.graph.opset >= 13 => -1,
        Some(AttributeValue::Int(axis)) => *axis,
        _ => return None,
    };
    let (scaled, mask) = masked(view, scores);
    let (product, outer) = scale(view, scaled, true);
    let product = view.sole_op(product, "MatMul")?;
    let [q, k] = two(product)?;
    let (q, q_scale) = scale(view, q, false);
    let (k, k_scale) = scale(view, k, false);
    let mut inputs = vec![q, k, v];
    inputs.extend(mask);
    let mut out = fused(node, "Attention", &inputs);
    out.attributes = vec![
        attribute("scale", AttributeValue::Float(outer * q_scale * k_scale)),
        attribute("axis", AttributeValue::Int(axis)),
        attribute("guarded", AttributeValue::Int(i64::from(guarded))),
    ];
    Some(out)
}

fn attribute(name: &str, value: AttributeValue) -> Attribute {
    Attribute {
        name: name.into(),
        value,
    }
}

/// The softmax behind the attention weights, and whether NaN is replaced by 0.
fn softmax<'a>(view: &View<'a>, weights: ValueId) -> Option<(&'a Node, bool)> {
    if let Some(direct) = view.sole_op(weights, "Softmax") {
        return Some((direct, false));
    }
    let choice = view.sole_op(weights, "Where")?;
    let &[Some(test), Some(zero), Some(value)] = choice.inputs.as_slice() else {
        return None;
    };
    let test = view.sole_op(test, "IsNaN")?;
    let softmax = view.producer(value).filter(|n| is_op(n, "Softmax"))?;
    let fits =
        view.scalar(zero) == Some(0.0) && test.inputs == [Some(value)] && view.readers[value] == 2;
    fits.then_some((softmax, true))
}

/// Takes a sum apart into the product and the mask.
fn masked(view: &View<'_>, scores: ValueId) -> (ValueId, Option<ValueId>) {
    let parts = view.sole_op(scores, "Add").and_then(|sum| {
        either(sum).find(|&[product, _]| {
            let (product, _) = scale(view, product, true);
            view.sole_op(product, "MatMul").is_some()
        })
    });
    match parts {
        Some([product, mask]) => (product, Some(mask)),
        None => (scores, None),
    }
}

/// Takes a constant factor off a value. Only what this pattern alone reads may change if `sole`.
fn scale(view: &View<'_>, id: ValueId, sole: bool) -> (ValueId, f32) {
    let Some(node) = view.producer(id) else {
        return (id, 1.0);
    };
    if sole && view.readers[id] != 1 {
        return (id, 1.0);
    }
    if is_op(node, "Mul")
        && let Some((x, factor)) =
            either(node).find_map(|[x, factor]| Some((x, view.scalar(factor)?)))
    {
        return (x, factor);
    }
    if is_op(node, "Div")
        && let Some([x, divisor]) = two(node)
        && let Some(divisor) = view.scalar(divisor)
    {
        return (x, 1.0 / divisor);
    }
    (id, 1.0)
}
