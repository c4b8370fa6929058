//! [`Pad`](https://onnx.ai/onnx/operators/onnx__Pad.html) and [`Trilu`](https://onnx.ai/onnx/operators/onnx__Trilu.html).
//!
//! Opset notes: `pads` and `value` were attributes before 11; `axes` came with 18, `wrap` with 19.

use crate::context::Cx;
use crate::error::{Result, invalid_model, mismatch, unsupported};
use crate::eval;
use crate::kernels::strided_copy::{self as kernel, PadMode, Trilu};
use crate::program::Value;
use crate::tensor::axes;
use crate::tensor::{DType, Tensor, elements};

pub(super) fn pad(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let list = cx
        .integers("pads", 1, 11)?
        .ok_or_else(|| invalid_model("the pads are missing"))?;
    let which = match cx.constant(3)? {
        Some(t) => axes(&t.to_i64_vec()?, x.rank())?,
        None => (0..x.rank()).collect(),
    };
    if list.len() != 2 * which.len() {
        return Err(mismatch(format!("pads {list:?} do not fit axes {which:?}")));
    }
    let (mut begin, mut end) = (vec![0; x.rank()], vec![0; x.rank()]);
    for (i, &axis) in which.iter().enumerate() {
        begin[axis] = list[i];
        end[axis] = list[which.len() + i];
    }
    let shape = (0..x.rank())
        .map(|i| {
            (x.shape()[i] as i64)
                .checked_add(begin[i])
                .and_then(|d| d.checked_add(end[i]))
                .and_then(|d| usize::try_from(d).ok())
                .ok_or_else(|| mismatch(format!("pads {list:?} do not fit {:?}", x.shape())))
        })
        .collect::<Result<Vec<_>>>()?;
    let fill = if cx.before(11) {
        let value = cx.attributes.float("value", 0.0)?;
        Tensor::f32([1], vec![value])?.cast(x.dtype())
    } else {
        match cx.constant(2)? {
            Some(t) => t.reshaped([1])?.cast(x.dtype()),
            None => Tensor::zeros(x.dtype(), [1])?,
        }
    };
    if x.elements() == 0 && elements(&shape)? > 0 {
        return match cx.attributes.text("mode", "constant")? {
            "constant" => {
                cx.set(0, Value::Const(eval::splat(&fill, &shape)?));
                Ok(())
            }
            other => Err(mismatch(format!("nothing to {other} in {:?}", x.shape()))),
        };
    }
    let bytes = fill.to_gpu_bytes()?;
    let bits = bytes
        .first_chunk()
        .map_or(0, |&word| u32::from_le_bytes(word));
    let mode = match cx.attributes.text("mode", "constant")? {
        "constant" => PadMode::Constant(bits),
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        "wrap" => PadMode::Wrap,
        other => {
            return Err(unsupported(format!(
                "attribute 'mode' = \"{other}\" is not supported"
            )));
        }
    };
    let out = if shape == x.shape() && begin.iter().all(|&b| b == 0) {
        x
    } else {
        let geometry = kernel::Pad {
            shape: x.shape().to_vec(),
            begin,
            end,
            mode,
        };
        let out = cx.launch(|| kernel::pad(&geometry), &[&x], &shape, x.dtype())?;
        // What a float tensor is filled with need not be a number of 16 bits.
        out.noted(x.is_half() && x.dtype() == DType::F16)
    };
    cx.set(0, out);
    Ok(())
}

pub(super) fn trilu(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let [batch @ .., rows, cols] = x.shape() else {
        return Err(mismatch(format!("{:?} is not a matrix", x.shape())));
    };
    let k = match cx.constant(1)? {
        Some(t) => t.to_i64_vec()?.first().copied().unwrap_or(0),
        None => 0,
    };
    let bound = (*rows).max(*cols) as i64;
    let geometry = Trilu {
        batch: batch.iter().product(),
        rows: *rows,
        cols: *cols,
        k: k.clamp(-bound, bound),
        upper: cx.attributes.flag("upper", true)?,
    };
    let out = cx.launch(|| kernel::trilu(&geometry), &[&x], x.shape(), x.dtype())?;
    cx.set(0, out.noted(x.is_half()));
    Ok(())
}
