//! [`MaxPool`](https://onnx.ai/onnx/operators/onnx__MaxPool.html), `AveragePool`, `GlobalAveragePool`, `GlobalMaxPool`.

use super::elementwise::cast_value;
use super::reduce::reduce_value;
use super::window::{Window, image_shape};
use crate::context::Cx;
use crate::error::{Result, mismatch, unsupported};
use crate::kernels::pool::{Pool, PoolOp, pool as kernel};
use crate::kernels::reduce::ReduceOp;
use crate::program::Value;

pub(super) fn max(cx: &mut Cx<'_>) -> Result<()> {
    cx.attributes.ignore(&["storage_order"]);
    pool(cx, PoolOp::Max)
}

pub(super) fn average(cx: &mut Cx<'_>) -> Result<()> {
    let count_include_pad = cx.attributes.flag("count_include_pad", false)?;
    pool(cx, PoolOp::Average { count_include_pad })
}

/// Output length along one axis. With `ceil` a last window that starts in the end padding is dropped.
fn length(input: usize, window: &Window, axis: usize, ceil: bool) -> Result<usize> {
    let (begin, end) = (window.pads[axis], window.pads[axis + 2]);
    let stride = window.strides[axis] as i64;
    let room = input as i64 + begin + end - window.extent(axis) as i64;
    if room < 0 {
        return Err(mismatch(format!(
            "a window of {} does not fit {input}",
            window.extent(axis)
        )));
    }
    let mut out = room / stride + 1;
    if ceil && room % stride != 0 && out * stride < input as i64 + begin {
        out += 1;
    }
    usize::try_from(out).map_err(|_| mismatch(format!("an output of length {out}")))
}

fn pool(cx: &mut Cx<'_>, op: PoolOp) -> Result<()> {
    let x = cx.input(0)?;
    let narrow = matches!(x.dtype(), crate::DType::U8 | crate::DType::I8);
    if op == PoolOp::Max && narrow {
        // 8 bits are exact in a float.
        let wide = cast_value(cx, &x, crate::DType::F32)?;
        let out = pooled(cx, op, &wide)?;
        let out = cast_value(cx, &out, x.dtype())?;
        cx.set(0, out);
        return Ok(());
    }
    if !x.dtype().is_float() {
        return Err(unsupported(format!(
            "an input of {} is not supported",
            x.dtype()
        )));
    }
    let out = pooled(cx, op, &x)?;
    cx.set(0, out);
    Ok(())
}

fn pooled(cx: &mut Cx<'_>, op: PoolOp, x: &Value) -> Result<Value> {
    let [n, c, h, w] = image_shape(x)?;
    let window = Window::read(cx, x, None)?;
    let ceil = cx.attributes.flag("ceil_mode", false)?;
    let output = [length(h, &window, 0, ceil)?, length(w, &window, 1, ceil)?];
    let mut pads = [0; 4];
    for (pad, &given) in pads.iter_mut().zip(&window.pads) {
        *pad = usize::try_from(given)
            .map_err(|_| unsupported(format!("attribute 'pads' = {:?}", window.pads)))?;
    }
    let geometry = Pool {
        op,
        planes: n * c,
        input: [h, w],
        output,
        kernel: window.kernel,
        strides: window.strides,
        pads,
        dilations: window.dilations,
    };
    let shape = if x.rank() == 3 {
        vec![n, c, output[1]]
    } else {
        vec![n, c, output[0], output[1]]
    };
    if n * c * h * w == 0 {
        return cx.launch(|| kernel(&geometry), &[x], &shape, x.dtype());
    }
    let launch = kernel(&geometry)?;
    if cx.is_too_long(&launch) {
        return along_both(cx, geometry, x, &shape);
    }
    cx.launch(|| Ok(launch), &[x], &shape, x.dtype())
}

/// A pool whose window has more elements than one invocation goes over, along the width and then along the height: the maximum
/// of maxima, the mean of means over equal counts.
fn along_both(cx: &mut Cx<'_>, whole: Pool, x: &Value, shape: &[usize]) -> Result<Value> {
    let [_, left, _, right] = whole.pads;
    let [top, _, bottom, _] = whole.pads;
    let width = Pool {
        output: [whole.input[0], whole.output[1]],
        kernel: [1, whole.kernel[1]],
        strides: [1, whole.strides[1]],
        pads: [0, left, 0, right],
        dilations: [1, whole.dilations[1]],
        ..whole
    };
    let height = Pool {
        input: width.output,
        kernel: [whole.kernel[0], 1],
        strides: [whole.strides[0], 1],
        pads: [top, 0, bottom, 0],
        dilations: [whole.dilations[0], 1],
        ..whole
    };
    let between = [whole.planes, width.output[0], width.output[1]];
    // In between, nothing is rounded to 16 bits.
    let rows = cx.launch(|| kernel(&width), &[x], &between, crate::DType::F32)?;
    cx.launch(|| kernel(&height), &[&rows], shape, x.dtype())
}

pub(super) fn global_average(cx: &mut Cx<'_>) -> Result<()> {
    global(cx, ReduceOp::Mean)
}

pub(super) fn global_max(cx: &mut Cx<'_>) -> Result<()> {
    global(cx, ReduceOp::Max)
}

fn global(cx: &mut Cx<'_>, op: ReduceOp) -> Result<()> {
    let x = cx.input(0)?;
    let axes: Vec<usize> = (2..x.rank()).collect();
    let out = reduce_value(cx, op, &x, &axes, true)?;
    cx.set(0, out);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // Output sizes of torch.nn.MaxPool1d(kernel, stride, padding, ceil_mode).
    #[test]
    fn lengths_agree_with_pytorch() {
        let window = |kernel, stride, pad| Window {
            kernel: [kernel, 1],
            strides: [stride, 1],
            dilations: [1; 2],
            pads: [pad, 0, pad, 0],
        };
        assert_eq!(length(8, &window(3, 2, 0), 0, false).unwrap(), 3);
        assert_eq!(length(8, &window(3, 2, 0), 0, true).unwrap(), 4);
        assert_eq!(length(5, &window(2, 3, 1), 0, true).unwrap(), 2);
        assert_eq!(length(4, &window(1, 3, 0), 0, true).unwrap(), 2);
        assert!(length(1, &window(3, 1, 0), 0, false).is_err());
    }
}
