//! ONNX `Resize` over the two spatial axes of NCHW.

use super::Launch;
use crate::{Error, ErrorKind, Result};

/// How an output coordinate maps to an input coordinate (`coordinate_transformation_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the ONNX values")]
pub enum CoordinateMode {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
}

/// How `nearest` rounds (`nearest_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the ONNX values")]
pub enum NearestMode {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
}

/// Interpolation (`mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// One input pixel.
    Nearest(NearestMode),
    /// Bilinear.
    Linear,
}

/// A resize of `planes` images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resize {
    /// N·C.
    pub planes: usize,
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
    /// Output over input, as given by `scales` or the ratio of the sizes.
    pub scales: [f32; 2],
    /// Coordinate map.
    pub coordinates: CoordinateMode,
    /// Interpolation.
    pub interpolation: Interpolation,
}

/// One `f32` input, one output.
pub fn resize(_geometry: &Resize) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "resize"))
}
