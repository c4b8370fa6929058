//! LayerNorm as exporters before opset 17 write it.

use super::view::{View, either, fused, is_op, two};
use crate::graph::{Node, ValueId};
use crate::proto::{Attribute, AttributeValue};

/// `(x - mean) / sqrt(mean((x - mean)²) + ε) · scale + bias` over the last axis.
///
/// The inputs of the fused node are X, scale and bias, its attribute ε.
pub(super) fn matches(view: &View<'_>, node: &Node) -> Option<Node> {
    if !is_op(node, "Add") {
        return None;
    }
    either(node).find_map(|[scaled, bias]| {
        vector(view, bias)?;
        either(view.sole_op(scaled, "Mul")?).find_map(|[normal, scale]| {
            vector(view, scale)?;
            let [centred, deviation] = two(view.sole_op(normal, "Div")?)?;
            let variance = one(view.sole_op(deviation, "Sqrt")?)?;
            let (squares, epsilon) = either(view.sole_op(variance, "Add")?)
                .find_map(|[mean, e]| Some((mean_of(view, mean)?, view.scalar(e)?)))?;
            if !is_square_of(view, squares, centred) {
                return None;
            }
            let [x, mean] = two(view.producer(centred).filter(|n| is_op(n, "Sub"))?)?;
            if mean_of(view, mean)? != x {
                return None;
            }
            let mut out = fused(node, "LayerNorm", &[x, scale, bias]);
            out.attributes = vec![Attribute {
                name: "epsilon".into(),
                value: AttributeValue::Float(epsilon),
            }];
            Some(out)
        })
    })
}

fn one(node: &Node) -> Option<ValueId> {
    match node.inputs.as_slice() {
        &[Some(x)] => Some(x),
        _ => None,
    }
}

/// A constant of rank 1.
fn vector(view: &View<'_>, id: ValueId) -> Option<()> {
    (view.constant_shape(id)?.len() == 1).then_some(())
}

/// What `ReduceMean` over the last axis, kept, is the mean of.
fn mean_of(view: &View<'_>, id: ValueId) -> Option<ValueId> {
    let node = view.producer(id).filter(|n| is_op(n, "ReduceMean"))?;
    let mut last = false;
    for attribute in &node.attributes {
        match (attribute.name.as_str(), &attribute.value) {
            ("axes", AttributeValue::Ints(axes)) => last = axes.as_slice() == [-1],
            ("keepdims", AttributeValue::Int(1)) | ("noop_with_empty_axes", _) => {}
            _ => return None,
        }
    }
    if let Some(axes) = node.inputs.get(1).copied().flatten() {
        last = view.constant(axes)?.to_i64_vec().ok()? == [-1];
    }
    last.then_some((*node.inputs.first()?)?)
}

fn is_square_of(view: &View<'_>, id: ValueId, x: ValueId) -> bool {
    if let Some([base, exponent]) = view.sole_op(id, "Pow").and_then(two) {
        return same(view, base, x) && view.scalar(exponent) == Some(2.0);
    }
    view.sole_op(id, "Mul")
        .and_then(two)
        .is_some_and(|[a, b]| a == b && same(view, a, x))
}

/// Equal values, or differences of equal operands: exporters repeat the subtraction.
fn same(view: &View<'_>, a: ValueId, b: ValueId) -> bool {
    let operands = |id| view.producer(id).filter(|n| is_op(n, "Sub")).and_then(two);
    a == b || operands(a).is_some_and(|pair| operands(b) == Some(pair))
}
