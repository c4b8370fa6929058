//! [`CumSum`](https://onnx.ai/onnx/operators/onnx__CumSum.html).

use super::elementwise::binary;
use super::movement::{join, part};
use super::reduce::reduce_value;
use crate::context::Cx;
use crate::error::{Result, invalid_model, mismatch};
use crate::kernels::MAX_TURNS;
use crate::kernels::elementwise::BinaryOp;
use crate::kernels::reduce::ReduceOp;
use crate::kernels::scan::{CumSum, cumsum as kernel};
use crate::program::{Value, elem};
use crate::tensor::{axis, split_at_axis};

/// Elements of a run, where a line has more than one invocation goes over.
const RUN: usize = 1 << 14;

/// The direction and the start of a sum.
#[derive(Clone, Copy)]
struct Sums {
    exclusive: bool,
    reverse: bool,
}

pub(super) fn cumsum(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let along = cx
        .constant(1)?
        .ok_or_else(|| invalid_model("the axis is missing"))?
        .to_i64_vec()?;
    let &[along] = along.as_slice() else {
        return Err(mismatch(format!("axis {along:?} is not one number")));
    };
    let (outer, length, inner) = split_at_axis(x.shape(), axis(along, x.rank())?);
    let sums = Sums {
        exclusive: cx.attributes.flag("exclusive", false)?,
        reverse: cx.attributes.flag("reverse", false)?,
    };
    let lines = cx.reshaped(x.clone(), vec![outer, length, inner])?;
    let out = summed(cx, &lines, sums)?;
    let out = cx.reshaped(out, x.shape().to_vec())?;
    cx.set(0, out);
    Ok(())
}

/// Sums along the middle one of three axes.
fn summed(cx: &mut Cx<'_>, x: &Value, sums: Sums) -> Result<Value> {
    let &[outer, length, inner] = x.shape() else {
        return Err(mismatch(format!("{:?} is not made of lines", x.shape())));
    };
    if length <= MAX_TURNS {
        let geometry = CumSum {
            elem: elem(x.dtype()),
            outer,
            axis: length,
            inner,
            exclusive: sums.exclusive,
            reverse: sums.reverse,
        };
        return cx.launch(|| kernel(&geometry), &[x], x.shape(), x.dtype());
    }
    // Sums in runs of equal length, to which the sum of all runs before is added, and one in what is left.
    let runs = length / RUN;
    let (even, rest) = (runs * RUN, length % RUN);
    let main = part(cx, x, 1, 0, even)?;
    let lines = cx.reshaped(main.clone(), vec![outer * runs, RUN, inner])?;
    let inside = summed(cx, &lines, sums)?;
    let totals = reduce_value(cx, ReduceOp::Sum, &lines, &[1], true)?;
    let totals = cx.reshaped(totals, vec![outer, runs, inner])?;
    let before = Sums {
        exclusive: true,
        ..sums
    };
    let before = summed(cx, &totals, before)?;
    let before = cx.reshaped(before, vec![outer * runs, 1, inner])?;
    let main_sums = binary(cx, BinaryOp::Add, &inside, &before)?;
    let mut main_sums = cx.reshaped(main_sums, vec![outer, even, inner])?;
    if rest == 0 {
        return Ok(main_sums);
    }
    let tail = part(cx, x, 1, even, rest)?;
    let mut tail_sums = summed(cx, &tail, sums)?;
    if sums.reverse {
        let total = reduce_value(cx, ReduceOp::Sum, &tail, &[1], true)?;
        main_sums = binary(cx, BinaryOp::Add, &main_sums, &total)?;
    } else {
        let total = reduce_value(cx, ReduceOp::Sum, &totals, &[1], true)?;
        tail_sums = binary(cx, BinaryOp::Add, &tail_sums, &total)?;
    }
    join(cx, &[main_sums, tail_sums], 1)
}
