//! 8-bit arithmetic: [`QuantizeLinear`](https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html), `DequantizeLinear`,
//! `DynamicQuantizeLinear`, `MatMulInteger`, `ConvInteger`, `QLinearMatMul`.
//!
//! Opset notes: `axis` came with 13, `block_size` and `output_dtype` with 21.

use super::conv::Convolution;
use super::elementwise::{binary, cast_value, unary};
use super::matmul::product;
use super::movement::{part, strided};
use super::reduce::reduce_value;
use crate::context::{Cx, Lower};
use crate::error::{Result, mismatch, unsupported};
use crate::kernels::Activation;
use crate::kernels::dequantize::{Dequantize, dequantize};
use crate::kernels::elementwise::{BinaryOp, UnaryOp};
use crate::kernels::reduce::ReduceOp;
use crate::kernels::row_major;
use crate::program::Value;
use crate::tensor::Packing;
use crate::tensor::{DType, Tensor};
use crate::tensor::{axis, split_at_axis};

pub(super) fn find(op: &str) -> Option<Lower> {
    Some(match op {
        "ConvInteger" => conv_integer,
        "DequantizeLinear" => dequantize_linear,
        "DynamicQuantizeLinear" => dynamic_quantize_linear,
        "MatMulInteger" => matmul_integer,
        "QLinearMatMul" => qlinear_matmul,
        "QuantizeLinear" => quantize_linear,
        _ => return None,
    })
}

/// Products of two numbers of at most 8 bits and a sign: this many of them add up exactly in `f32` (256 · 255² < 2²⁴).
const EXACT_TERMS: usize = 256;

fn number(value: f32, dtype: DType) -> Result<Value> {
    Ok(Value::Const(Tensor::f32([], vec![value])?.cast(dtype)))
}

/// A scale or zero point in a shape that broadcasts with `shape`: one number, one per entry of `along`, or one per block of it.
fn spread(
    cx: &mut Cx<'_>,
    parameter: &Value,
    shape: &[usize],
    along: i64,
    block: usize,
) -> Result<Value> {
    if parameter.elements() == 1 && parameter.rank() <= 1 {
        return cx.reshaped(parameter.clone(), vec![]);
    }
    let at = axis(along, shape.len())?;
    if block == 0 {
        let mut view = vec![1; shape.len()];
        view[at] = shape[at];
        return cx.reshaped(parameter.clone(), view);
    }
    let mut blocks = shape.to_vec();
    blocks[at] = shape[at].div_ceil(block);
    if parameter.shape() != blocks {
        return Err(mismatch(format!(
            "{:?} is not one number for each {block} along axis {at} of {shape:?}",
            parameter.shape()
        )));
    }
    // Every entry is repeated for its block, then the last block is cut.
    let strides = row_major(&blocks);
    let (mut space, mut steps) = (blocks.clone(), strides);
    space.insert(at + 1, block);
    steps.insert(at + 1, 0);
    let repeated = strided(cx, parameter, &space, 0, steps)?;
    blocks[at] *= block;
    let whole = cx.reshaped(repeated, blocks)?;
    part(cx, &whole, at, 0, shape[at])
}

fn block_size(cx: &Cx<'_>) -> Result<usize> {
    let given = cx.attributes.int("block_size", 0)?;
    usize::try_from(given).map_err(|_| mismatch(format!("attribute 'block_size' = {given}")))
}

