//! [`ScatterElements`](https://onnx.ai/onnx/operators/onnx__ScatterElements.html) and `ScatterND`.
//!
//! Opset notes: `reduction` came with 16, `max` and `min` with 18.

use super::elementwise::one_type;
use super::gather::{check_indices, check_range, check_tuples};
use super::movement::part;
use crate::context::Cx;
use crate::error::{Result, mismatch, unsupported};
use crate::kernels::scatter::{self as kernel, Reduction};
use crate::kernels::strided_copy::{StridedCopy, strided_copy};
use crate::kernels::{Launch, MAX_TURNS, row_major};
use crate::program::{Value, elem};
use crate::tensor::axis;

pub(super) fn scatter_elements(cx: &mut Cx<'_>) -> Result<()> {
    let (data, indices, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let along = axis(cx.attributes.int("axis", 0)?, data.rank())?;
    let fits = indices.rank() == data.rank()
        && indices.shape() == updates.shape()
        && (0..data.rank()).all(|i| i == along || indices.shape()[i] <= data.shape()[i]);
    let reduction = check(cx, fits, &data, &indices, &updates)?;
    check_range(&indices, data.shape()[along])?;
    let to = data.shape().to_vec();
    let Some(reduction) = reduction else {
        let launch = kernel::scatter_elements(&to, indices.shape(), along)?;
        return run(cx, vec![(launch, indices, updates)], &data);
    };
    let elem = elem(data.dtype());
    let runs = runs(cx, &indices, &updates, along, MAX_TURNS, |at| {
        kernel::scatter_elements_with(reduction, elem, &to, at, along)
    })?;
    run(cx, runs, &data)
}

pub(super) fn scatter_nd(cx: &mut Cx<'_>) -> Result<()> {
    let (data, indices, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let depth = indices.shape().last().copied().unwrap_or(0);
    let fits = depth > 0
        && depth <= data.rank()
        && *updates.shape()
            == [
                &indices.shape()[..indices.rank() - 1],
                &data.shape()[depth..],
            ]
            .concat();
    let reduction = check(cx, fits, &data, &indices, &updates)?;
    check_tuples(&indices, data.shape())?;
    let to = data.shape().to_vec();
    let Some(reduction) = reduction else {
        let launch = kernel::scatter_nd(&to, indices.shape())?;
        return run(cx, vec![(launch, indices, updates)], &data);
    };
    let tuples: usize = indices.shape()[..indices.rank() - 1].iter().product();
    let slices = [&[tuples], &to[depth..]].concat();
    let indices = cx.reshaped(indices, vec![tuples, depth])?;
    let updates = cx.reshaped(updates, slices)?;
    let elem = elem(data.dtype());
    // Each tuple takes a turn, one for each of its numbers and one for their end.
    let most = MAX_TURNS / (2 + depth);
    let runs = runs(cx, &indices, &updates, 0, most, |at| {
        kernel::scatter_nd_with(reduction, elem, &to, at)
    })?;
    run(cx, runs, &data)
}

/// The launches of a scatter that combines, of at most so many entries of an axis as one invocation goes over, in their order.
fn runs(
    cx: &mut Cx<'_>,
    indices: &Value,
    updates: &Value,
    along: usize,
    most: usize,
    launch: impl Fn(&[usize]) -> Result<Launch>,
) -> Result<Vec<(Launch, Value, Value)>> {
    let length = indices.shape()[along];
    let mut runs = Vec::new();
    for start in (0..length).step_by(most.max(1)) {
        let entries = most.max(1).min(length - start);
        let at = part(cx, indices, along, start, entries)?;
        let with = part(cx, updates, along, start, entries)?;
        runs.push((launch(at.shape())?, at, with));
    }
    Ok(runs)
}

/// The reduction, if the shapes and types fit.
fn check(
    cx: &Cx<'_>,
    fits: bool,
    data: &Value,
    indices: &Value,
    updates: &Value,
) -> Result<Option<Reduction>> {
    check_indices(indices)?;
    let reduction = match cx.attributes.text("reduction", "none")? {
        "none" => None,
        "add" => Some(Reduction::Add),
        "mul" => Some(Reduction::Mul),
        "max" => Some(Reduction::Max),
        "min" => Some(Reduction::Min),
        other => {
            return Err(unsupported(format!(
                "attribute 'reduction' = \"{other}\" is not supported"
            )));
        }
    };
    one_type(data, updates)?;
    if fits {
        return Ok(reduction);
    }
    Err(mismatch(format!(
        "updates {:?} and indices {:?} do not fit data {:?}",
        updates.shape(),
        indices.shape(),
        data.shape()
    )))
}

/// Copies the data, then overwrites elements of the copy by one launch after the other.
fn run(cx: &mut Cx<'_>, launches: Vec<(Launch, Value, Value)>, data: &Value) -> Result<()> {
    let empty = launches.iter().all(|(.., updates)| updates.elements() == 0);
    if data.elements() == 0 || empty {
        cx.set(0, data.clone());
        return Ok(());
    }
    let output = cx.allocate(data.shape(), data.dtype())?;
    let strides = row_major(data.shape());
    let copy = strided_copy(&StridedCopy {
        shape: data.shape().to_vec(),
        in_offset: 0,
        in_strides: strides.clone(),
        out_offset: 0,
        out_strides: strides,
    })?;
    cx.push(copy, &[data], &output)?;
    for (launch, indices, updates) in &launches {
        cx.push(launch.clone(), &[indices, updates], &output)?;
    }
    cx.set(0, Value::Device(output));
    Ok(())
}
