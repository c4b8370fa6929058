//! [`LayerNormalization`](https://onnx.ai/onnx/operators/onnx__LayerNormalization.html), `RMSNormalization`,
//! `InstanceNormalization`, `GroupNormalization`, `BatchNormalization` (inference).
//!
//! Opset notes: `GroupNormalization` scales per group before 21, per channel since.

use super::elementwise::{activate, binary, named, unary};
use super::reduce::reduce_value;
use super::shape::reshape_target;
use crate::context::{Cx, Lower};
use crate::error::{Result, mismatch, unsupported};
use crate::kernels::Activation;
use crate::kernels::elementwise::{BinaryOp, UnaryOp};
use crate::kernels::norm::{GroupNorm, LayerNorm, NormAffine, group_norm, layer_norm};
use crate::kernels::reduce::ReduceOp;
use crate::program::Value;
use crate::tensor::axis;
use crate::tensor::{DType, Tensor};

pub(super) fn find_fused(op: &str) -> Option<Lower> {
    match op {
        "GroupNorm" => Some(fused_group),
        "LayerNorm" => Some(layer),
        _ => None,
    }
}

pub(super) fn layer(cx: &mut Cx<'_>) -> Result<()> {
    rows(cx, false)
}

pub(super) fn rms(cx: &mut Cx<'_>) -> Result<()> {
    rows(cx, true)
}

fn float(x: &Value) -> Result<()> {
    if x.dtype().is_float() {
        Ok(())
    } else {
        Err(unsupported(format!(
            "an input of {} is not supported",
            x.dtype()
        )))
    }
}

fn rows(cx: &mut Cx<'_>, rms: bool) -> Result<()> {
    let x = cx.input(0)?;
    float(&x)?;
    cx.attributes.ignore(&["stash_type"]);
    let at = axis(cx.attributes.int("axis", -1)?, x.rank())?;
    let epsilon = cx.attributes.float("epsilon", 1e-5)?;
    let affine = [cx.optional(1), cx.optional(2)];
    if cx.wants(1) || cx.wants(2) {
        statistics(cx, &x, at, epsilon, rms)?;
    }
    let out = normalised_rows(cx, &x, at, epsilon, affine, rms)?;
    let out = activate(cx, cx.activation(), out)?;
    cx.set(0, out);
    Ok(())
}

/// Normalises over the axes from `at` on, then scales and shifts.
pub(super) fn normalised_rows(
    cx: &mut Cx<'_>,
    x: &Value,
    at: usize,
    epsilon: f32,
    [scale, bias]: [Option<Value>; 2],
    rms: bool,
) -> Result<Value> {
    float(x)?;
    let (outer, normalised) = x.shape().split_at(at);
    let cols: usize = normalised.iter().product();
    // A scale that is broadcast inside the row is applied afterwards.
    let whole = |v: &Option<Value>| v.as_ref().is_none_or(|v| v.elements() == cols);
    let inside = whole(&scale) && whole(&bias);
    let geometry = LayerNorm {
        rows: outer.iter().product(),
        cols,
        epsilon,
        scale: inside && scale.is_some(),
        bias: inside && bias.is_some(),
        rms,
    };
    let mut inputs = vec![x];
    if inside {
        inputs.extend(scale.iter().chain(&bias));
    }
    let launch = layer_norm(&geometry, cx.class())?;
    let too_long = cx.is_too_long(&launch);
    let mut out = if too_long {
        let rows = cx.reshaped(x.clone(), vec![geometry.rows, cols])?;
        let normal = standard(cx, &rows, epsilon, rms)?;
        cx.reshaped(normal, x.shape().to_vec())?
    } else {
        cx.launch(|| Ok(launch), &inputs, x.shape(), x.dtype())?
    };
    if !inside || too_long {
        for (value, op) in [(&scale, BinaryOp::Mul), (&bias, BinaryOp::Add)] {
            if let Some(value) = value {
                out = binary(cx, op, &out, value)?;
            }
        }
    }
    Ok(out)
}

