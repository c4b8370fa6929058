//! Scatters: the output must already hold the data (copy it first with `strided_copy`).

use super::Launch;
use crate::{Error, ErrorKind, Result};

/// Inputs indices (`i32`) and updates, both of shape `indices`; the output has the shape `data`.
pub fn scatter_elements(_data: &[usize], _indices: &[usize], _axis: usize) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "scatter_elements"))
}

/// Inputs indices (`i32`, `[.., r]`) and updates `indices[..-1] + data[r..]`; the output has the shape `data`.
pub fn scatter_nd(_data: &[usize], _indices: &[usize]) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "scatter_nd"))
}