fn dequantize_linear(cx: &mut Cx<'_>) -> Result<()> {
    let (x, scale) = (cx.input(0)?, cx.input(1)?);
    let (along, block) = (cx.attributes.int("axis", 1)?, block_size(cx)?);
    let dtype = match cx.attributes.int("output_dtype", 0)? {
        0 => scale.dtype(),
        code => DType::from_onnx(code)?,
    };
    let shape = x.shape().to_vec();
    if let Some(out) = packed_weight(cx, &x, &scale, [along, block as i64])? {
        let out = cast_value(cx, &out, dtype)?;
        cx.set(0, out);
        return Ok(());
    }
    let mut whole = cast_value(cx, &x, DType::I32)?;
    if let Some(zero) = cx.optional(2) {
        let zero = cast_value(cx, &zero, DType::I32)?;
        let zero = spread(cx, &zero, &shape, along, block)?;
        whole = binary(cx, BinaryOp::Sub, &whole, &zero)?;
    }
    let steps = cast_value(cx, &whole, DType::F32)?;
    let scale = spread(cx, &scale, &shape, along, block)?;
    let scale = cast_value(cx, &scale, DType::F32)?;
    let out = binary(cx, BinaryOp::Mul, &steps, &scale)?;
    let out = cast_value(cx, &out, dtype)?;
    cx.set(0, out);
    Ok(())
}

/// A packed weight as 16-bit floats, computed once and read by products, convolutions and gathers as it is.
fn packed_weight(
    cx: &mut Cx<'_>,
    x: &Value,
    scale: &Value,
    [along, block]: [i64; 2],
) -> Result<Option<Value>> {
    if x.packing() == Packing::Words || x.packing().is_halves() {
        return Ok(None);
    }
    let zero = cx.optional(2);
    let mut geometry = Dequantize {
        packing: x.packing(),
        len: x.elements(),
        axis: 1,
        inner: x.elements(),
        block: 0,
        zero_points: zero.is_some(),
    };
    let mut scales = vec![1];
    if scale.elements() != 1 || block > 0 {
        let at = axis(along, x.rank())?;
        let (_, length, inner) = split_at_axis(x.shape(), at);
        (geometry.axis, geometry.inner) = (length, inner);
        geometry.block = block as usize;
        scales = vec![length];
        if block > 0 {
            scales = x.shape().to_vec();
            scales[at] = length.div_ceil(block as usize);
        }
    }
    let fits = |value: &Value| value.elements() == scales.iter().product::<usize>();
    if !fits(scale)
        || zero
            .as_ref()
            .is_some_and(|z| !fits(z) || z.dtype() != x.dtype())
    {
        return Err(mismatch(format!(
            "scales {:?} and zero points do not fit {:?} along axis {along}",
            scale.shape(),
            x.shape()
        )));
    }
    let output = cx.allocate_packed(x.shape(), DType::F16, Packing::F16)?;
    let inputs: Vec<&Value> = [x, scale].into_iter().chain(&zero).collect();
    cx.push_packed(dequantize(&geometry)?, &inputs, &[0], &output)?;
    Ok(Some(Value::Device(output)))
}

fn quantize_linear(cx: &mut Cx<'_>) -> Result<()> {
    let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.optional(2));
    // About 8-bit floats, which no type here is.
    cx.attributes.ignore(&["saturate", "precision"]);
    let (along, block) = (cx.attributes.int("axis", 1)?, block_size(cx)?);
    let dtype = match (&zero, cx.attributes.int("output_dtype", 0)?) {
        (Some(zero), _) => zero.dtype(),
        (None, 0) => DType::U8,
        (None, code) => DType::from_onnx(code)?,
    };
    let shape = x.shape().to_vec();
    let scale = spread(cx, &scale, &shape, along, block)?;
    let zero = match zero {
        Some(zero) => Some(spread(cx, &zero, &shape, along, block)?),
        None => None,
    };
    let out = quantized(cx, &x, &scale, zero.as_ref(), dtype)?;
    cx.set(0, out);
    Ok(())
}

