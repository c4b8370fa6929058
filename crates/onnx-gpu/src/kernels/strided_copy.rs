//! Strided copies: transpose, slice, expand, concat, split, tile, pad, space/depth shuffles.

use super::Launch;
use crate::{Error, ErrorKind, Result};

/// `out[out_offset + i·out_strides] = in[in_offset + i·in_strides]` for every `i` of `shape`.
///
/// Offsets and strides count 32-bit elements; input strides may be negative or zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StridedCopy {
    /// The index space; any rank that coalesces to at most 8 axes.
    pub shape: Vec<usize>,
    /// First input element.
    pub in_offset: i64,
    /// Input step per axis.
    pub in_strides: Vec<i64>,
    /// First output element.
    pub out_offset: i64,
    /// Output step per axis.
    pub out_strides: Vec<i64>,
}

/// One input (any 32-bit element), one output; elements outside the index space keep their value.
pub fn strided_copy(_geometry: &StridedCopy) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "strided_copy"))
}

/// No input, one output: `len` elements become `bits`.
pub fn fill(_len: usize, _bits: u32) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "fill"))
}

/// What lies outside a padded tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PadMode {
    /// The element with these bits.
    Constant(u32),
    /// Mirror without repeating the edge.
    Reflect,
    /// Repeat the edge.
    Edge,
    /// Periodic.
    Wrap,
}

/// ONNX `Pad`; negative `begin`/`end` crop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pad {
    /// Input shape, rank at most 8.
    pub shape: Vec<usize>,
    /// Elements added before each axis.
    pub begin: Vec<i64>,
    /// Elements added after each axis.
    pub end: Vec<i64>,
    /// What lies outside.
    pub mode: PadMode,
}

/// One input (any 32-bit element), one output of `shape + begin + end`.
pub fn pad(_geometry: &Pad) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "pad"))
}

/// ONNX `Trilu`: keeps one triangle of the last two axes, zeroes the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trilu {
    /// Product of the leading axes.
    pub batch: usize,
    /// Second last axis.
    pub rows: usize,
    /// Last axis.
    pub cols: usize,
    /// Diagonal offset.
    pub k: i64,
    /// Keep the upper triangle.
    pub upper: bool,
}

/// One input (any 32-bit element), one output of the same shape.
pub fn trilu(_geometry: &Trilu) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "trilu"))
}
