//! [`com.microsoft.MatMulNBits`](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits):
//! a product with a matrix of 4- or 8-bit blocks, widened inside the kernel.

use super::elementwise::{activate, binary};
use crate::context::Cx;
use crate::error::{Result, invalid_model, mismatch, unsupported};
use crate::kernels::Format;
use crate::kernels::blocks::{ZeroPoints, pack};
use crate::kernels::elementwise::BinaryOp;
use crate::kernels::matmul::{Bias, MatMul, matmul};
use crate::kernels::operand::{Blocks, Scales};
use crate::program::Value;
use crate::tensor::Packing;
use crate::tensor::{DType, Tensor, elements};

pub(super) fn matmul_nbits(cx: &mut Cx<'_>) -> Result<()> {
    // How ONNX Runtime may round the activations; this kernel never does.
    cx.attributes.ignore(&["accuracy_level"]);
    let (k, n) = (size(cx, "K", None)?, size(cx, "N", None)?);
    let bits = size(cx, "bits", Some(4))?;
    let block = size(cx, "block_size", None)?;
    if !matches!(bits, 4 | 8) || !(16..=256).contains(&block) || !block.is_power_of_two() {
        return Err(unsupported(format!(
            "attributes 'bits' = {bits} and 'block_size' = {block} are not supported"
        )));
    }
    if own(cx, 4).is_some() {
        return Err(unsupported("input 4 (g_idx) is not supported"));
    }
    let (a, quantised, scales) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    if !a.dtype().is_float() || quantised.dtype() != DType::U8 || !scales.dtype().is_float() {
        return Err(unsupported(format!(
            "operands of {}, {} and {} are not supported",
            a.dtype(),
            quantised.dtype(),
            scales.dtype()
        )));
    }
    let per_row = k.div_ceil(block);
    let zero_bytes = elements(&[n, (per_row * bits).div_ceil(8)])?;
    let zero_points = own(cx, 3);
    let zeros = match &zero_points {
        None => ZeroPoints::Middle,
        Some(z) if z.dtype() == DType::U8 && z.elements() == zero_bytes => ZeroPoints::Bytes,
        Some(z) if z.dtype().is_float() && z.elements() == elements(&[n, per_row])? => {
            ZeroPoints::Floats
        }
        Some(z) => {
            return Err(mismatch(format!(
                "zero points {:?} of {} do not fit {n} rows of {per_row} blocks",
                z.shape(),
                z.dtype()
            )));
        }
    };
    let fits = a.shape().last() == Some(&k)
        && quantised.elements() == elements(&[n, per_row, block * bits / 8])?
        && scales.elements() == elements(&[n, per_row])?;
    if !fits || k == 0 {
        return Err(mismatch(format!(
            "{:?}, blocks {:?} and scales {:?} do not fit K = {k}, N = {n}",
            a.shape(),
            quantised.shape(),
            scales.shape()
        )));
    }
    let blocks = Blocks {
        bits: bits as u32,
        size: block as u32,
    };
    let packing = quantised.packing();
    let scaled = scaled(&quantised, &scales).filter(|_| zero_points.is_none());
    let size = [k, n, per_row * block];
    if let Some(stored) = scaled {
        let format = Format::Scaled(blocks, stored);
        return product(cx, &a, [&quantised, &scales], format, size);
    }
    let inputs: Vec<&Value> = [&quantised, &scales]
        .into_iter()
        .chain(&zero_points)
        .collect();
    let words = elements(&[n, per_row, blocks.words() as usize])?;
    let packed = cx.allocate(&[words], DType::U8)?;
    let launch = pack(blocks, n, per_row, zeros, packing)?;
    cx.push_packed(launch, &inputs, &[0], &packed)?;
    let packed = Value::Device(packed);
    product(cx, &a, [&packed; 2], Format::Blocks(blocks), size)
}

/// An input of the node itself: what fusion moved into it comes behind the last one that it has.
fn own(cx: &Cx<'_>, index: usize) -> Option<Value> {
    let has = index < cx.node.inputs.len();
    cx.optional(index).filter(|_| has)
}

/// How the scales are stored, where the kernel reads elements and scales as they lie on the device; small ones, which main memory
/// holds, are packed first.
fn scaled(quantised: &Value, scales: &Value) -> Option<Scales> {
    let on_device = |value: &Value| matches!(value, Value::Device(_));
    if quantised.packing() != Packing::U8 || !on_device(quantised) {
        return None;
    }
    match scales.format() {
        Format::F16 => Some(Scales::F16),
        Format::F32 => Some(Scales::F32),
        _ => None,
    }
}

/// The product with blocks, and their scales where the format has some.
fn product(
    cx: &mut Cx<'_>,
    a: &Value,
    [b, scales]: [&Value; 2],
    format: Format,
    [k, n, pitch]: [usize; 3],
) -> Result<()> {
    let mut geometry = MatMul::new(a.elements() / k, n, k);
    geometry.trans_b = true;
    geometry.b_format = format;
    geometry.b_pitch = Some(pitch);
    geometry.a_format = a.format();
    let bias = own(cx, 5).or_else(|| cx.fused_bias());
    if let Some(bias) = &bias {
        if bias.shape() != [n] {
            return Err(mismatch(format!(
                "the bias {:?} does not fit {n} columns",
                bias.shape()
            )));
        }
        geometry.bias = Some(Bias {
            batch_stride: 0,
            row_stride: 0,
            col_stride: 1,
        });
    }
    let mut shape = a.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = n;
    }
    let residual = cx.fused_residual();
    geometry.residual = residual.as_ref().is_some_and(|r| r.shape() == shape);
    let (beside, separate) = match residual {
        Some(residual) if geometry.residual => (Some(residual), None),
        other => (None, other),
    };
    if separate.is_none() {
        geometry.activation = cx.activation();
    }
    let tiles = cx.tiles();
    let mut inputs: Vec<&Value> = [a, b].into_iter().chain(&bias).chain(&beside).collect();
    let mut packed = vec![0, 1];
    if let Format::Scaled(..) = format {
        packed.push(inputs.len());
        inputs.push(scales);
    }
    // Blocks are no format of a value: they are read as they lie there.
    packed.retain(|&index| index > 0 || inputs[0].format() != Format::F32);
    let mut out = if elements(&shape)? == 0 {
        Value::Const(Tensor::zeros(a.dtype(), &*shape)?)
    } else {
        let output = cx.allocate(&shape, a.dtype())?;
        cx.push_packed(matmul(&geometry, tiles)?, &inputs, &packed, &output)?;
        Value::Device(output)
    };
    if let Some(residual) = separate {
        out = binary(cx, BinaryOp::Add, &out, &residual)?;
        out = activate(cx, cx.activation(), out)?;
    }
    cx.set(0, out);
    Ok(())
}

/// A positive integer attribute.
fn size(cx: &Cx<'_>, name: &str, default: Option<usize>) -> Result<usize> {
    let value = match (cx.attributes.opt_int(name)?, default) {
        (Some(value), _) => *value,
        (None, Some(default)) => return Ok(default),
        (None, None) => return Err(invalid_model(format!("attribute '{name}' is missing"))),
    };
    usize::try_from(value)
        .ok()
        .filter(|&v| v > 0 && v <= i32::MAX as usize)
        .ok_or_else(|| invalid_model(format!("attribute '{name}' = {value}")))
}
