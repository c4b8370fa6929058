//! Scatters: the output must already hold the data (copy it first with `strided_copy`). An update out of range is dropped.

use super::gather::{elements_params, line_start, nd_params};
use super::{
    Elem, Launch, cover, elements, pad16, render, row_major, signed, table, unravel, word,
};
use crate::{Error, ErrorKind, Result};

/// What an update does to the element that it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the ONNX values")]
pub enum Reduction {
    Add,
    Mul,
    Max,
    Min,
}

impl Reduction {
    /// The combination of elements `a` and `b`, and the WGSL type of both.
    fn wgsl(self, elem: Elem) -> Result<(&'static str, &'static str)> {
        let float = match elem {
            Elem::F32 => true,
            Elem::I32 => false,
            Elem::U32 | Elem::Bool => {
                return Err(Error::new(
                    ErrorKind::UnsupportedOp,
                    format!("a scatter with {self:?} of {elem:?} elements"),
                ));
            }
        };
        let combine = match self {
            Self::Add => "a + b",
            Self::Mul => "a * b",
            // A NaN stays.
            Self::Max if float => "select(b, a, a > b || a != a)",
            Self::Min if float => "select(b, a, a < b || a != a)",
            Self::Max => "max(a, b)",
            Self::Min => "min(a, b)",
        };
        Ok((combine, elem.wgsl()))
    }
}

/// [`scatter_elements`] that combines updates with what is there, one after the other along the axis.
pub fn scatter_elements_with(
    reduction: Reduction,
    elem: Elem,
    data: &[usize],
    indices: &[usize],
    axis: usize,
) -> Result<Launch> {
    // Checks the shapes.
    elements_params(data, indices, axis)?;
    let (combine, item) = reduction.wgsl(elem)?;
    let (mut data_strides, mut index_strides) = (row_major(data), row_major(indices));
    let steps = [
        std::mem::take(&mut data_strides[axis]),
        std::mem::take(&mut index_strides[axis]),
    ];
    let mut dims = indices.to_vec();
    dims[axis] = 1;
    let lines = elements(&dims)?;
    let steps_of_lines = [("data_strides", 0), ("index_strides", 0)];
    let starts = unravel("line_starts", "dims", "rank", &steps_of_lines);
    let mut params = Vec::new();
    let words: Vec<u32> = dims.iter().map(|&d| word(d)).collect::<Result<_>>()?;
    params.extend(table(&words, 1)?);
    for list in [data_strides, index_strides] {
        let words: Vec<u32> = list.iter().map(|&s| signed(s)).collect::<Result<_>>()?;
        params.extend(table(&words, 0)?);
    }
    params.extend([
        word(lines)?,
        word(data.len())?,
        word(indices[axis])?,
        word(data[axis])?,
        signed(steps[0])?,
        signed(steps[1])?,
    ]);
    Ok(Launch {
        label: "scatter",
        key: format!("scatter_elements-{reduction:?}-{item}"),
        wgsl: render(
            include_str!("scatter/elements.wgsl"),
            &[
                ("line_starts", &starts),
                ("item", item),
                ("combine", combine),
            ],
        ),
        params: pad16(params),
        workgroups: cover(lines)?,
        turns: indices[axis],
        bindings: 3,
        flops: 0,
    })
}

/// [`scatter_nd`] that combines updates with what is there, in the order of the tuples.
pub fn scatter_nd_with(
    reduction: Reduction,
    elem: Elem,
    data: &[usize],
    indices: &[usize],
) -> Result<Launch> {
    let (mut params, len) = nd_params(data, indices, 0)?;
    let (combine, item) = reduction.wgsl(elem)?;
    let depth = indices.last().copied().unwrap_or(0);
    let tuples = elements(&indices[..indices.len() - 1])?;
    let slice = len / tuples.max(1);
    params.truncate(16);
    params.extend([word(slice)?, word(depth)?, word(tuples)?, 0]);
    Ok(Launch {
        label: "scatter",
        key: format!("scatter_nd-{reduction:?}-{item}"),
        wgsl: render(
            include_str!("scatter/nd.wgsl"),
            &[("item", item), ("combine", combine)],
        ),
        params,
        workgroups: cover(slice)?,
        turns: tuples.saturating_mul(2 + depth),
        bindings: 3,
        flops: 0,
    })
}

/// Inputs indices (`i32`) and updates, both of shape `indices`; the output has the shape `data`.
pub fn scatter_elements(data: &[usize], indices: &[usize], axis: usize) -> Result<Launch> {
    let (params, len) = elements_params(data, indices, axis)?;
    Ok(Launch {
        label: "scatter",
        key: "scatter_elements".to_owned(),
        wgsl: render(
            include_str!("gather/elements.wgsl"),
            &[
                ("line_start", &line_start()),
                ("first", "in_indices: array<i32>"),
                ("second", "in_updates: array<u32>"),
                ("move", "if (inside) { out[at] = in_updates[i]; }"),
            ],
        ),
        params,
        workgroups: cover(len)?,
        turns: 0,
        bindings: 3,
        flops: 0,
    })
}

/// Inputs indices (`i32`, `[.., r]`) and updates `indices[..-1] + data[r..]`; the output has the shape `data`.
pub fn scatter_nd(data: &[usize], indices: &[usize]) -> Result<Launch> {
    let (params, len) = nd_params(data, indices, 0)?;
    Ok(Launch {
        label: "scatter",
        key: "scatter_nd".to_owned(),
        wgsl: render(
            include_str!("gather/nd.wgsl"),
            &[
                ("first", "in_indices: array<i32>"),
                ("second", "in_updates: array<u32>"),
                ("move", "if (inside) { out[at] = in_updates[i]; }"),
            ],
        ),
        params,
        workgroups: cover(len)?,
        turns: 0,
        bindings: 3,
        flops: 0,
    })
}
