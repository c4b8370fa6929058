//! [Reductions](https://onnx.ai/onnx/operators/onnx__ReduceSum.html), `ArgMax`, `ArgMin`.
//!
//! Opset notes: `axes` moved from attribute to input with 13 (`ReduceSum`) and 18 (the others).

mod runs;

use super::elementwise::cast_value;
use crate::context::{Cx, Lower};
use crate::error::{Result, unsupported};
use crate::eval;
use crate::kernels::MAX_TURNS;
use crate::kernels::reduce::{Reduce, ReduceOp, reduce as kernel};
use crate::program::{Value, elem};
use crate::tensor::{DType, Tensor};
use crate::tensor::{axes, axis};

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
        _ => return None,
    })
}

fn reduce(cx: &mut Cx<'_>, op: ReduceOp) -> Result<()> {
    let x = cx.input(0)?;
    let since = if op == ReduceOp::Sum { 13 } else { 18 };
    let list = cx.integers("axes", 1, since)?.unwrap_or_default();
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
    if crate::tensor::elements(&shape)? == 0 {
        let index = matches!(op, ReduceOp::ArgMax { .. } | ReduceOp::ArgMin { .. });
        let dtype = if index { DType::I64 } else { x.dtype() };
        return Ok(Value::Const(Tensor::zeros(dtype, shape)?));
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
    let geometry = Reduce::new(op, elem(x.dtype()), x.shape(), which);
    let launch = kernel(&geometry, cx.class())?;
    if launch.turns > MAX_TURNS {
        return runs::reduce(cx, geometry, x, &shape, dtype);
    }
    cx.launch(|| Ok(launch), &[x], &shape, dtype)
}

fn arg(cx: &mut Cx<'_>, op: fn(bool) -> ReduceOp) -> Result<()> {
    let x = cx.input(0)?;
    let x = cx.rounded(x)?;
    let along = axis(cx.attributes.int("axis", 0)?, x.rank())?;
    let keep = cx.attributes.flag("keepdims", true)?;
    let last = cx.attributes.flag("select_last_index", false)?;
    let out = reduce_value(cx, op(last), &x, &[along], keep)?;
    cx.set(0, out);
    Ok(())
}
