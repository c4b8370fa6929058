//! Layer, RMS, instance and group normalisation.

use super::{Activation, AdapterClass, Launch};
use crate::{Error, ErrorKind, Result};

/// Normalisation of rows: ONNX `LayerNormalization` and `RMSNormalization`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm {
    /// Product of the axes before `axis`.
    pub rows: usize,
    /// Product of the normalised axes.
    pub cols: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// A second input `[cols]`.
    pub scale: bool,
    /// A third input `[cols]`.
    pub bias: bool,
    /// Divide by the root mean square and keep the mean.
    pub rms: bool,
}

/// Inputs X, scale, bias (where announced); one output `[rows, cols]`. All `f32`.
pub fn layer_norm(_geometry: &LayerNorm, _class: AdapterClass) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "layer_norm"))
}

/// Which axis the scale and bias of a group norm run along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NormAffine {
    /// No scale and bias inputs.
    None,
    /// `[channels]` each.
    Channel,
    /// `[groups]` each (`GroupNormalization` before opset 21; `InstanceNormalization` around reshapes).
    Group,
}

/// Normalisation of channel groups of `[batch, channels, spatial]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNorm {
    /// N.
    pub batch: usize,
    /// C, a multiple of `groups`.
    pub channels: usize,
    /// Product of the spatial axes.
    pub spatial: usize,
    /// Groups; `channels` for an instance norm.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// Second and third input.
    pub affine: NormAffine,
    /// Applied last.
    pub activation: Activation,
}

/// Inputs X and, unless [`NormAffine::None`], scale and bias; one output of X's shape. All `f32`.
pub fn group_norm(_geometry: &GroupNorm, _class: AdapterClass) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "group_norm"))
}

/// ONNX `InstanceNormalization`: inputs X `[n, c, spatial]`, scale `[c]`, bias `[c]`.
pub fn instance_norm(
    n: usize,
    c: usize,
    spatial: usize,
    epsilon: f32,
    class: AdapterClass,
) -> Result<Launch> {
    group_norm(
        &GroupNorm {
            batch: n,
            channels: c,
            spatial,
            groups: c,
            epsilon,
            affine: NormAffine::Channel,
            activation: Activation::None,
        },
        class,
    )
}
