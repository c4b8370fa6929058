//! SiLU, quick GELU and GELU as exporters write them.

use super::view::{View, either, fused, is_op};
use crate::graph::{Node, ValueId};

/// `x·sigmoid(x)`, `x·sigmoid(1.702 x)` or `x·½·(1 + erf(x/√2))` in any order of factors.
pub(super) fn matches(view: &View<'_>, node: &Node) -> Option<Node> {
    if !is_op(node, "Mul") {
        return None;
    }
    gated(view, node).or_else(|| gelu(view, node))
}

fn gated(view: &View<'_>, node: &Node) -> Option<Node> {
    either(node).find_map(|[x, gate]| {
        let &[Some(argument)] = view.sole_op(gate, "Sigmoid")?.inputs.as_slice() else {
            return None;
        };
        if argument == x {
            return Some(fused(node, "Silu", &[x]));
        }
        let scaled = view.sole_op(argument, "Mul")?;
        either(scaled)
            .any(|[y, factor]| y == x && view.is_scalar(factor, 1.702))
            .then(|| fused(node, "QuickGelu", &[x]))
    })
}

fn gelu(view: &View<'_>, node: &Node) -> Option<Node> {
    let mut factors = Vec::new();
    collect(view, node, 2, &mut factors);
    let [a, b, c] = factors.as_slice() else {
        return None;
    };
    let orders = [
        [a, b, c],
        [a, c, b],
        [b, a, c],
        [b, c, a],
        [c, a, b],
        [c, b, a],
    ];
    orders.into_iter().find_map(|[&x, &half, &cdf]| {
        let fits = view.is_scalar(half, 0.5) && is_cdf(view, x, cdf);
        fits.then(|| fused(node, "Gelu", &[x]))
    })
}

/// The factors of nested products.
fn collect(view: &View<'_>, node: &Node, depth: usize, out: &mut Vec<ValueId>) {
    for &id in node.inputs.iter().flatten() {
        match view.sole_op(id, "Mul") {
            Some(inner) if depth > 1 => collect(view, inner, depth - 1, out),
            _ => out.push(id),
        }
    }
}

/// `1 + erf(x/√2)`.
fn is_cdf(view: &View<'_>, x: ValueId, cdf: ValueId) -> bool {
    let Some(sum) = view.sole_op(cdf, "Add") else {
        return false;
    };
    either(sum).any(|[erf, one]| {
        view.is_scalar(one, 1.0)
            && view
                .sole_op(erf, "Erf")
                .and_then(|erf| erf.inputs.first().copied().flatten())
                .is_some_and(|argument| is_over_root2(view, x, argument))
    })
}

fn is_over_root2(view: &View<'_>, x: ValueId, argument: ValueId) -> bool {
    if let Some(div) = view.sole_op(argument, "Div") {
        return div.inputs[0] == Some(x)
            && div.inputs[1].is_some_and(|d| view.is_scalar(d, std::f32::consts::SQRT_2));
    }
    view.sole_op(argument, "Mul").is_some_and(|mul| {
        either(mul).any(|[y, f]| y == x && view.is_scalar(f, std::f32::consts::FRAC_1_SQRT_2))
    })
}
