//! Gathers. Data are any 32-bit element, indices `i32`; negative indices count from the end.
//!
//! ONNX forbids indices out of range, a shader cannot report one: its result is the word `0x7fc0_0000`, which is NaN as a float
//! and 2 143 289 344 as an integer, never another element.

use super::{
    Format, Launch, cover, elements, pad16, render, row_major, signed, table, unravel, word,
};
use crate::{Error, ErrorKind, Result};

/// ONNX `Gather` on data `[outer, axis, inner]`; the output is `[outer, indices, inner]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Product of the axes before.
    pub outer: usize,
    /// Length of the indexed axis.
    pub axis: usize,
    /// Product of the axes after.
    pub inner: usize,
    /// Number of indices.
    pub indices: usize,
}

/// Inputs data, indices; data of another format than [`Format::F32`] are widened to `f32`.
pub fn gather(geometry: &Gather, format: Format) -> Result<Launch> {
    let g = geometry;
    if format.is_scaled() {
        return Err(Error::new(
            ErrorKind::UnsupportedOp,
            "data of blocks with scales are not supported",
        ));
    }
    elements(&[g.outer, g.axis, g.inner])?;
    elements(&[g.outer, g.indices, g.inner])?;
    let (item, inner) = if g.inner.is_multiple_of(4) && format == Format::F32 {
        ("vec4<u32>", g.inner / 4)
    } else {
        ("u32", g.inner)
    };
    let len = elements(&[g.outer, g.indices, inner])?;
    Ok(Launch {
        label: "gather",
        key: format!("gather-{item}{}", format.key()),
        wgsl: render(
            include_str!("gather/axis.wgsl"),
            &[("item", item), ("data", &data(item, format))],
        ),
        params: vec![word(len)?, word(g.axis)?, word(inner)?, word(g.indices)?],
        workgroups: cover(len)?,
        turns: 0,
        bindings: 3,
        flops: 0,
    })
}

/// The data binding and `fn load_x(at: u32) -> {item}`.
fn data(item: &str, format: Format) -> String {
    if format == Format::F32 {
        return format!(
            "@group(0) @binding(1) var<storage, read> in_x: array<{item}>;
fn load_x(at: u32) -> {item} {{
    return in_x[at];
}}
"
        );
    }
    let widened = format.wgsl("packed", 1, 1);
    format!(
        "{widened}fn load_x(at: u32) -> u32 {{\n    return bitcast<u32>(load_packed(at));\n}}\n"
    )
}

/// Inputs data of shape `data`, indices of shape `indices`; the output has the shape `indices`.
pub fn gather_elements(data: &[usize], indices: &[usize], axis: usize) -> Result<Launch> {
    let (params, len) = elements_params(data, indices, axis)?;
    Ok(Launch {
        label: "gather",
        key: "gather_elements".to_owned(),
        wgsl: render(
            include_str!("gather/elements.wgsl"),
            &[
                ("line_start", &line_start()),
                ("first", "in_x: array<u32>"),
                ("second", "in_indices: array<i32>"),
                ("move", "out[i] = select(0x7fc00000u, in_x[at], inside);"),
            ],
        ),
        params,
        workgroups: cover(len)?,
        turns: 0,
        bindings: 3,
        flops: 0,
    })
}

/// Inputs data, indices `[.., r]`; the output is `indices[..-1] + data[batch_dims + r..]`.
pub fn gather_nd(data: &[usize], indices: &[usize], batch_dims: usize) -> Result<Launch> {
    let (params, len) = nd_params(data, indices, batch_dims)?;
    Ok(Launch {
        label: "gather",
        key: "gather_nd".to_owned(),
        wgsl: render(
            include_str!("gather/nd.wgsl"),
            &[
                ("first", "in_x: array<u32>"),
                ("second", "in_indices: array<i32>"),
                ("move", "out[i] = select(0x7fc00000u, in_x[at], inside);"),
            ],
        ),
        params,
        workgroups: cover(len)?,
        turns: 0,
        bindings: 3,
        flops: 0,
    })
}