/// Rows of `[rows, cols]` less their mean, unless `rms`, over their standard deviation: by reductions of their own, where a row
/// has more elements than one invocation goes over.
fn standard(cx: &mut Cx<'_>, rows: &Value, epsilon: f32, rms: bool) -> Result<Value> {
    // In between, nothing is rounded to 16 bits.
    let mut centred = named(rows, DType::F32);
    if !rms {
        let mean = reduce_value(cx, ReduceOp::Mean, &centred, &[1], true)?;
        centred = binary(cx, BinaryOp::Sub, &centred, &mean)?;
    }
    let squares = reduce_value(cx, ReduceOp::SumSquare, &centred, &[1], true)?;
    let scalar = |value: f32| Ok::<_, crate::Error>(Value::Const(Tensor::f32([], vec![value])?));
    let count = scalar(rows.shape()[1] as f32)?;
    let variance = binary(cx, BinaryOp::Div, &squares, &count)?;
    let safe = binary(cx, BinaryOp::Add, &variance, &scalar(epsilon)?)?;
    let deviation = unary(cx, UnaryOp::Sqrt, &safe)?;
    let normal = binary(cx, BinaryOp::Div, &centred, &deviation)?;
    Ok(named(&normal, rows.dtype()))
}

/// The group norm of one dispatch, or of several where a group has more elements than one invocation goes over.
fn launch_groups(cx: &mut Cx<'_>, geometry: &GroupNorm, inputs: &[&Value]) -> Result<Value> {
    let g = geometry;
    let x = inputs[0];
    let launch = group_norm(g, cx.class())?;
    if !cx.is_too_long(&launch) {
        return cx.launch(|| Ok(launch), inputs, x.shape(), x.dtype());
    }
    let channels = g.channels / g.groups;
    let rows = cx.reshaped(x.clone(), vec![g.batch * g.groups, channels * g.spatial])?;
    let normal = standard(cx, &rows, g.epsilon, false)?;
    let mut out = cx.reshaped(normal, vec![g.batch, g.groups, channels, g.spatial])?;
    let affine = match g.affine {
        NormAffine::None => None,
        NormAffine::Channel => Some(vec![g.groups, channels, 1]),
        NormAffine::Group => Some(vec![g.groups, 1, 1]),
    };
    if let (Some(shape), [_, scale, bias]) = (affine, inputs) {
        for (value, op) in [(scale, BinaryOp::Mul), (bias, BinaryOp::Add)] {
            let value = cx.reshaped((*value).clone(), shape.clone())?;
            out = binary(cx, op, &out, &value)?;
        }
    }
    let out = cx.reshaped(out, x.shape().to_vec())?;
    activate(cx, g.activation, out)
}

/// The optional outputs: mean and inverse standard deviation of every row of `LayerNormalization`, the inverse root mean square
/// of `SimplifiedLayerNormalization`.
fn statistics(cx: &mut Cx<'_>, x: &Value, at: usize, epsilon: f32, rms: bool) -> Result<()> {
    let axes: Vec<usize> = (at..x.rank()).collect();
    let mut centred = x.clone();
    if !rms {
        let mean = reduce_value(cx, ReduceOp::Mean, x, &axes, true)?;
        centred = binary(cx, BinaryOp::Sub, x, &mean)?;
        cx.set(1, mean);
    }
    let squares = binary(cx, BinaryOp::Mul, &centred, &centred)?;
    let variance = reduce_value(cx, ReduceOp::Mean, &squares, &axes, true)?;
    let epsilon = Tensor::f32([], vec![epsilon])?.cast(x.dtype());
    let safe = binary(cx, BinaryOp::Add, &variance, &Value::Const(epsilon))?;
    let deviation = unary(cx, UnaryOp::Sqrt, &safe)?;
    let inverse = unary(cx, UnaryOp::Reciprocal, &deviation)?;
    cx.set(if rms { 1 } else { 2 }, inverse);
    Ok(())
}

