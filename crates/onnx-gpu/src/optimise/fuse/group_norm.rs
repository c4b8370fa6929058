//! GroupNorm as PyTorch's exporters write it: Reshape, InstanceNormalization by 1 and 0, Reshape, Mul, Add. The second Reshape
//! goes to a constant shape, or to the Shape of what the first one took.

use super::view::{View, either, fused, is_op};
use crate::graph::{Node, ValueId};

/// The inputs of the fused node are X, scale, bias and the targets of both reshapes.
pub(super) fn matches(view: &View<'_>, node: &Node) -> Option<Node> {
    if !is_op(node, "Add") {
        return None;
    }
    either(node).find_map(|[scaled, bias]| {
        view.constant(bias)?;
        either(view.sole_op(scaled, "Mul")?).find_map(|[restored, scale]| {
            view.constant(scale)?;
            let (normal, back) = reshape(view, restored)?;
            let norm = view.sole_op(normal, "InstanceNormalization")?;
            let &[Some(grouped), Some(ones), Some(zeros)] = norm.inputs.as_slice() else {
                return None;
            };
            let all = |id: ValueId, value: f32| {
                view.constant(id)
                    .is_some_and(|t| t.to_f32_vec().iter().all(|&x| x == value))
            };
            if !all(ones, 1.0) || !all(zeros, 0.0) {
                return None;
            }
            let (x, groups) = reshape(view, grouped)?;
            view.constant(groups)?;
            let back_to_x = |shape: &Node| shape.inputs == [Some(x)] && shape.attributes.is_empty();
            if view.constant(back).is_none()
                && !view
                    .producer(back)
                    .is_some_and(|node| is_op(node, "Shape") && back_to_x(node))
            {
                return None;
            }
            let mut out = fused(node, "GroupNorm", &[x, scale, bias, groups, back]);
            out.attributes.clone_from(&norm.attributes);
            Some(out)
        })
    })
}

/// Input and target of a reshape in which 0 copies a dimension.
fn reshape(view: &View<'_>, id: ValueId) -> Option<(ValueId, ValueId)> {
    let node = view.sole_op(id, "Reshape")?;
    let &[Some(x), Some(target)] = node.inputs.as_slice() else {
        return None;
    };
    let copies = node
        .attributes
        .iter()
        .all(|a| a.name == "allowzero" && matches!(a.value, crate::proto::AttributeValue::Int(0)));
    copies.then_some((x, target))
}
