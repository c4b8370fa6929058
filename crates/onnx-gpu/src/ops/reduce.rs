//! [Reductions](https://onnx.ai/onnx/operators/onnx__ReduceSum.html), `ArgMax`, `ArgMin`, `CumSum`.
//!
//! Opset notes: `axes` moved from attribute to input with 13 (`ReduceSum`) and 18 (the others).

use super::Lower;
use super::elementwise::cast_value;
use crate::error::{Result, invalid_model, mismatch, unsupported};
use crate::eval;
use crate::kernels::reduce::{Reduce, ReduceOp, reduce as kernel};
use crate::kernels::scan::{CumSum, cumsum as cumsum_kernel};
use crate::lower::{Cx, Value, axes, axis, elem, split_at_axis};
use crate::tensor::DType;

pub(super) fn find(op: &str) -> Option<Lower> {
    Some(match op {
        "ReduceSum" => |cx| reduce(cx, ReduceOp::Sum),
        "ReduceMean" => |cx| reduce(cx, ReduceOp::Mean),
        "ReduceMax" => |cx| reduce(cx, ReduceOp::Max),
        "ReduceMin" => |cx| reduce(cx, ReduceOp::Min),
        "ReduceProd" => |cx| reduce(cx, ReduceOp::Prod),
        "ReduceL1" => |cx| reduce(cx, ReduceOp::L1),
        "ReduceL2" => |cx| reduce(cx, ReduceOp::L2),
        "ReduceSumSquare" => |cx| reduce(cx, ReduceOp::SumSquare),
        "ReduceLogSum" => |cx| reduce(cx, ReduceOp::LogSum),
        "ReduceLogSumExp" => |cx| reduce(cx, ReduceOp::LogSumExp),
        "ArgMax" => |cx| arg(cx, |last| ReduceOp::ArgMax { last }),
        "ArgMin" => |cx| arg(cx, |last| ReduceOp::ArgMin { last }),
        "CumSum" => cumsum,
        "Trilu" => super::pad::trilu,
        _ => return None,
    })
}

fn reduce(cx: &mut Cx<'_>, op: ReduceOp) -> Result<()> {
    let x = cx.input(0)?;
    let list = cx.integers("axes", 1)?.unwrap_or_default();
    let noop = cx.attributes.flag("noop_with_empty_axes", false)?;
    let keep = cx.attributes.flag("keepdims", true)?;
    let which = if list.is_empty() && !noop {
        (0..x.rank()).collect()
    } else {
        axes(&list, x.rank())?
    };
    let identity = which.is_empty()
        && matches!(
            op,
            ReduceOp::Sum | ReduceOp::Mean | ReduceOp::Max | ReduceOp::Min | ReduceOp::Prod
        );
    let out = if identity {
        x
    } else {
        reduce_value(cx, op, &x, &which, keep)?
    };
    cx.set(0, out);
    Ok(())
}

/// Reduces over axes, which stay with length 1 if `keep`.
pub(super) fn reduce_value(
    cx: &mut Cx<'_>,
    op: ReduceOp,
    x: &Value,
    which: &[usize],
    keep: bool,
) -> Result<Value> {
    let shape: Vec<usize> = (0..x.rank())
        .filter(|i| keep || !which.contains(i))
        .map(|i| if which.contains(&i) { 1 } else { x.shape()[i] })
        .collect();
    if let Some(known) = x.constant()
        && let Some(folded) = eval::reduce(op, known, which, &shape)
    {
        return Ok(Value::Const(folded?));
    }
    if x.elements() == 0 {
        return Err(unsupported("a reduction over no element is not supported"));
    }
    let index = matches!(op, ReduceOp::ArgMax { .. } | ReduceOp::ArgMin { .. });
    let narrow = match x.dtype() {
        DType::Bool => matches!(op, ReduceOp::Max | ReduceOp::Min),
        DType::U8 | DType::I8 => true,
        _ => false,
    };
    if narrow {
        let wide = cast_value(cx, x, DType::I32)?;
        let out = reduce_value(cx, op, &wide, which, keep)?;
        return if index {
            Ok(out)
        } else {
            cast_value(cx, &out, x.dtype())
        };
    }
    if !matches!(x.dtype(), DType::F32 | DType::F16 | DType::I64 | DType::I32) {
        return Err(unsupported(format!(
            "an input of {} is not supported",
            x.dtype()
        )));
    }
    let dtype = match op {
        ReduceOp::ArgMax { .. } | ReduceOp::ArgMin { .. } => DType::I64,
        _ => x.dtype(),
    };
    let geometry = Reduce {
        op,
        elem: elem(x.dtype()),
        shape: x.shape().to_vec(),
        axes: which.to_vec(),
    };
    let class = cx.class();
    cx.launch(|| kernel(&geometry, class), &[x], &shape, dtype)
}

fn arg(cx: &mut Cx<'_>, op: fn(bool) -> ReduceOp) -> Result<()> {
    let x = cx.input(0)?;
    let along = axis(cx.attributes.int("axis", 0)?, x.rank())?;
    let keep = cx.attributes.flag("keepdims", true)?;
    let last = cx.attributes.flag("select_last_index", false)?;
    let out = reduce_value(cx, op(last), &x, &[along], keep)?;
    cx.set(0, out);
    Ok(())
}

fn cumsum(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let along = cx
        .constant(1)?
        .ok_or_else(|| invalid_model("the axis is missing"))?
        .to_i64_vec()?;
    let &[along] = along.as_slice() else {
        return Err(mismatch(format!("axis {along:?} is not one number")));
    };
    let (outer, length, inner) = split_at_axis(x.shape(), axis(along, x.rank())?);
    let geometry = CumSum {
        elem: elem(x.dtype()),
        outer,
        axis: length,
        inner,
        exclusive: cx.attributes.flag("exclusive", false)?,
        reverse: cx.attributes.flag("reverse", false)?,
    };
    let out = cx.launch(|| cumsum_kernel(&geometry), &[&x], x.shape(), x.dtype())?;
    cx.set(0, out);
    Ok(())
}
