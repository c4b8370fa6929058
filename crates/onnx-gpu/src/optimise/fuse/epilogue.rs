//! Bias, residual and activation moved into the operator before them.

use super::view::{View, either, is_op};
use crate::graph::{CONTRIB_DOMAIN, Epilogue, FUSED_DOMAIN, Node, is_onnx};
use crate::kernels::Activation;

/// Whether a node is a product with a matrix of blocks.
fn is_of_blocks(node: &Node) -> bool {
    node.domain == CONTRIB_DOMAIN && node.op == "MatMulNBits"
}

/// `MatMul` by a constant matrix or one of blocks, then `Add` of a constant row.
pub(super) fn bias(view: &View<'_>, node: &Node) -> Option<Node> {
    if !is_op(node, "Add") {
        return None;
    }
    either(node).find_map(|[product, row]| {
        let matmul = view.sole(product)?;
        let matrix = view.constant_shape((*matmul.inputs.get(1)?)?)?;
        let columns = match *matrix {
            [_, columns] if is_op(matmul, "MatMul") => columns,
            // A bias of its own is its last input.
            [columns, ..]
                if is_of_blocks(matmul)
                    && matmul.epilogue == Epilogue::default()
                    && matmul.inputs.len() < 6 =>
            {
                columns
            }
            _ => return None,
        };
        let fits = *view.constant_shape(row)? == [columns];
        fits.then(|| Node {
            outputs: node.outputs.clone(),
            epilogue: Epilogue {
                bias: Some(row),
                ..Epilogue::default()
            },
            ..matmul.clone()
        })
    })
}

/// `Conv`, `MatMul` or `Gemm`, then `Add` of a computed value.
pub(super) fn residual(view: &View<'_>, node: &Node) -> Option<Node> {
    if !is_op(node, "Add") {
        return None;
    }
    either(node).find_map(|[out, other]| {
        let before = view.sole(out)?;
        let known = is_onnx(&before.domain)
            && matches!(before.op.as_str(), "Conv" | "MatMul" | "Gemm")
            || is_of_blocks(before);
        let takes = known
            && before.epilogue.residual.is_none()
            && before.epilogue.activation == Activation::None;
        if !takes || view.constant_shape(other).is_some() || other == out {
            return None;
        }
        Some(Node {
            outputs: node.outputs.clone(),
            epilogue: Epilogue {
                residual: Some(other),
                ..before.epilogue.clone()
            },
            ..before.clone()
        })
    })
}

/// An activation after an operator whose kernel can apply it.
pub(super) fn activation(view: &View<'_>, node: &Node) -> Option<Node> {
    if !node.attributes.is_empty() || node.epilogue != Epilogue::default() {
        return None;
    }
    let activation = match (node.domain.as_str(), node.op.as_str()) {
        (FUSED_DOMAIN, "Silu") => Activation::Silu,
        (FUSED_DOMAIN, "QuickGelu") => Activation::QuickGelu,
        (FUSED_DOMAIN, "Gelu") => Activation::Gelu,
        _ if is_op(node, "Relu") => Activation::Relu,
        _ if is_op(node, "Sigmoid") => Activation::Sigmoid,
        _ if is_op(node, "Tanh") => Activation::Tanh,
        _ => return None,
    };
    let &[Some(input)] = node.inputs.as_slice() else {
        return None;
    };
    let before = view.sole(input)?;
    let takes = is_of_blocks(before)
        || matches!(
            (before.domain.as_str(), before.op.as_str()),
            (FUSED_DOMAIN, "GroupNorm")
                | (
                    "" | "ai.onnx",
                    "Conv" | "MatMul" | "Gemm" | "InstanceNormalization" | "GroupNormalization"
                )
        );
    if !takes || before.epilogue.activation != Activation::None {
        return None;
    }
    let mut out = before.clone();
    out.outputs.clone_from(&node.outputs);
    out.epilogue.activation = activation;
    Some(out)
}