fn mismatch(data: &[usize], indices: &[usize], what: &str) -> Error {
    Error::new(
        ErrorKind::ShapeMismatch,
        format!("{what}: data {data:?}, indices {indices:?}"),
    )
}

/// The function of `elements.wgsl` that says where the line of an index begins.
pub(super) fn line_start() -> String {
    unravel("line_start", "dims", "rank", &[("strides", 0)])
}

/// Parameters of `elements.wgsl` and the number of indices.
pub(super) fn elements_params(
    data: &[usize],
    indices: &[usize],
    axis: usize,
) -> Result<(Vec<u32>, usize)> {
    elements(data)?;
    let fits = indices
        .iter()
        .zip(data)
        .enumerate()
        .all(|(i, (&n, &d))| i == axis || n <= d);
    if data.len() != indices.len() || axis >= data.len() || !fits {
        return Err(mismatch(data, indices, &format!("axis {axis}")));
    }
    let mut strides = row_major(data);
    let stride = std::mem::take(&mut strides[axis]);
    let dims: Vec<u32> = indices.iter().map(|&d| word(d)).collect::<Result<_>>()?;
    let words: Vec<u32> = strides.iter().map(|&s| signed(s)).collect::<Result<_>>()?;
    let len = elements(indices)?;
    let mut params = Vec::new();
    params.extend(table(&dims, 1)?);
    params.extend(table(&words, 0)?);
    params.extend([
        word(len)?,
        word(data.len())?,
        word(data[axis])?,
        signed(stride)?,
    ]);
    Ok((params, len))
}

/// Parameters of `nd.wgsl` and the number of elements that move.
pub(super) fn nd_params(
    data: &[usize],
    indices: &[usize],
    batch_dims: usize,
) -> Result<(Vec<u32>, usize)> {
    let (&depth, tuples) = indices
        .split_last()
        .ok_or_else(|| mismatch(data, indices, "scalar indices"))?;
    let fits = batch_dims <= tuples.len()
        && batch_dims + depth <= data.len()
        && tuples[..batch_dims] == data[..batch_dims];
    if !fits {
        return Err(mismatch(data, indices, &format!("batch_dims {batch_dims}")));
    }
    elements(data)?;
    let strides = row_major(data);
    let axes = batch_dims..batch_dims + depth;
    let dims: Vec<u32> = data[axes.clone()]
        .iter()
        .map(|&d| word(d))
        .collect::<Result<_>>()?;
    let words: Vec<u32> = strides[axes]
        .iter()
        .map(|&s| signed(s))
        .collect::<Result<_>>()?;
    let slice = elements(&data[batch_dims + depth..])?;
    let len = elements(&[elements(tuples)?, slice])?;
    let mut params = Vec::new();
    params.extend(table(&dims, 1)?);
    params.extend(table(&words, 0)?);
    for size in [
        len,
        depth,
        slice.max(1),
        elements(&tuples[batch_dims..])?.max(1),
        elements(&data[batch_dims..])?,
    ] {
        params.push(word(size)?);
    }
    Ok((pad16(params), len))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn wide_rows_move_as_vec4() {
        let mut geometry = Gather {
            outer: 1,
            axis: 49408,
            inner: 768,
            indices: 77,
        };
        assert_eq!(
            gather(&geometry, Format::F32).unwrap().key,
            "gather-vec4<u32>"
        );
        geometry.inner = 3;
        assert_eq!(gather(&geometry, Format::F32).unwrap().key, "gather-u32");
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        assert!(gather_elements(&[2, 3], &[3, 3], 1).is_err());
        assert!(gather_elements(&[2, 3], &[2], 0).is_err());
        assert!(gather_nd(&[2, 3], &[2, 3], 0).is_err());
        assert!(gather_nd(&[2, 3], &[3, 1], 1).is_err());
    }
}
