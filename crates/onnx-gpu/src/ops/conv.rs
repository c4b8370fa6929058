//! [`Conv`](https://onnx.ai/onnx/operators/onnx__Conv.html) and
//! [`ConvTranspose`](https://onnx.ai/onnx/operators/onnx__ConvTranspose.html) over one or two spatial axes.

use super::elementwise::{activate, binary, cast_value};
use super::movement::{channels_first, channels_last, part};
use super::window::{Window, image_shape};

use crate::context::{Cx, Lower};
use crate::error::{Result, invalid_model, mismatch, unsupported};
use crate::kernels::conv_transpose2d::{ConvTranspose2d, conv_transpose2d};
use crate::kernels::conv2d::{Conv2d, Residual, conv2d, of_view};
use crate::kernels::elementwise::BinaryOp;
use crate::kernels::matmul::Strides;
use crate::kernels::{Activation, Format, MAX_TURNS};
use crate::program::Value;
use crate::tensor::Packing;
use crate::tensor::{DType, elements};

fn group(cx: &Cx<'_>) -> Result<usize> {
    let group = cx.attributes.int("group", 1)?;
    usize::try_from(group)
        .ok()
        .filter(|&g| g > 0)
        .ok_or_else(|| invalid_model(format!("attribute 'group' = {group}")))
}

fn check_bias(bias: Option<&Value>, channels: usize) -> Result<()> {
    match bias {
        Some(b) if b.shape() != [channels] => Err(mismatch(format!(
            "the bias {:?} does not fit {channels} channels",
            b.shape()
        ))),
        _ => Ok(()),
    }
}

/// Drops the height that [`image_shape`] added.
fn output_shape(x: &Value, n: usize, c: usize, [h, w]: [usize; 2]) -> Vec<usize> {
    if x.rank() == 3 {
        vec![n, c, w]
    } else {
        vec![n, c, h, w]
    }
}

pub(super) fn conv(cx: &mut Cx<'_>) -> Result<()> {
    let call = Convolution {
        x: cx.input(0)?,
        weight: cx.input(1)?,
        scales: None,
        bias: cx.optional(2).or_else(|| cx.fused_bias()),
        residual: cx.fused_residual(),
        activation: cx.activation(),
    };
    let out = call.lower(cx)?;
    cx.set(0, out);
    Ok(())
}

pub(super) fn find_fused(op: &str) -> Option<Lower> {
    (op == "Conv").then_some(of_channels as Lower)
}

/// X, whole numbers, bias, a scale for each output channel.
fn of_channels(cx: &mut Cx<'_>) -> Result<()> {
    let call = Convolution {
        x: cx.input(0)?,
        weight: cx.input(1)?,
        scales: Some(cx.input(3)?),
        bias: cx.optional(2),
        residual: cx.fused_residual(),
        activation: cx.activation(),
    };
    let out = call.lower(cx)?;
    cx.set(0, out);
    Ok(())
}

/// The function that the attributes `activation` and `activation_params` name.
fn named_activation(cx: &Cx<'_>) -> Result<Activation> {
    let params = cx
        .attributes
        .opt_floats("activation_params")?
        .unwrap_or(&[]);
    Ok(match (cx.attributes.text("activation", "")?, params) {
        ("", _) => Activation::None,
        ("Relu", _) => Activation::Relu,
        ("Tanh", _) => Activation::Tanh,
        ("Sigmoid", _) => Activation::Sigmoid,
        ("LeakyRelu", &[alpha]) => Activation::LeakyRelu(alpha),
        ("LeakyRelu", []) => Activation::LeakyRelu(0.01),
        ("Clip", &[low, high]) => Activation::Clip(low, high),
        (other, params) => {
            return Err(unsupported(format!(
                "attribute 'activation' = \"{other}\" with {params:?} is not supported"
            )));
        }
    })
}

/// ONNX Runtime's `FusedConv`: X, W, bias, an addend Z, then an activation.
pub(super) fn fused_conv(cx: &mut Cx<'_>) -> Result<()> {
    let call = Convolution {
        x: cx.input(0)?,
        weight: cx.input(1)?,
        scales: None,
        bias: cx.optional(2),
        residual: cx.optional(3),
        activation: named_activation(cx)?,
    };
    let out = call.lower(cx)?;
    cx.set(0, out);
    Ok(())
}

