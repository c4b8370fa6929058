//! Ranges and cumulative sums.

use super::{Elem, Launch};
use crate::{Error, ErrorKind, Result};

/// No input, one output: `len` elements `start + i·step`. Start and step are bits of `elem` (`F32` or `I32`).
pub fn range(_elem: Elem, _len: usize, _start: u32, _step: u32) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "range"))
}

/// A cumulative sum along the middle axis of `[outer, axis, inner]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CumSum {
    /// `F32` or `I32`.
    pub elem: Elem,
    /// Product of the axes before.
    pub outer: usize,
    /// Length of the summed axis.
    pub axis: usize,
    /// Product of the axes after.
    pub inner: usize,
    /// Leave the element itself out.
    pub exclusive: bool,
    /// From the end.
    pub reverse: bool,
}

/// One input, one output of the same shape.
pub fn cumsum(_geometry: &CumSum) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "cumsum"))
}
