//! [`MatMul`](https://onnx.ai/onnx/operators/onnx__MatMul.html) and [`Gemm`](https://onnx.ai/onnx/operators/onnx__Gemm.html).

use super::elementwise::{activate, binary, named};
use super::movement::part;
use crate::context::Cx;
use crate::error::{Result, mismatch, unsupported};
use crate::eval;
use crate::kernels::elementwise::BinaryOp;
use crate::kernels::matmul::{Bias, MatMul, Strides, matmul as kernel};
use crate::program::Value;
use crate::tensor::broadcast;
use crate::tensor::{DType, Tensor, elements};

/// Most terms of a sum of one dispatch, for any tile within [`crate::kernels::MAX_TURNS`].
const MAX_TERMS: usize = 1 << 15;

fn floats(a: &Value, b: &Value) -> Result<()> {
    if a.dtype().is_float() && a.dtype() == b.dtype() {
        Ok(())
    } else {
        Err(unsupported(format!(
            "operands of {} and {} are not supported",
            a.dtype(),
            b.dtype()
        )))
    }
}

pub(super) fn matmul(cx: &mut Cx<'_>) -> Result<()> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let out = with_epilogue(cx, &a, &b)?;
    cx.set(0, out);
    Ok(())
}

/// The product with the batch axes of `MatMul` and what fusion put behind the node.
fn with_epilogue(cx: &mut Cx<'_>, a: &Value, b: &Value) -> Result<Value> {
    floats(a, b)?;
    // A vector on the left is a row, on the right a column; the added axis is dropped from the result.
    let (sa, sb) = match (a.shape(), b.shape()) {
        ([], _) | (_, []) => return Err(mismatch("a scalar has no matrix product")),
        (&[k], sb) if sb.len() == 1 => (vec![1, k], vec![sb[0], 1]),
        (&[k], sb) => (vec![1, k], sb.to_vec()),
        (sa, &[k]) => (sa.to_vec(), vec![k, 1]),
        (sa, sb) => (sa.to_vec(), sb.to_vec()),
    };
    let (a_batch, [m, k]) = matrix(&sa)?;
    let (b_batch, [kb, n]) = matrix(&sb)?;
    if k != kb {
        return Err(mismatch(format!(
            "{:?} and {:?} have no matrix product",
            a.shape(),
            b.shape()
        )));
    }
    let batch = broadcast(a_batch, b_batch)?;
    let mut shape = batch.clone();
    if a.rank() > 1 {
        shape.push(m);
    }
    if b.rank() > 1 {
        shape.push(n);
    }
    let mut geometry = MatMul::new(m, n, k);
    if elements(b_batch)? == 1 {
        // One right matrix for all: the left ones are one tall matrix.
        geometry.m = elements(&batch)? * m;
        (geometry.a_batch, geometry.b_batch) = (Vec::new(), Vec::new());
    } else {
        (geometry.a_batch, geometry.b_batch) = (a_batch.to_vec(), b_batch.to_vec());
        geometry.batch = batch;
    }
    finish(cx, geometry, a, b, None, &shape)
}

/// The product of the last two axes, batched over broadcast leading axes; `b` may be stored transposed.
pub(super) fn product(
    cx: &mut Cx<'_>,
    a: &Value,
    b: &Value,
    trans_b: bool,
    alpha: f32,
) -> Result<Value> {
    transposed_product(cx, a, b, [false, trans_b], alpha)
}

/// [`product`] with one number per column added.
pub(super) fn biased_product(cx: &mut Cx<'_>, a: &Value, b: &Value, bias: &Value) -> Result<Value> {
    general_product(cx, a, b, [false; 2], 1.0, Some(bias))
}

/// [`product`] with either operand stored transposed.
pub(super) fn transposed_product(
    cx: &mut Cx<'_>,
    a: &Value,
    b: &Value,
    transposed: [bool; 2],
    alpha: f32,
) -> Result<Value> {
    general_product(cx, a, b, transposed, alpha, None)
}

