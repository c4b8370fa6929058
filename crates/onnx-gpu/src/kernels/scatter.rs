//! Scatters: the output must already hold the data (copy it first with `strided_copy`). An update out of range is dropped.

use super::gather::{elements_params, nd_params};
use super::{Launch, cover, render};
use crate::Result;

/// Inputs indices (`i32`) and updates, both of shape `indices`; the output has the shape `data`.
pub fn scatter_elements(data: &[usize], indices: &[usize], axis: usize) -> Result<Launch> {
    let (params, len) = elements_params(data, indices, axis)?;
    Ok(Launch {
        label: "scatter",
        key: "scatter_elements".to_owned(),
        wgsl: render(
            include_str!("gather/elements.wgsl"),
            &[
                ("first", "in_indices: array<i32>"),
                ("second", "in_updates: array<u32>"),
                ("move", "if (inside) { out[at] = in_updates[i]; }"),
            ],
        ),
        params,
        workgroups: cover(len)?,
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
    })
}
