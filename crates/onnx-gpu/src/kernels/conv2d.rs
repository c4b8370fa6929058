//! 2-D convolution, NCHW.

use super::{Activation, AdapterClass, Launch};
use crate::{Error, ErrorKind, Result};

/// ONNX `Conv` with two spatial axes; a 1-D convolution is one with `in_h = kernel_h = 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2d {
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
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub strides: [usize; 2],
    /// Top, left, bottom, right (the order of the ONNX attribute); negative crops.
    pub pads: [i64; 4],
    /// Vertical and horizontal dilation.
    pub dilations: [usize; 2],
    /// Groups; `in_channels` for a depthwise convolution.
    pub groups: usize,
    /// A third input `[out_channels]`.
    pub bias: bool,
    /// A last input of the output's shape, added before the activation.
    pub residual: bool,
    /// Applied last.
    pub activation: Activation,
}

impl Conv2d {
    /// Output height and width.
    pub fn output(&self) -> Result<[usize; 2]> {
        let mut out = [0; 2];
        for (axis, size) in [self.in_h, self.in_w].into_iter().enumerate() {
            let window = self.dilations[axis] * (self.kernel[axis].max(1) - 1) + 1;
            let padded = i64::try_from(size).unwrap_or(i64::MAX)
                + self.pads[axis]
                + self.pads[axis + 2];
            let room = usize::try_from(padded).unwrap_or(0);
            if room < window || self.strides[axis] == 0 {
                return Err(Error::new(
                    ErrorKind::ShapeMismatch,
                    format!("a window of {window} does not fit a padded axis of {padded}"),
                ));
            }
            out[axis] = (room - window) / self.strides[axis] + 1;
        }
        Ok(out)
    }
}

/// Inputs X `[N, C, H, W]`, W `[M, C/groups, kH, kW]`, bias, residual; output `[N, M, oH, oW]`. All `f32`.
pub fn conv2d(_geometry: &Conv2d, _class: AdapterClass) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "conv2d"))
}
