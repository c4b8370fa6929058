//! Max and average pooling over the two spatial axes of NCHW.

use super::Launch;
use crate::{Error, ErrorKind, Result};

/// What a pool computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolOp {
    /// Maximum; padding never wins.
    Max,
    /// Mean over the window, padding included or not.
    Average {
        /// Divide by the window's size, padding counted.
        count_include_pad: bool,
    },
}

/// A pool of `planes` images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The function.
    pub op: PoolOp,
    /// N·C.
    pub planes: usize,
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width (already rounded by `ceil_mode`).
    pub output: [usize; 2],
    /// Window height and width.
    pub kernel: [usize; 2],
    /// Strides.
    pub strides: [usize; 2],
    /// Top, left, bottom, right padding.
    pub pads: [usize; 4],
    /// Dilations.
    pub dilations: [usize; 2],
}

/// One `f32` input, one output.
pub fn pool(_geometry: &Pool) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "pool"))
}
