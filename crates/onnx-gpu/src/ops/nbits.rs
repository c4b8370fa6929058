//! [`com.microsoft.MatMulNBits`](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits):
//! a product with a matrix of 4- or 8-bit blocks, widened inside the kernel.

use crate::error::{Result, invalid_model, mismatch, unsupported};
use crate::kernels::Format;
use crate::kernels::blocks::{ZeroPoints, pack};
use crate::kernels::matmul::{Bias, MatMul, matmul};
use crate::kernels::operand::Blocks;
use crate::lower::{Cx, Value};
use crate::tensor::{DType, elements};

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
    if cx.optional(4).is_some() {
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
    let zero_points = cx.optional(3);
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
    let inputs: Vec<&Value> = [&quantised, &scales]
        .into_iter()
        .chain(&zero_points)
        .collect();
    let words = elements(&[n, per_row, blocks.words() as usize])?;
    let packed = cx.allocate(&[words], DType::U8)?;
    let launch = pack(blocks, n, per_row, zeros, packing)?;
    cx.push_packed(launch, &inputs, &[0], &packed)?;
    product(
        cx,
        &a,
        &Value::Device(packed),
        blocks,
        [k, n, per_row * block],
    )
}

fn product(
    cx: &mut Cx<'_>,
    a: &Value,
    b: &Value,
    blocks: Blocks,
    [k, n, pitch]: [usize; 3],
) -> Result<()> {
    let mut geometry = MatMul::new(a.elements() / k, n, k);
    geometry.trans_b = true;
    geometry.b_format = Format::Blocks(blocks);
    geometry.b_pitch = Some(pitch);
    geometry.a_format = a.format();
    geometry.activation = cx.activation();
    let bias = cx.optional(5);
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
    let tiles = cx.tiles();
    let inputs: Vec<&Value> = [a, b].into_iter().chain(&bias).collect();
    let out = cx.launch_packed(
        || matmul(&geometry, tiles),
        &inputs,
        &[0, 1],
        &shape,
        a.dtype(),
    )?;
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