/// `saturate(round(x / scale) + zero)`, half to even.
fn quantized(
    cx: &mut Cx<'_>,
    x: &Value,
    scale: &Value,
    zero: Option<&Value>,
    dtype: DType,
) -> Result<Value> {
    let (low, high) = match dtype {
        DType::U8 => (0.0, 255.0),
        DType::I8 => (-128.0, 127.0),
        other => {
            return Err(unsupported(format!(
                "quantisation to {other} is not supported"
            )));
        }
    };
    let x = cast_value(cx, x, DType::F32)?;
    let scale = cast_value(cx, scale, DType::F32)?;
    let ratio = binary(cx, BinaryOp::Div, &x, &scale)?;
    let mut steps = unary(cx, UnaryOp::Round, &ratio)?;
    if let Some(zero) = zero {
        let zero = cast_value(cx, zero, DType::F32)?;
        steps = binary(cx, BinaryOp::Add, &steps, &zero)?;
    }
    let floor = binary(cx, BinaryOp::Max, &steps, &number(low, DType::F32)?)?;
    let bounded = binary(cx, BinaryOp::Min, &floor, &number(high, DType::F32)?)?;
    cast_value(cx, &bounded, dtype)
}

/// Scale and zero point of the whole tensor's range, zero included.
fn dynamic_quantize_linear(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let axes: Vec<usize> = (0..x.rank()).collect();
    let none = number(0.0, DType::F32)?;
    let low = reduce_value(cx, ReduceOp::Min, &x, &axes, false)?;
    let low = binary(cx, BinaryOp::Min, &low, &none)?;
    let high = reduce_value(cx, ReduceOp::Max, &x, &axes, false)?;
    let high = binary(cx, BinaryOp::Max, &high, &none)?;
    let range = binary(cx, BinaryOp::Sub, &high, &low)?;
    let levels = number(255.0, DType::F32)?;
    let scale = binary(cx, BinaryOp::Div, &range, &levels)?;
    let offset = binary(cx, BinaryOp::Sub, &none, &low)?;
    let zero = quantized(cx, &offset, &scale, None, DType::U8)?;
    let out = quantized(cx, &x, &scale, Some(&zero), DType::U8)?;
    cx.set(0, out);
    cx.set(1, scale);
    cx.set(2, zero);
    Ok(())
}

/// `x - zero` as `f32`; a zero point per entry of `along` gets the shape to broadcast.
fn centred(cx: &mut Cx<'_>, x: &Value, zero: Option<Value>, along: usize) -> Result<Value> {
    if !matches!(x.dtype(), DType::U8 | DType::I8) {
        return Err(unsupported(format!(
            "an operand of {} is not supported",
            x.dtype()
        )));
    }
    let shape = x.shape().to_vec();
    let mut whole = cast_value(cx, x, DType::I32)?;
    if let Some(zero) = zero {
        let zero = cast_value(cx, &zero, DType::I32)?;
        let zero = if zero.rank() > 1 {
            zero
        } else {
            spread(cx, &zero, &shape, along as i64, 0)?
        };
        whole = binary(cx, BinaryOp::Sub, &whole, &zero)?;
    }
    cast_value(cx, &whole, DType::F32)
}

/// The exact product of whole numbers, as `i32`: sums of blocks that `f32` holds without rounding.
fn exact_product(cx: &mut Cx<'_>, a: &Value, b: &Value) -> Result<Value> {
    let (a_last, b_rows) = (a.rank().saturating_sub(1), b.rank().saturating_sub(2));
    let (Some(&depth), Some(&rows)) = (a.shape().last(), b.shape().get(b_rows)) else {
        return Err(mismatch("a scalar has no matrix product"));
    };
    if a.rank() < 2 || b.rank() < 2 || depth != rows {
        return Err(mismatch(format!(
            "{:?} and {:?} have no matrix product",
            a.shape(),
            b.shape()
        )));
    }
    let mut sum: Option<Value> = None;
    for start in (0..depth).step_by(EXACT_TERMS) {
        let length = EXACT_TERMS.min(depth - start);
        let x = part(cx, a, a_last, start, length)?;
        let y = part(cx, b, b_rows, start, length)?;
        let block = product(cx, &x, &y, false, 1.0)?;
        let block = cast_value(cx, &block, DType::I32)?;
        sum = Some(match sum {
            Some(sum) => binary(cx, BinaryOp::Add, &sum, &block)?,
            None => block,
        });
    }
    sum.ok_or_else(|| mismatch("a sum over no element"))
}