fn general_product(
    cx: &mut Cx<'_>,
    a: &Value,
    b: &Value,
    [trans_a, trans_b]: [bool; 2],
    alpha: f32,
    bias: Option<&Value>,
) -> Result<Value> {
    floats(a, b)?;
    let (a_batch, [a0, a1]) = matrix(a.shape())?;
    let (b_batch, [b0, b1]) = matrix(b.shape())?;
    let (m, k) = if trans_a { (a1, a0) } else { (a0, a1) };
    let (kb, n) = if trans_b { (b1, b0) } else { (b0, b1) };
    if k != kb {
        return Err(mismatch(format!(
            "{:?} and {:?} have no matrix product",
            a.shape(),
            b.shape()
        )));
    }
    let batch = broadcast(a_batch, b_batch)?;
    let shape = [&batch[..], &[m, n]].concat();
    let mut geometry = MatMul::new(m, n, k);
    geometry.alpha = alpha;
    (geometry.trans_a, geometry.trans_b) = (trans_a, trans_b);
    if elements(b_batch)? == 1 && !trans_a {
        geometry.m = elements(&batch)? * m;
    } else {
        (geometry.a_batch, geometry.b_batch) = (a_batch.to_vec(), b_batch.to_vec());
        geometry.batch = batch;
    }
    if let Some(bias) = bias {
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
    (geometry.a_format, geometry.b_format) = (a.format(), b.format());
    let (base_a, base_b) = place(cx, &mut geometry, a, b);
    let tiles = cx.tiles();
    let launch = || kernel(&geometry, tiles);
    let inputs: Vec<&Value> = [&base_a, &base_b].into_iter().chain(bias).collect();
    cx.launch_packed(launch, &inputs, &[0, 1], &shape, a.dtype())
}

fn matrix(shape: &[usize]) -> Result<(&[usize], [usize; 2])> {
    match shape {
        [batch @ .., rows, cols] => Ok((batch, [*rows, *cols])),
        _ => Err(mismatch(format!("{shape:?} is not a matrix"))),
    }
}

/// Reads operands that do not lie row by row through strides where the product has one matrix or one step per axis.
fn place(cx: &Cx<'_>, geometry: &mut MatMul, a: &Value, b: &Value) -> (Value, Value) {
    let strides = |value: &Value, batch: &[usize], rows: usize, cols: usize, transposed: bool| {
        let Value::Device(device) = value else {
            return None;
        };
        let layout = device.layout.as_ref()?;
        let stored = if transposed {
            [cols, rows]
        } else {
            [rows, cols]
        };
        let steps = layout.steps(&[batch, &stored].concat())?;
        let steps: Vec<usize> = steps
            .into_iter()
            .map(|s| usize::try_from(s).ok())
            .collect::<Option<_>>()?;
        let (outer, inner) = steps.split_at(batch.len());
        let mut spread = vec![0; geometry.batch.len() - batch.len()];
        spread.extend(outer);
        let (row, col) = if transposed {
            (inner[1], inner[0])
        } else {
            (inner[0], inner[1])
        };
        Some(Strides {
            offset: usize::try_from(layout.offset).ok()?,
            batch: spread,
            row,
            col,
        })
    };
    let g = &*geometry;
    let a_strides = strides(a, &g.a_batch, g.m, g.k, g.trans_a);
    let b_strides = strides(b, &g.b_batch, g.k, g.n, g.trans_b);
    let base = |value: &Value, strides: &Option<Strides>| match strides {
        Some(_) => cx.base(value),
        None => value.clone(),
    };
    let bases = (base(a, &a_strides), base(b, &b_strides));
    geometry.a_strides = a_strides;
    geometry.b_strides = b_strides;
    bases
}

/// The product as a sum of products of fewer terms, then what else is to be added and applied.
fn in_blocks(
    cx: &mut Cx<'_>,
    geometry: MatMul,
    a: &Value,
    b: &Value,
    c: Option<Value>,
    shape: &[usize],
) -> Result<Value> {
    let along = |value: &Value, last: bool| {
        let back = if last || value.rank() < 2 { 1 } else { 2 };
        value.rank() - back
    };
    let (a_axis, b_axis) = (along(a, !geometry.trans_a), along(b, geometry.trans_b));
    let tiles = cx.tiles();
    let mut sum: Option<Value> = None;
    for start in (0..geometry.k).step_by(MAX_TERMS) {
        let terms = MAX_TERMS.min(geometry.k - start);
        let x = part(cx, a, a_axis, start, terms)?;
        let y = part(cx, b, b_axis, start, terms)?;
        let mut block = MatMul {
            k: terms,
            bias: None,
            a_format: x.format(),
            b_format: y.format(),
            ..geometry.clone()
        };
        let (x, y) = place(cx, &mut block, &x, &y);
        // In between, nothing is rounded to 16 bits.
        let product = cx.launch_packed(
            || kernel(&block, tiles),
            &[&x, &y],
            &[0, 1],
            shape,
            DType::F32,
        )?;
        sum = Some(match sum {
            Some(sum) => binary(cx, BinaryOp::Add, &sum, &product)?,
            None => product,
        });
    }
    let mut out = match sum {
        Some(sum) => sum,
        // A sum over no element.
        None => Value::Const(eval::splat(&Tensor::f32([], vec![0.0])?, shape)?),
    };
    out = named(&out, a.dtype());
    if let Some(bias) = c {
        let beta = Tensor::f32([], vec![geometry.beta])?.cast(bias.dtype());
        let bias = if geometry.beta == 1.0 {
            bias
        } else {
            binary(cx, BinaryOp::Mul, &bias, &Value::Const(beta))?
        };
        out = binary(cx, BinaryOp::Add, &out, &bias)?;
    }
    if let Some(residual) = cx.fused_residual() {
        out = binary(cx, BinaryOp::Add, &out, &residual)?;
    }
    activate(cx, cx.activation(), out)
}

fn finish(
    cx: &mut Cx<'_>,
    mut geometry: MatMul,
    a: &Value,
    b: &Value,
    c: Option<Value>,
    shape: &[usize],
) -> Result<Value> {
    let c = match cx.fused_bias() {
        Some(bias) => {
            geometry.bias = Some(Bias {
                batch_stride: 0,
                row_stride: 0,
                col_stride: 1,
            });
            Some(bias)
        }
        None => c,
    };
    if geometry.k == 0 || geometry.k > MAX_TERMS {
        return in_blocks(cx, geometry, a, b, c, shape);
    }
    let residual = cx.fused_residual();
    geometry.residual = residual.as_ref().is_some_and(|r| r.shape() == shape);
    let separate = residual.as_ref().filter(|_| !geometry.residual);
    if separate.is_none() {
        geometry.activation = cx.activation();
    }
    (geometry.a_format, geometry.b_format) = (a.format(), b.format());
    let (base_a, base_b) = place(cx, &mut geometry, a, b);
    let tiles = cx.tiles();
    let mut inputs: Vec<&Value> = [&base_a, &base_b].into_iter().chain(c.as_ref()).collect();
    if geometry.residual {
        inputs.extend(residual.as_ref());
    }
    let mut out = cx.launch_packed(
        || kernel(&geometry, tiles),
        &inputs,
        &[0, 1],
        shape,
        a.dtype(),
    )?;
    if let Some(residual) = separate {
        let sum = binary(cx, BinaryOp::Add, &out, residual)?;
        out = activate(cx, cx.activation(), sum)?;
    }
    Ok(out)
}

pub(super) fn gemm(cx: &mut Cx<'_>) -> Result<()> {
    let (a, b, c) = (cx.input(0)?, cx.input(1)?, cx.optional(2));
    floats(&a, &b)?;
    if cx.before(7) {
        // C is broadcast as it is since.
        cx.attributes.ignore(&["broadcast"]);
    }
    let trans_a = cx.attributes.flag("transA", false)?;
    let trans_b = cx.attributes.flag("transB", false)?;
    let (&[a0, a1], &[b0, b1]) = (a.shape(), b.shape()) else {
        return Err(mismatch(format!(
            "{:?} and {:?} are not two matrices",
            a.shape(),
            b.shape()
        )));
    };
    let (m, k) = if trans_a { (a1, a0) } else { (a0, a1) };
    let (kb, n) = if trans_b { (b1, b0) } else { (b0, b1) };
    if k != kb {
        return Err(mismatch(format!(
            "{:?} and {:?} have no matrix product",
            a.shape(),
            b.shape()
        )));
    }
    let mut geometry = MatMul::new(m, n, k);
    geometry.trans_a = trans_a;
    geometry.trans_b = trans_b;
    geometry.alpha = cx.attributes.float("alpha", 1.0)?;
    geometry.beta = cx.attributes.float("beta", 1.0)?;
    if let Some(c) = &c {
        let (rows, cols) = match *c.shape() {
            [] => (1, 1),
            [cols] => (1, cols),
            [rows, cols] => (rows, cols),
            _ => (0, 0),
        };
        if (rows != 1 && rows != m) || (cols != 1 && cols != n) {
            return Err(mismatch(format!(
                "C of shape {:?} does not broadcast to [{m}, {n}]",
                c.shape()
            )));
        }
        geometry.bias = Some(Bias {
            batch_stride: 0,
            row_stride: if rows == 1 { 0 } else { cols },
            col_stride: usize::from(cols != 1),
        });
    }
    let out = finish(cx, geometry, &a, &b, c, &[m, n])?;
    cx.set(0, out);
    Ok(())
}
