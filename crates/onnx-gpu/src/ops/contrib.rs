//! Operators of the domain `com.microsoft`, which ONNX Runtime's optimiser and exporters write.
//!
//! Specifications: <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md>.

mod gather;
mod norm;

use super::elementwise::{activate, binary, unary};
use super::matmul::transposed_product;
use super::movement::part;
use super::{attention, conv, nbits, rotary};
use crate::context::{Cx, Lower};
use crate::error::{Result, mismatch, unsupported};
use crate::kernels::elementwise::{BinaryOp, UnaryOp};

pub(super) fn find(op: &str) -> Option<Lower> {
    Some(match op {
        "Attention" => attention::contrib::attention,
        "BiasAdd" => bias_add,
        "BiasGelu" => |cx| biased_unary(cx, UnaryOp::Gelu),
        "BiasSplitGelu" => bias_split_gelu,
        "FastGelu" => |cx| biased_unary(cx, UnaryOp::GeluTanh),
        "FusedConv" => conv::fused_conv,
        "FusedMatMul" => fused_matmul,
        "GatherBlockQuantized" => gather::gather_blocks,
        "Gelu" => |cx| biased_unary(cx, UnaryOp::Gelu),
        "GroupQueryAttention" => attention::grouped::grouped,
        "GroupNorm" => norm::group,
        "MatMulNBits" => nbits::matmul_nbits,
        "MultiHeadAttention" => attention::contrib::multi_head,
        "NhwcConv" => conv::nhwc_conv,
        "QuickGelu" => quick_gelu,
        "RotaryEmbedding" => rotary::contrib,
        "SimplifiedLayerNormalization" => super::norm::rms,
        "SkipGroupNorm" => norm::skip_group,
        "SkipLayerNormalization" => norm::skip_layer,
        "SkipSimplifiedLayerNormalization" => norm::skip_simplified,
        _ => return None,
    })
}

/// A function of X or, with a second input, of X + bias.
fn biased_unary(cx: &mut Cx<'_>, op: UnaryOp) -> Result<()> {
    let mut x = cx.input(0)?;
    if let Some(bias) = cx.optional(1) {
        x = binary(cx, BinaryOp::Add, &x, &bias)?;
    }
    let out = unary(cx, op, &x)?;
    cx.set(0, out);
    Ok(())
}

fn quick_gelu(cx: &mut Cx<'_>) -> Result<()> {
    let alpha = cx.attributes.float("alpha", 1.702)?;
    let x = cx.input(0)?;
    let out = unary(cx, UnaryOp::QuickGelu(alpha), &x)?;
    cx.set(0, out);
    Ok(())
}

/// X + bias + skip.
fn bias_add(cx: &mut Cx<'_>) -> Result<()> {
    let (x, bias, skip) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let sum = binary(cx, BinaryOp::Add, &x, &bias)?;
    let out = binary(cx, BinaryOp::Add, &sum, &skip)?;
    cx.set(0, out);
    Ok(())
}

/// The first half of X + bias times the GELU of the second.
fn bias_split_gelu(cx: &mut Cx<'_>) -> Result<()> {
    let (x, bias) = (cx.input(0)?, cx.input(1)?);
    let sum = binary(cx, BinaryOp::Add, &x, &bias)?;
    let last = sum.rank().saturating_sub(1);
    let width = sum.shape().last().copied().unwrap_or(0);
    if width == 0 || !width.is_multiple_of(2) {
        return Err(mismatch(format!("{:?} has no two halves", sum.shape())));
    }
    let hidden = part(cx, &sum, last, 0, width / 2)?;
    let gate = part(cx, &sum, last, width / 2, width / 2)?;
    let gate = unary(cx, UnaryOp::Gelu, &gate)?;
    let out = binary(cx, BinaryOp::Mul, &hidden, &gate)?;
    cx.set(0, out);
    Ok(())
}

fn fused_matmul(cx: &mut Cx<'_>) -> Result<()> {
    for name in ["transBatchA", "transBatchB"] {
        if cx.attributes.flag(name, false)? {
            return Err(unsupported(format!(
                "attribute '{name}' = 1 is not supported"
            )));
        }
    }
    let trans = [
        cx.attributes.flag("transA", false)?,
        cx.attributes.flag("transB", false)?,
    ];
    let alpha = cx.attributes.float("alpha", 1.0)?;
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    if a.rank() < 2 || b.rank() < 2 {
        return Err(unsupported(format!(
            "operands {:?} and {:?} are not supported",
            a.shape(),
            b.shape()
        )));
    }
    let out = transposed_product(cx, &a, &b, trans, alpha)?;
    let out = activate(cx, cx.activation(), out)?;
    cx.set(0, out);
    Ok(())
}
