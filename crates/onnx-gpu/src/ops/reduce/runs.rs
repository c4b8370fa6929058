//! Reductions of more elements than one invocation goes over: in runs, then of their results.

use super::super::elementwise::{binary, named, unary};
use super::super::movement::permuted;
use super::reduce_value;
use crate::context::Cx;
use crate::error::Result;
use crate::kernels::elementwise::{BinaryOp, UnaryOp};
use crate::kernels::gather::gather_elements;
use crate::kernels::reduce::{Reduce, ReduceOp, reduce as kernel};
use crate::program::Value;
use crate::tensor::split_at_axis;
use crate::tensor::{DType, Tensor, elements};

/// Elements of a run: few enough for one invocation, so many that 2^31 elements leave no more runs than a workgroup goes over.
const RUN: usize = 4096;

/// A reduction of `x` to `shape`, whose elements are of `dtype`.
pub(super) fn reduce(
    cx: &mut Cx<'_>,
    whole: Reduce,
    x: &Value,
    shape: &[usize],
    dtype: DType,
) -> Result<Value> {
    let count: usize = whole.axes.iter().map(|&axis| whole.shape[axis]).product();
    let outputs = elements(shape)?;
    let op = whole.op;
    let mut first = Reduce {
        run: Some(RUN),
        ..whole
    };
    // What the runs give, how their results are joined, and what is done in the end.
    let second = match first.op {
        ReduceOp::Mean | ReduceOp::LogSum => {
            first.op = ReduceOp::Sum;
            ReduceOp::Sum
        }
        ReduceOp::L1 | ReduceOp::SumSquare => ReduceOp::Sum,
        ReduceOp::L2 => {
            first.op = ReduceOp::SumSquare;
            ReduceOp::Sum
        }
        same => same,
    };
    let runs = count.div_ceil(RUN);
    let launch = kernel(&first, cx.class())?;
    // Sums of parts are not rounded to 16 bits.
    let wide = if dtype == DType::F16 {
        DType::F32
    } else {
        dtype
    };
    let parts = cx.launch(|| Ok(launch), &[x], &[outputs, runs], wide)?;
    if matches!(second, ReduceOp::ArgMax { .. } | ReduceOp::ArgMin { .. }) {
        let places = among(cx, second, x, first.axes[0], &parts)?;
        return cx.reshaped(places, shape.to_vec());
    }
    let mut out = reduce_value(cx, second, &parts, &[1], false)?;
    out = match op {
        ReduceOp::Mean => {
            let count = Tensor::f32([], vec![count as f32])?.cast(wide);
            binary(cx, BinaryOp::Div, &out, &Value::Const(count))?
        }
        ReduceOp::LogSum => unary(cx, UnaryOp::Log, &out)?,
        ReduceOp::L2 => unary(cx, UnaryOp::Sqrt, &out)?,
        _ => out,
    };
    let out = cx.reshaped(out, shape.to_vec())?;
    Ok(named(&out, dtype))
}

/// Of the places `[outer · inner, runs]` along axis `along` of `x` those with the largest or smallest element.
fn among(cx: &mut Cx<'_>, op: ReduceOp, x: &Value, along: usize, places: &Value) -> Result<Value> {
    let (outer, length, inner) = split_at_axis(x.shape(), along);
    let runs = places.shape()[1];
    let places = cx.reshaped(places.clone(), vec![outer, inner, runs])?;
    let places = permuted(cx, &places, &[0, 2, 1])?;
    let x = cx.reshaped(x.clone(), vec![outer, length, inner])?;
    let pick = |cx: &mut Cx<'_>, data: &Value, at: &Value| {
        let launch = gather_elements(data.shape(), at.shape(), 1)?;
        cx.launch(|| Ok(launch), &[data, at], at.shape(), data.dtype())
    };
    let values = pick(cx, &x, &places)?;
    let best = reduce_value(cx, op, &values, &[1], true)?;
    pick(cx, &places, &best)
}