/// Batch, channels and product of the spatial axes.
fn channels(x: &Value) -> Result<(usize, usize, usize)> {
    float(x)?;
    match x.shape() {
        [n, c, spatial @ ..] => Ok((*n, *c, spatial.iter().product())),
        other => Err(mismatch(format!("{other:?} is not [N, C, ...]"))),
    }
}

fn check_affine(scale: &Value, bias: &Value, length: usize) -> Result<()> {
    if scale.shape() == [length] && bias.shape() == [length] {
        return Ok(());
    }
    Err(mismatch(format!(
        "scale {:?} and bias {:?} are not [{length}]",
        scale.shape(),
        bias.shape()
    )))
}

fn normalise(
    cx: &mut Cx<'_>,
    x: &Value,
    groups: usize,
    scale: &Value,
    bias: &Value,
    affine: NormAffine,
) -> Result<()> {
    let (batch, c, spatial) = channels(x)?;
    if groups == 0 || !c.is_multiple_of(groups) {
        return Err(mismatch(format!(
            "{c} channels do not divide into {groups} groups"
        )));
    }
    let length = if affine == NormAffine::Group {
        groups
    } else {
        c
    };
    check_affine(scale, bias, length)?;
    let geometry = GroupNorm {
        batch,
        channels: c,
        spatial,
        groups,
        epsilon: cx.attributes.float("epsilon", 1e-5)?,
        affine,
        activation: cx.activation(),
    };
    let out = launch_groups(cx, &geometry, &[x, scale, bias])?;
    cx.set(0, out);
    Ok(())
}

/// Normalises groups of channels of `[N, C, ...]`; scale and bias are `[C]`.
pub(super) fn grouped(
    cx: &mut Cx<'_>,
    x: &Value,
    groups: usize,
    [scale, bias]: [&Value; 2],
    epsilon: f32,
    activation: Activation,
) -> Result<Value> {
    let (batch, c, spatial) = channels(x)?;
    if groups == 0 || !c.is_multiple_of(groups) {
        return Err(mismatch(format!(
            "{c} channels do not divide into {groups} groups"
        )));
    }
    check_affine(scale, bias, c)?;
    let geometry = GroupNorm {
        batch,
        channels: c,
        spatial,
        groups,
        epsilon,
        affine: NormAffine::Channel,
        activation,
    };
    launch_groups(cx, &geometry, &[x, scale, bias])
}

pub(super) fn instance(cx: &mut Cx<'_>) -> Result<()> {
    let (x, scale, bias) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let (_, c, _) = channels(&x)?;
    normalise(cx, &x, c, &scale, &bias, NormAffine::Channel)
}

fn group_count(cx: &Cx<'_>) -> Result<usize> {
    let groups = cx.attributes.int("num_groups", 0)?;
    usize::try_from(groups).map_err(|_| mismatch(format!("attribute 'num_groups' = {groups}")))
}

pub(super) fn group(cx: &mut Cx<'_>) -> Result<()> {
    let (x, scale, bias) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    cx.attributes.ignore(&["stash_type"]);
    let affine = if cx.opset() < 21 {
        NormAffine::Group
    } else {
        NormAffine::Channel
    };
    let groups = group_count(cx)?;
    normalise(cx, &x, groups, &scale, &bias, affine)
}

