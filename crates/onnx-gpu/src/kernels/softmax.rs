//! Softmax and log-softmax along one axis.

use super::{AdapterClass, Launch};
use crate::{Error, ErrorKind, Result};

/// A tensor seen as `[outer, axis, inner]`, normalised along `axis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// Product of the axes before.
    pub outer: usize,
    /// Length of the normalised axis.
    pub axis: usize,
    /// Product of the axes after.
    pub inner: usize,
    /// Give the logarithm.
    pub log: bool,
}

/// One `f32` input, one output of the same shape. A row of only `-inf` gives NaN, as in ONNX Runtime.
pub fn softmax(_geometry: &Softmax, _class: AdapterClass) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "softmax"))
}
