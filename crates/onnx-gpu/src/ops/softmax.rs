//! [`Softmax`](https://onnx.ai/onnx/operators/onnx__Softmax.html) and `LogSoftmax`.
//!
//! Opset notes: before 13 the input was seen as a matrix cut at `axis` (default 1); since 13 one axis (default -1) is normalised.

use super::elementwise::{binary, named, unary};
use super::reduce::reduce_value;
use crate::context::Cx;
use crate::error::{Result, unsupported};
use crate::kernels::elementwise::{BinaryOp, UnaryOp};
use crate::kernels::reduce::ReduceOp;
use crate::kernels::softmax::{Softmax, softmax as kernel};
use crate::program::Value;
use crate::tensor::DType;
use crate::tensor::{axis, split_at_axis};

pub(super) fn softmax(cx: &mut Cx<'_>) -> Result<()> {
    run(cx, false)
}

pub(super) fn log_softmax(cx: &mut Cx<'_>) -> Result<()> {
    run(cx, true)
}

fn run(cx: &mut Cx<'_>, log: bool) -> Result<()> {
    let x = cx.input(0)?;
    if !x.dtype().is_float() {
        return Err(unsupported(format!(
            "an input of {} is not supported",
            x.dtype()
        )));
    }
    let modern = cx.opset() >= 13;
    let at = cx.attributes.int("axis", if modern { -1 } else { 1 })?;
    let at = axis(at, x.rank())?;
    let out = normalised(cx, &x, at, log)?;
    cx.set(0, out);
    Ok(())
}

/// Normalises axis `at`; before opset 13 that axis and all after it.
pub(super) fn normalised(cx: &mut Cx<'_>, x: &Value, at: usize, log: bool) -> Result<Value> {
    let (outer, mut length, mut inner) = split_at_axis(x.shape(), at);
    if cx.opset() < 13 {
        (length, inner) = (length * inner, 1);
    }
    let geometry = Softmax {
        outer,
        axis: length,
        inner,
        log,
        zero_if_empty: false,
    };
    let launch = kernel(&geometry, cx.class())?;
    if cx.is_too_long(&launch) {
        return in_parts(cx, x, [outer, length, inner], log);
    }
    cx.launch(|| Ok(launch), &[x], x.shape(), x.dtype())
}

/// The same where a row has more elements than one invocation goes over: maximum and sum by reductions of their own.
fn in_parts(cx: &mut Cx<'_>, x: &Value, lines: [usize; 3], log: bool) -> Result<Value> {
    // In between, nothing is rounded to 16 bits.
    let rows = cx.reshaped(named(x, DType::F32), lines.to_vec())?;
    let top = reduce_value(cx, ReduceOp::Max, &rows, &[1], true)?;
    let below = binary(cx, BinaryOp::Sub, &rows, &top)?;
    let powers = unary(cx, UnaryOp::Exp, &below)?;
    let sum = reduce_value(cx, ReduceOp::Sum, &powers, &[1], true)?;
    let out = if log {
        let sum = unary(cx, UnaryOp::Log, &sum)?;
        binary(cx, BinaryOp::Sub, &below, &sum)?
    } else {
        binary(cx, BinaryOp::Div, &powers, &sum)?
    };
    let out = cx.reshaped(out, x.shape().to_vec())?;
    Ok(named(&out, x.dtype()))
}