/// The group norm that fusion made from reshapes around an instance norm, or its parts where the shapes say otherwise.
fn fused_group(cx: &mut Cx<'_>) -> Result<()> {
    let (x, scale, bias) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let view = target(cx, 3, x.shape())?;
    let &[n, groups, ..] = view.as_slice() else {
        return Err(mismatch(format!("{view:?} is not [N, groups, ...]")));
    };
    let restored = target(cx, 4, &view)?;
    let c = x.shape().get(1).copied().unwrap_or(0);
    let per_channel = |v: &Value| {
        let mut shape = vec![1; x.rank().saturating_sub(1)];
        shape.iter_mut().take(1).for_each(|first| *first = c);
        v.shape().strip_prefix(&[1]).unwrap_or(v.shape()) == shape
    };
    let whole = x.rank() > 2
        && restored == x.shape()
        && x.shape()[0] == n
        && groups > 0
        && c.is_multiple_of(groups)
        && per_channel(&scale)
        && per_channel(&bias);
    if whole {
        let scale = cx.reshaped(scale, vec![c])?;
        let bias = cx.reshaped(bias, vec![c])?;
        return normalise(cx, &x, groups, &scale, &bias, NormAffine::Channel);
    }
    let grouped = cx.reshaped(x, view.clone())?;
    let (batch, channels, spatial) = channels(&grouped)?;
    let geometry = GroupNorm {
        batch,
        channels,
        spatial,
        groups: channels,
        epsilon: cx.attributes.float("epsilon", 1e-5)?,
        affine: NormAffine::None,
        activation: Activation::None,
    };
    let normal = launch_groups(cx, &geometry, &[&grouped])?;
    let normal = cx.reshaped(normal, restored)?;
    let scaled = binary(cx, BinaryOp::Mul, &normal, &scale)?;
    let shifted = binary(cx, BinaryOp::Add, &scaled, &bias)?;
    let out = activate(cx, cx.activation(), shifted)?;
    cx.set(0, out);
    Ok(())
}

/// What a reshape of `shape` to constant input `index` gives.
fn target(cx: &Cx<'_>, index: usize, shape: &[usize]) -> Result<Vec<usize>> {
    cx.attributes.ignore(&["allowzero"]);
    let wanted = cx
        .constant(index)?
        .ok_or_else(|| mismatch("a reshape has no target"))?;
    reshape_target(shape, &wanted.to_i64_vec()?, false)
}

/// `x · scale/√(var+ε) + (bias − mean · scale/√(var+ε))`; with constant statistics both factors fold.
pub(super) fn batch(cx: &mut Cx<'_>) -> Result<()> {
    cx.attributes.ignore(&["momentum"]);
    if cx.attributes.flag("training_mode", false)? || !cx.attributes.flag("spatial", true)? {
        return Err(unsupported(
            "training_mode = 1 or spatial = 0 is not supported",
        ));
    }
    if cx.before(7) && !cx.attributes.flag("is_test", false)? {
        return Err(unsupported(
            "is_test = 0, which is training, is not supported",
        ));
    }
    let x = cx.input(0)?;
    let (_, c, _) = channels(&x)?;
    let (scale, bias, mean, variance) = (cx.input(1)?, cx.input(2)?, cx.input(3)?, cx.input(4)?);
    check_affine(&scale, &bias, c)?;
    check_affine(&mean, &variance, c)?;
    let epsilon = cx.attributes.float("epsilon", 1e-5)?;
    let epsilon = Tensor::f32([], vec![epsilon])?.cast(variance.dtype());
    let safe = binary(cx, BinaryOp::Add, &variance, &Value::Const(epsilon))?;
    let deviation = unary(cx, UnaryOp::Sqrt, &safe)?;
    let factor = binary(cx, BinaryOp::Div, &scale, &deviation)?;
    let offset = binary(cx, BinaryOp::Mul, &mean, &factor)?;
    let shift = binary(cx, BinaryOp::Sub, &bias, &offset)?;
    let mut per_channel = vec![1; x.rank() - 1];
    per_channel[0] = c;
    let factor = cx.reshaped(factor, per_channel.clone())?;
    let shift = cx.reshaped(shift, per_channel)?;
    let scaled = binary(cx, BinaryOp::Mul, &x, &factor)?;
    let out = binary(cx, BinaryOp::Add, &scaled, &shift)?;
    let out = activate(cx, cx.activation(), out)?;
    cx.set(0, out);
    Ok(())
}
