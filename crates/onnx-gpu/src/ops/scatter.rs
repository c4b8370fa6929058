//! [`ScatterElements`](https://onnx.ai/onnx/operators/onnx__ScatterElements.html) and `ScatterND`.
//!
//! Opset notes: `reduction` came with 16, `max` and `min` with 18.

use super::gather::{check_indices, check_range, check_tuples};
use crate::error::{Result, mismatch, unsupported};
use crate::kernels::Launch;
use crate::kernels::row_major;
use crate::kernels::scatter::{self as kernel, Reduction};
use crate::kernels::strided_copy::{StridedCopy, strided_copy};
use crate::lower::{Cx, Value, axis, elem};

pub(super) fn scatter_elements(cx: &mut Cx<'_>) -> Result<()> {
    let (data, indices, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let along = axis(cx.attributes.int("axis", 0)?, data.rank())?;
    let fits = indices.rank() == data.rank()
        && indices.shape() == updates.shape()
        && (0..data.rank()).all(|i| i == along || indices.shape()[i] <= data.shape()[i]);
    let reduction = check(cx, fits, &data, &indices, &updates)?;
    check_range(&indices, data.shape()[along])?;
    let (to, at) = (data.shape(), indices.shape());
    let launch = match reduction {
        None => kernel::scatter_elements(to, at, along)?,
        Some(r) => kernel::scatter_elements_with(r, elem(data.dtype()), to, at, along)?,
    };
    run(cx, launch, &data, &indices, &updates)
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
    let (to, at) = (data.shape(), indices.shape());
    let launch = match reduction {
        None => kernel::scatter_nd(to, at)?,
        Some(r) => kernel::scatter_nd_with(r, elem(data.dtype()), to, at)?,
    };
    run(cx, launch, &data, &indices, &updates)
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
    if fits && data.dtype() == updates.dtype() {
        return Ok(reduction);
    }
    Err(mismatch(format!(
        "updates {:?} of {} and indices {:?} do not fit data {:?} of {}",
        updates.shape(),
        updates.dtype(),
        indices.shape(),
        data.shape(),
        data.dtype()
    )))
}

/// Copies the data, then overwrites elements of the copy.
fn run(
    cx: &mut Cx<'_>,
    launch: Launch,
    data: &Value,
    indices: &Value,
    updates: &Value,
) -> Result<()> {
    if data.elements() == 0 || updates.elements() == 0 {
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
    cx.push(launch, &[indices, updates], &output)?;
    cx.set(0, Value::Device(output));
    Ok(())
}