fn matmul_integer(cx: &mut Cx<'_>) -> Result<()> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let (a_zero, b_zero) = (cx.optional(2), cx.optional(3));
    let a = centred(cx, &a, a_zero, a.rank().saturating_sub(2))?;
    let b = centred(cx, &b, b_zero, b.rank().saturating_sub(1))?;
    let out = exact_product(cx, &a, &b)?;
    cx.set(0, out);
    Ok(())
}

/// Inputs: A, its scale and zero point, B, its scale and zero point, the output's scale and zero point.
fn qlinear_matmul(cx: &mut Cx<'_>) -> Result<()> {
    let (a, b) = (cx.input(0)?, cx.input(3)?);
    let (rows, cols) = (a.rank().saturating_sub(2), b.rank().saturating_sub(1));
    let (a_zero, b_zero) = (cx.optional(2), cx.optional(5));
    let x = centred(cx, &a, a_zero, rows)?;
    let y = centred(cx, &b, b_zero, cols)?;
    let exact = exact_product(cx, &x, &y)?;
    let mut out = cast_value(cx, &exact, DType::F32)?;
    let shape = out.shape().to_vec();
    for (index, back) in [(1, 2), (4, 1)] {
        let scale = cx.input(index)?;
        let scale = cast_value(cx, &scale, DType::F32)?;
        let scale = if scale.rank() > 1 {
            scale
        } else {
            spread(cx, &scale, &shape, shape.len() as i64 - back, 0)?
        };
        out = binary(cx, BinaryOp::Mul, &out, &scale)?;
    }
    let (scale, zero) = (cx.input(6)?, cx.input(7)?);
    if scale.elements() != 1 || zero.elements() != 1 {
        return Err(unsupported("an output scale per row is not supported"));
    }
    let scale = cx.reshaped(scale, vec![])?;
    let zero = cx.reshaped(zero, vec![])?;
    let out = quantized(cx, &out, &scale, Some(&zero), zero.dtype())?;
    cx.set(0, out);
    Ok(())
}

fn conv_integer(cx: &mut Cx<'_>) -> Result<()> {
    let (x, weight) = (cx.input(0)?, cx.input(1)?);
    let (x_zero, w_zero) = (cx.optional(2), cx.optional(3));
    let x = centred(cx, &x, x_zero, 1)?;
    let weight = centred(cx, &weight, w_zero, 0)?;
    let taps: usize = weight.shape().iter().skip(2).product();
    let depth = weight.shape().get(1).copied().unwrap_or(0);
    let groups = cx.attributes.int("group", 1)?;
    let block = (EXACT_TERMS / taps.max(1)).min(depth);
    if block == 0 || (groups != 1 && block < depth) {
        return Err(unsupported(format!(
            "a sum of {depth}·{taps} products in {groups} groups is not supported"
        )));
    }
    let mut sum: Option<Value> = None;
    for start in (0..depth).step_by(block) {
        let length = block.min(depth - start);
        let image = if length == depth {
            x.clone()
        } else {
            part(cx, &x, 1, start, length)?
        };
        let call = Convolution {
            x: image,
            weight: part(cx, &weight, 1, start, length)?,
            scales: None,
            bias: None,
            residual: None,
            activation: Activation::None,
        };
        let out = call.lower(cx)?;
        let out = cast_value(cx, &out, DType::I32)?;
        sum = Some(match sum {
            Some(sum) => binary(cx, BinaryOp::Add, &sum, &out)?,
            None => out,
        });
    }
    let out = sum.ok_or_else(|| mismatch("a sum over no element"))?;
    cx.set(0, out);
    Ok(())
}
