//! [`com.microsoft.MatMulNBits`](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits):
//! a product with a matrix of blocks of 2 to 8 bits, which the kernel reads as the file has them: 4.5 bits an element where blocks of 32
//! elements of 4 bits have scales of 16.

use super::elementwise::{activate, binary};
use super::packed::{halves, packed_bytes};
use crate::context::Cx;
use crate::error::{Result, invalid_model, mismatch, unsupported};
use crate::kernels::Format;
use crate::kernels::blocks::{ZeroPoints, pack};
use crate::kernels::elementwise::BinaryOp;
use crate::kernels::matmul::{Bias, MatMul, matmul};
use crate::kernels::operand::{Blocks, Scales, Zeros};
use crate::program::Value;
use crate::tensor::{DType, Tensor, elements};

pub(super) fn matmul_nbits(cx: &mut Cx<'_>) -> Result<()> {
    // How ONNX Runtime may round the activations; this kernel never does.
    cx.attributes.ignore(&["accuracy_level"]);
    let (k, n) = (size(cx, "K", None)?, size(cx, "N", None)?);
    let bits = size(cx, "bits", Some(4))?;
    let block = size(cx, "block_size", None)?;
    if !matches!(bits, 2 | 3 | 4 | 8) || !(16..=256).contains(&block) || !block.is_power_of_two() {
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
    if let Some(z) = &zero_points {
        let count = match z.dtype() {
            DType::U8 => zero_bytes,
            _ => elements(&[n, per_row])?,
        };
        if z.elements() != count || !(z.dtype() == DType::U8 || z.dtype().is_float()) {
            return Err(mismatch(format!(
                "zero points {:?} of {} do not fit {n} rows of {per_row} blocks",
                z.shape(),
                z.dtype()
            )));
        }
    }
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
    let size = [k, n, per_row * block];
    let zeros = match &zero_points {
        None => Some((None, Zeros::Middle)),
        Some(z) if z.dtype() == DType::U8 => {
            packed_bytes(z)?.map(|bytes| (Some((bytes, true)), Zeros::Packed))
        }
        Some(z) => Some(match halves(z)? {
            Some(halves) => (Some((halves, true)), Zeros::F16),
            None => (Some((z.clone(), false)), Zeros::F32),
        }),
    };
    if let (Some(stored), Some((zeros, form))) = (packed_bytes(&quantised)?, zeros) {
        let (scales, kind) = match halves(&scales)? {
            Some(halves) => ((halves, true), Scales::F16),
            None => ((scales, false), Scales::F32),
        };
        let beside: Vec<(Value, bool)> = [scales].into_iter().chain(zeros).collect();
        return product(
            cx,
            [&a, &stored],
            beside,
            Format::Scaled(blocks, kind, form),
            size,
        );
    }
    // What the run computes is brought into blocks first.
    let inputs: Vec<&Value> = [&quantised, &scales]
        .into_iter()
        .chain(&zero_points)
        .collect();
    let zeros = match &zero_points {
        None => ZeroPoints::Middle,
        Some(z) if z.dtype() == DType::U8 => ZeroPoints::Bytes,
        Some(_) => ZeroPoints::Floats,
    };
    let words = elements(&[n, per_row, blocks.words() as usize])?;
    let packed = cx.allocate(&[words], DType::U8)?;
    let launch = pack(blocks, n, per_row, zeros, quantised.packing())?;
    cx.push_packed(launch, &inputs, &[0], &packed)?;
    let packed = Value::Device(packed);
    product(cx, [&a, &packed], vec![], Format::Blocks(blocks), size)
}

/// An input of the node itself: what fusion moved into it comes behind the last one that it has.
fn own(cx: &Cx<'_>, index: usize) -> Option<Value> {
    let has = index < cx.node.inputs.len();
    cx.optional(index).filter(|_| has)
}

/// The product with blocks and, where the format has some, what is bound behind the other inputs: scales, then zero points, each read
/// as it lies or widened.
fn product(
    cx: &mut Cx<'_>,
    [a, b]: [&Value; 2],
    beside: Vec<(Value, bool)>,
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
    let (added, separate) = match residual {
        Some(residual) if geometry.residual => (Some(residual), None),
        other => (None, other),
    };
    if separate.is_none() {
        geometry.activation = cx.activation();
    }
    let tiles = cx.tiles();
    let mut inputs: Vec<&Value> = [a, b].into_iter().chain(&bias).chain(&added).collect();
    let mut packed = vec![0, 1];
    for (value, as_it_lies) in &beside {
        if *as_it_lies {
            packed.push(inputs.len());
        }
        inputs.push(value);
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