/// ONNX Runtime's `NhwcConv`: X `[N, H, W, C]`, weights `[M, kH, kW, C / group]`.
pub(super) fn nhwc_conv(cx: &mut Cx<'_>) -> Result<()> {
    let (x, weight) = (cx.input(0)?, cx.input(1)?);
    let call = Convolution {
        x: channels_first(cx, &x)?,
        weight: channels_first(cx, &weight)?,
        scales: None,
        bias: cx.optional(2),
        residual: None,
        activation: cx.activation(),
    };
    let out = call.lower(cx)?;
    let out = channels_last(cx, &out)?;
    cx.set(0, out);
    Ok(())
}

/// A convolution whose geometry the node's attributes give.
pub(super) struct Convolution {
    pub x: Value,
    pub weight: Value,
    /// By which each output channel of the weights, whole numbers, is multiplied.
    pub scales: Option<Value>,
    pub bias: Option<Value>,
    /// Added before the activation.
    pub residual: Option<Value>,
    pub activation: Activation,
}

impl Convolution {
    pub fn lower(mut self, cx: &mut Cx<'_>) -> Result<Value> {
        // The kernel reads whole numbers as the device holds those of a file.
        if self.weight.packing() != Packing::I8 {
            self = self.widened(cx)?;
        }
        lower(cx, self)
    }

    /// With weights of floats.
    fn widened(self, cx: &mut Cx<'_>) -> Result<Self> {
        let Some(scales) = self.scales else {
            return Ok(self);
        };
        let mut along = vec![1; self.weight.rank()];
        along[0] = scales.elements();
        let scales = cx.reshaped(scales, along)?;
        let whole = cast_value(cx, &self.weight, DType::F32)?;
        Ok(Self {
            weight: binary(cx, BinaryOp::Mul, &whole, &scales)?,
            scales: None,
            ..self
        })
    }
}

fn lower(cx: &mut Cx<'_>, call: Convolution) -> Result<Value> {
    let Convolution {
        x,
        weight,
        scales,
        bias,
        residual,
        activation,
    } = call;
    float(&x)?;
    let [batch, in_channels, in_h, in_w] = image_shape(&x)?;
    let groups = group(cx)?;
    if weight.rank() != x.rank()
        || weight.shape()[1].checked_mul(groups) != Some(in_channels)
        || !weight.shape()[0].is_multiple_of(groups)
    {
        return Err(mismatch(format!(
            "input {:?}, weight {:?} and {groups} groups do not fit",
            x.shape(),
            weight.shape()
        )));
    }
    let out_channels = weight.shape()[0];
    check_bias(bias.as_ref(), out_channels)?;
    let window = Window::read(cx, &x, Some(&weight.shape()[2..]))?;
    let mut geometry = Conv2d {
        batch,
        in_channels,
        in_h,
        in_w,
        out_channels,
        kernel: window.kernel,
        strides: window.strides,
        pads: window.pads,
        dilations: window.dilations,
        groups,
        bias: bias.is_some(),
        residual: Residual::None,
        upsample: false,
        activation,
        weights: match scales {
            Some(_) => Format::Channels,
            None => weight.format(),
        },
    };
    let shape = output_shape(&x, batch, out_channels, geometry.output()?);
    geometry.residual = match residual.as_ref().map(Value::shape) {
        Some(r) if r == shape => Residual::Full,
        Some(&[n, c, ref ones @ ..])
            if ones.len() + 2 == x.rank()
                && (n, c) == (batch, out_channels)
                && ones.iter().all(|&d| d == 1) =>
        {
            Residual::Channel
        }
        _ => Residual::None,
    };
    let separate = residual.is_some() && geometry.residual == Residual::None;
    if separate {
        geometry.activation = Activation::None;
    }
    let tiles = cx.tiles();
    let (image, strides) = image(cx, &mut geometry, &x);
    let mut inputs: Vec<&Value> = [&image, &weight].into_iter().chain(bias.as_ref()).collect();
    if !separate {
        inputs.extend(residual.as_ref());
    }
    inputs.extend(scales.as_ref());
    let launch = || match strides {
        Some(strides) => of_view(&geometry, strides, tiles),
        None => conv2d(&geometry, tiles),
    };
    let launch = launch()?;
    if cx.is_too_long(&launch) && groups == 1 && in_channels > 1 {
        let halves = in_channels / 2;
        let call = Convolution {
            x,
            weight,
            scales,
            bias,
            residual,
            activation,
        };
        let Convolution {
            x,
            weight,
            bias,
            residual,
            ..
        } = call.widened(cx)?;
        return in_halves(cx, [&x, &weight], halves, [bias, residual], activation);
    }
    let mut out = if scales.is_some() && elements(&shape)? > 0 {
        let output = cx.allocate(&shape, x.dtype())?;
        cx.push_packed(launch, &inputs, &[1], &output)?;
        Value::Device(output)
    } else {
        cx.launch_packed(|| Ok(launch), &inputs, &[1], &shape, x.dtype())?
    };
    if let Some(residual) = residual.filter(|_| separate) {
        let sum = binary(cx, BinaryOp::Add, &out, &residual)?;
        out = activate(cx, activation, sum)?;
    }
    Ok(out)
}

