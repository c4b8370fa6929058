//! Gathers. Data are any 32-bit element, indices `i32`; negative indices count from the end.

use super::Launch;
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

/// Inputs data, indices. An index out of range is clamped to the nearest end.
pub fn gather(_geometry: &Gather) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "gather"))
}

/// Inputs data of shape `data`, indices of shape `indices`; the output has the shape `indices`.
pub fn gather_elements(_data: &[usize], _indices: &[usize], _axis: usize) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "gather_elements"))
}

/// Inputs data, indices `[.., r]`; the output is `indices[..-1] + data[batch_dims + r..]`.
pub fn gather_nd(_data: &[usize], _indices: &[usize], _batch_dims: usize) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "gather_nd"))
}
