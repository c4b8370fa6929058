//! 2-D transposed convolution, NCHW.

use super::{Activation, Launch};
use crate::{Error, ErrorKind, Result};

/// ONNX `ConvTranspose` with two spatial axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvTranspose2d {
    /// N.
    pub batch: usize,
    /// C, a multiple of `groups`.
    pub in_channels: usize,
    /// Input height.
    pub in_h: usize,
    /// Input width.
    pub in_w: usize,
    /// M, a multiple of `groups`.
    pub out_channels: usize,
    /// Output height, as resolved from pads, output padding or `output_shape`.
    pub out_h: usize,
    /// Output width.
    pub out_w: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub strides: [usize; 2],
    /// Top and left padding.
    pub pads: [i64; 2],
    /// Vertical and horizontal dilation.
    pub dilations: [usize; 2],
    /// Groups.
    pub groups: usize,
    /// A third input `[out_channels]`.
    pub bias: bool,
    /// Applied last.
    pub activation: Activation,
}

/// Inputs X `[N, C, H, W]`, W `[C, M/groups, kH, kW]`, bias; output `[N, M, oH, oW]`. All `f32`.
pub fn conv_transpose2d(_geometry: &ConvTranspose2d) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "conv_transpose2d"))
}
