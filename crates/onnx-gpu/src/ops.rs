//! The ONNX operators: one module per family, each reading its attributes and either computing on the CPU or launching kernels.
//!
//! Specifications: <https://onnx.ai/onnx/operators/>.

mod attention;
mod contrib;
mod conv;
mod einsum;
mod elementwise;
mod flash;
mod gather;
mod matmul;
mod movement;
mod nbits;
mod norm;
mod packed;
mod pad;
mod pool;
mod quantize;
mod reduce;
mod resize;
mod rotary;
mod scan;
mod scatter;
mod shape;
mod softmax;
mod top;
mod window;

use crate::context::{Cx, Lower};
use crate::error::{Result, unsupported};
use crate::graph::{CONTRIB_DOMAIN, FUSED_DOMAIN, IF, is_onnx};
use crate::tensor::DType;

/// The lowering of an ONNX operator.
fn find(op: &str) -> Option<Lower> {
    elementwise::find(op)
        .or_else(|| movement::find(op))
        .or_else(|| shape::find(op))
        .or_else(|| reduce::find(op))
        .or_else(|| quantize::find(op))
        .or_else(|| top::find(op))
        .or_else(|| {
            Some(match op {
                "Attention" => attention::attention,
                "BatchNormalization" => norm::batch,
                "Conv" => conv::conv,
                "ConvTranspose" => conv::conv_transpose,
                "CumSum" => scan::cumsum,
                "Einsum" => einsum::einsum,
                "Gather" => gather::gather,
                "GatherElements" => gather::gather_elements,
                "GatherND" => gather::gather_nd,
                "Gemm" => matmul::gemm,
                "GlobalAveragePool" => pool::global_average,
                "GlobalMaxPool" => pool::global_max,
                "GroupNormalization" => norm::group,
                "InstanceNormalization" => norm::instance,
                "LayerNormalization" => norm::layer,
                "MatMul" => matmul::matmul,
                "MaxPool" => pool::max,
                "AveragePool" => pool::average,
                "Pad" => pad::pad,
                "RMSNormalization" | "SimplifiedLayerNormalization" => norm::rms,
                "Resize" | "Upsample" => resize::resize,
                "RotaryEmbedding" => rotary::onnx,
                "ScatterElements" => scatter::scatter_elements,
                "ScatterND" => scatter::scatter_nd,
                "Softmax" => softmax::softmax,
                "Trilu" => pad::trilu,
                "LogSoftmax" => softmax::log_softmax,
                _ => return None,
            })
        })
}

/// Whether this crate implements an operator (not necessarily every attribute value of it).
pub fn is_supported(domain: &str, op: &str) -> bool {
    (is_onnx(domain) && (op == IF || find(op).is_some()))
        || (domain == CONTRIB_DOMAIN && contrib::find(op).is_some())
}

/// Operators that compute with no element: they move or convert them.
#[rustfmt::skip]
const MOVING: [&str; 19] = [
    "Cast", "CastLike", "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity",
    "Reshape", "Shape", "Size", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
];

fn moves(op: &str) -> bool {
    MOVING.contains(&op)
}

/// bfloat16 is how numbers are stored, not what is computed with: a result would have to be rounded after every operator.
fn no_arithmetic(cx: &Cx<'_>) -> Result<()> {
    let inputs = (0..cx.arity()).filter_map(|index| cx.optional(index));
    match inputs
        .into_iter()
        .find(|value| value.dtype() == DType::BF16)
    {
        None => Ok(()),
        Some(_) => Err(unsupported(
            "an operand of bfloat16 is not supported; cast it to float32 before",
        )),
    }
}

/// Lowers the node of `cx`.
pub(crate) fn lower(cx: &mut Cx<'_>) -> Result<()> {
    let domain = cx.node.domain.as_str();
    let lower = if is_onnx(domain) {
        find(&cx.node.op)
    } else if domain == FUSED_DOMAIN {
        elementwise::find_fused(&cx.node.op)
            .or_else(|| norm::find_fused(&cx.node.op))
            .or_else(|| flash::find_fused(&cx.node.op))
            .or_else(|| conv::find_fused(&cx.node.op))
    } else if domain == CONTRIB_DOMAIN {
        contrib::find(&cx.node.op)
    } else {
        None
    };
    if lower.is_some() && !moves(&cx.node.op) {
        no_arithmetic(cx)?;
    }
    match lower {
        Some(lower) => lower(cx),
        None => Err(unsupported(format!(
            "operator '{}' of domain '{domain}' is not supported",
            cx.node.op
        ))),
    }
}
