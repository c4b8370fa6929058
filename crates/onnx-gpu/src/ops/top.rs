//! [`TopK`](https://onnx.ai/onnx/operators/onnx__TopK.html), `OneHot` and `NonZero`.
//!
//! Opset notes: `TopK` took `k` as an attribute before 10, `largest` and `sorted` came with 11.

use super::elementwise::{binary, cast_value, select_values};
use super::movement::{join, part};
use crate::context::{Cx, Lower};
use crate::error::{Error, Result, invalid_model, mismatch, unsupported};
use crate::eval;
use crate::kernels::MAX_TURNS;
use crate::kernels::elementwise::BinaryOp;
use crate::kernels::gather::gather_elements;
use crate::kernels::top_k::{TopK, top_k as kernel};
use crate::program::{Value, elem};
use crate::tensor::{DType, Tensor};
use crate::tensor::{axis, split_at_axis};

pub(super) fn find(op: &str) -> Option<Lower> {
    Some(match op {
        "NonZero" => non_zero,
        "OneHot" => one_hot,
        "TopK" => top_k,
        _ => return None,
    })
}

fn top_k(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    // The order of numbers is that of what they are rounded to.
    let x = cx.rounded(x)?;
    let k = if cx.before(10) {
        cx.attributes.opt_int("k")?.copied()
    } else {
        let k = cx.constant(1)?.map(|t| t.to_i64_vec()).transpose()?;
        k.and_then(|k| k.first().copied())
    };
    let k = k.ok_or_else(|| invalid_model("K is missing"))?;
    let along = axis(cx.attributes.int("axis", -1)?, x.rank())?;
    let largest = cx.attributes.flag("largest", true)?;
    // Sorted is one of the orders that `sorted = 0` allows.
    cx.attributes.flag("sorted", true)?;
    let (outer, length, inner) = split_at_axis(x.shape(), along);
    let k = usize::try_from(k)
        .ok()
        .filter(|&k| k <= length)
        .ok_or_else(|| mismatch(format!("the {k} top of {length} elements")))?;
    let mut shape = x.shape().to_vec();
    shape[along] = k;
    let lines = cx.reshaped(x.clone(), vec![outer, length, inner])?;
    let [values, indices] = first(cx, &lines, k, largest)?;
    let values = cx.reshaped(values, shape.clone())?;
    let indices = cx.reshaped(indices, shape)?;
    cx.set(0, values);
    cx.set(1, indices);
    Ok(())
}

/// Elements of a run, where a line has more than one invocation goes over.
const RUN: usize = 1 << 14;

/// The first `k` of the order along the middle one of three axes, and their places.
fn first(cx: &mut Cx<'_>, x: &Value, k: usize, largest: bool) -> Result<[Value; 2]> {
    let &[outer, axis, inner] = x.shape() else {
        return Err(mismatch(format!("{:?} is not made of lines", x.shape())));
    };
    let pick = |cx: &mut Cx<'_>, data: &Value, at: &Value| {
        let launch = || gather_elements(data.shape(), at.shape(), 1);
        let out = cx.launch(launch, &[data, at], at.shape(), data.dtype())?;
        Ok::<_, Error>(out.noted(data.is_half()))
    };
    let shape = [outer, k, inner];
    if axis <= MAX_TURNS || k >= RUN {
        let geometry = TopK {
            elem: elem(x.dtype()),
            outer,
            axis,
            inner,
            k,
            largest,
        };
        let places = cx.launch(|| kernel(&geometry), &[x], &shape, DType::I64)?;
        let values = pick(cx, x, &places)?;
        return Ok([values, places]);
    }
    // Of the first of every run the first. They are in the order of their runs, so that of equal ones the first comes first.
    let (mut values, mut places) = (Vec::new(), Vec::new());
    for start in (0..axis).step_by(RUN) {
        let run = RUN.min(axis - start);
        let line = part(cx, x, 1, start, run)?;
        let [value, place] = first(cx, &line, k.min(run), largest)?;
        let start = Value::Const(Tensor::i64([], vec![start as i64])?);
        values.push(value);
        places.push(binary(cx, BinaryOp::Add, &place, &start)?);
    }
    let (values, places) = (join(cx, &values, 1)?, join(cx, &places, 1)?);
    let [best, at] = first(cx, &values, k, largest)?;
    let places = pick(cx, &places, &at)?;
    Ok([best, places])
}

fn one_hot(cx: &mut Cx<'_>) -> Result<()> {
    let (indices, values) = (cx.input(0)?, cx.input(2)?);
    let depth = cx
        .constant(1)?
        .ok_or_else(|| invalid_model("the depth is missing"))?;
    let depth = depth.cast(DType::I64).to_i64_vec()?;
    let depth = match depth.as_slice() {
        &[d] if d > 0 => d,
        other => return Err(mismatch(format!("depth {other:?}"))),
    };
    if values.shape() != [2] {
        return Err(mismatch(format!("values {:?} are not [2]", values.shape())));
    }
    let at = axis(cx.attributes.int("axis", -1)?, indices.rank() + 1)?;
    let mut view = indices.shape().to_vec();
    view.insert(at, 1);
    let long = cast_value(cx, &indices, DType::I64)?;
    let long = cx.reshaped(long, view.clone())?;
    let scalar = |v: i64| -> Result<Value> { Ok(Value::Const(Tensor::i64([], vec![v])?)) };
    // Negative indices count from the end; others out of range are off everywhere.
    let wrapped = binary(cx, BinaryOp::Add, &long, &scalar(depth)?)?;
    let negative = binary(cx, BinaryOp::Less, &long, &scalar(0)?)?;
    let place = select_values(cx, &negative, &wrapped, &long)?;
    let mut line = vec![1; view.len()];
    line[at] = usize::try_from(depth).unwrap_or(usize::MAX);
    let classes = Value::Const(eval::counted(line)?);
    let hot = binary(cx, BinaryOp::Equal, &place, &classes)?;
    let (off, on) = (part(cx, &values, 0, 0, 1)?, part(cx, &values, 0, 1, 1)?);
    let out = select_values(cx, &hot, &on, &off)?;
    cx.set(0, out);
    Ok(())
}

/// The number of results depends on the data, so these have to be known before the run.
fn non_zero(cx: &mut Cx<'_>) -> Result<()> {
    let Some(x) = cx.input(0)?.constant().cloned() else {
        return Err(unsupported(
            "input 0 depends on data that are only known during the run, and so would the output's shape",
        ));
    };
    let truth = x.cast(DType::Bool);
    let hits: Vec<usize> = truth
        .as_bool()?
        .iter()
        .enumerate()
        .filter_map(|(i, &t)| t.then_some(i))
        .collect();
    let mut data = Vec::with_capacity(hits.len() * x.shape().len());
    for axis in 0..x.shape().len() {
        let (_, length, inner) = split_at_axis(x.shape(), axis);
        data.extend(
            hits.iter()
                .map(|i| (i / inner.max(1) % length.max(1)) as i64),
        );
    }
    let out = Tensor::i64([x.shape().len(), hits.len()], data)?;
    cx.set(0, Value::Const(out));
    Ok(())
}