/// The convolution as a sum of two, over the first `some` channels of the image and over the others; bias, then the residual are
/// added and the activation is applied.
fn in_halves(
    cx: &mut Cx<'_>,
    [x, weight]: [&Value; 2],
    some: usize,
    [bias, residual]: [Option<Value>; 2],
    activation: Activation,
) -> Result<Value> {
    let mut sum: Option<Value> = None;
    for (start, channels) in [(0, some), (some, x.shape()[1] - some)] {
        let call = Convolution {
            x: part(cx, x, 1, start, channels)?,
            weight: part(cx, weight, 1, start, channels)?,
            scales: None,
            bias: None,
            residual: None,
            activation: Activation::None,
        };
        let out = lower(cx, call)?;
        sum = Some(match sum {
            Some(sum) => binary(cx, BinaryOp::Add, &sum, &out)?,
            None => out,
        });
    }
    let mut out = sum.ok_or_else(|| unsupported("a sum over no element"))?;
    if let Some(bias) = bias {
        let mut shape = bias.shape().to_vec();
        shape.resize(x.rank() - 1, 1);
        let bias = cx.reshaped(bias, shape)?;
        out = binary(cx, BinaryOp::Add, &out, &bias)?;
    }
    if let Some(residual) = residual {
        out = binary(cx, BinaryOp::Add, &out, &residual)?;
    }
    activate(cx, activation, out)
}

/// The image as the kernel binds it: before its upsampling, through strides, or in order.
fn image(cx: &Cx<'_>, g: &mut Conv2d, x: &Value) -> (Value, Option<Strides>) {
    let layout = cx.layout(x);
    if layout.is_dense() {
        return (x.clone(), None);
    }
    let planes = g.batch * g.in_channels;
    if g.in_h.is_multiple_of(2) && g.in_w.is_multiple_of(2) {
        let (h, w) = (g.in_h / 2, g.in_w / 2);
        let doubled = layout.steps(&[planes, h, 2, w, 2]);
        let stored = [h * w, w, 0, 1, 0].map(|step| step as i64);
        let fits = doubled.is_some_and(|steps| {
            let dims = [planes, h, 2, w, 2];
            (0..5).all(|i| dims[i] == 1 || steps[i] == stored[i])
        });
        if layout.offset == 0 && fits {
            g.upsample = true;
            return (cx.base(x), None);
        }
    }
    let steps = if g.is_matmul() {
        layout.steps(&[g.batch, g.in_channels, g.in_h * g.in_w])
    } else {
        None
    };
    let strides = steps.and_then(|steps| {
        let at = |i: usize| usize::try_from(steps[i]).ok();
        Some(Strides {
            offset: usize::try_from(layout.offset).ok()?,
            batch: vec![at(0)?],
            row: at(1)?,
            col: at(2)?,
        })
    });
    match strides {
        Some(strides) => (cx.base(x), Some(strides)),
        None => (x.clone(), None),
    }
}

fn float(x: &Value) -> Result<()> {
    if x.dtype().is_float() {
        Ok(())
    } else {
        Err(unsupported(format!(
            "inputs of {} are not supported",
            x.dtype()
        )))
    }
}

