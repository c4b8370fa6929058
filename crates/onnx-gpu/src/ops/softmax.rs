//! [`Softmax`](https://onnx.ai/onnx/operators/onnx__Softmax.html) and `LogSoftmax`.
//!
//! Opset notes: before 13 the input was seen as a matrix cut at `axis` (default 1); since 13 one axis (default -1) is normalised.

use crate::error::{Result, unsupported};
use crate::kernels::softmax::{Softmax, softmax as kernel};
use crate::lower::{Cx, Value, axis, split_at_axis};

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
    let class = cx.class();
    cx.launch(|| kernel(&geometry, class), &[x], x.shape(), x.dtype())
}