pub(super) fn conv_transpose(cx: &mut Cx<'_>) -> Result<()> {
    let (x, weight) = (cx.input(0)?, cx.input(1)?);
    float(&x)?;
    let bias = cx.optional(2);
    let [batch, in_channels, in_h, in_w] = image_shape(&x)?;
    let spatial = x.rank() - 2;
    let groups = group(cx)?;
    if weight.rank() != x.rank()
        || weight.shape()[0] != in_channels
        || !in_channels.is_multiple_of(groups)
    {
        return Err(mismatch(format!(
            "input {:?}, weight {:?} and {groups} groups do not fit",
            x.shape(),
            weight.shape()
        )));
    }
    let out_channels = weight.shape()[1]
        .checked_mul(groups)
        .ok_or_else(|| mismatch("too many channels"))?;
    check_bias(bias.as_ref(), out_channels)?;
    let auto_pad = cx.attributes.text("auto_pad", "NOTSET")?;
    let window = Window::read(cx, &x, Some(&weight.shape()[2..]))?;
    let padding = match cx.attributes.opt_ints("output_padding")? {
        Some(list) => spread(list, spatial, 0)?,
        None => [0; 2],
    };
    let stated = cx
        .attributes
        .opt_ints("output_shape")?
        .map(|list| spread(&list[list.len().saturating_sub(spatial)..], spatial, 1))
        .transpose()?;
    let mut pads = [window.pads[0], window.pads[1]];
    let mut out = [1usize; 2];
    for (axis, size) in [in_h, in_w].into_iter().enumerate().skip(2 - spatial) {
        let full = (size as i64 - 1) * window.strides[axis] as i64
            + padding[axis]
            + window.extent(axis) as i64;
        let target = match (stated, auto_pad) {
            (Some(stated), _) => Some(stated[axis]),
            (None, "SAME_UPPER" | "SAME_LOWER") => Some((size * window.strides[axis]) as i64),
            _ => None,
        };
        let length = match target {
            Some(target) => {
                let total = (full - target).max(0);
                let half = total / 2;
                pads[axis] = if auto_pad == "SAME_UPPER" {
                    half
                } else {
                    total - half
                };
                target
            }
            None => full - window.pads[axis] - window.pads[axis + 2],
        };
        out[axis] = usize::try_from(length)
            .map_err(|_| mismatch(format!("an output of length {length}")))?;
    }
    let geometry = ConvTranspose2d {
        batch,
        in_channels,
        in_h,
        in_w,
        out_channels,
        out_h: out[0],
        out_w: out[1],
        kernel: window.kernel,
        strides: window.strides,
        pads,
        dilations: window.dilations,
        groups,
        bias: bias.is_some(),
        activation: Activation::None,
    };
    let shape = output_shape(&x, batch, out_channels, out);
    let inputs: Vec<&Value> = [&x, &weight].into_iter().chain(bias.as_ref()).collect();
    let launch = conv_transpose2d(&geometry)?;
    let y = if cx.is_too_long(&launch) && groups == 1 {
        let blocks = launch.turns.div_ceil(MAX_TURNS) + 1;
        transposed_in_blocks(cx, &geometry, &inputs, in_channels.div_ceil(blocks), &shape)?
    } else {
        cx.launch(|| Ok(launch), &inputs, &shape, x.dtype())?
    };
    let y = activate(cx, cx.activation(), y)?;
    cx.set(0, y);
    Ok(())
}

/// A transposed convolution as a sum over blocks of `size` channels of the image; the bias is added in the end.
fn transposed_in_blocks(
    cx: &mut Cx<'_>,
    whole: &ConvTranspose2d,
    inputs: &[&Value],
    size: usize,
    shape: &[usize],
) -> Result<Value> {
    let (x, weight) = (inputs[0], inputs[1]);
    let mut sum: Option<Value> = None;
    for start in (0..whole.in_channels).step_by(size.max(1)) {
        let in_channels = size.max(1).min(whole.in_channels - start);
        let geometry = ConvTranspose2d {
            in_channels,
            bias: false,
            ..*whole
        };
        let image = part(cx, x, 1, start, in_channels)?;
        let some = part(cx, weight, 0, start, in_channels)?;
        let launch = || conv_transpose2d(&geometry);
        let out = cx.launch(launch, &[&image, &some], shape, x.dtype())?;
        sum = Some(match sum {
            Some(sum) => binary(cx, BinaryOp::Add, &sum, &out)?,
            None => out,
        });
    }
    let sum = sum.ok_or_else(|| unsupported("a sum over no element"))?;
    let Some(bias) = inputs.get(2) else {
        return Ok(sum);
    };
    let mut wide = bias.shape().to_vec();
    wide.resize(x.rank() - 1, 1);
    let bias = cx.reshaped((*bias).clone(), wide)?;
    binary(cx, BinaryOp::Add, &sum, &bias)
}

fn spread(list: &[i64], spatial: usize, fill: i64) -> Result<[i64; 2]> {
    match (spatial, list) {
        (1, &[w]) => Ok([fill, w]),
        (2, &[h, w]) => Ok([h, w]),
        _ => Err(mismatch(format!(
            "{list:?} does not fit {spatial} spatial axes"
        ))),
    }
}
