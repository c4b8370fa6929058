//! [`MatMul`](https://onnx.ai/onnx/operators/onnx__MatMul.html) and [`Gemm`](https://onnx.ai/onnx/operators/onnx__Gemm.html).

use crate::error::{Result, mismatch, unsupported};
use crate::kernels::matmul::{Bias, MatMul, matmul as kernel};
use crate::lower::{Cx, Value, broadcast};
use crate::tensor::elements;

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
    floats(&a, &b)?;
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
    } else {
        (geometry.a_batch, geometry.b_batch) = (a_batch.to_vec(), b_batch.to_vec());
        geometry.batch = batch;
    }
    finish(cx, geometry, &a, &b, None, &shape)
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

/// [`product`] with either operand stored transposed.
pub(super) fn transposed_product(
    cx: &mut Cx<'_>,
    a: &Value,
    b: &Value,
    [trans_a, trans_b]: [bool; 2],
    alpha: f32,
) -> Result<Value> {
    floats(a, b)?;
    let (a_batch, [a0, a1]) = matrix(a.shape())?;
    let (b_batch, [b0, b1]) = matrix(b.shape())?;
    let (m, k) = if trans_a { (a1, a0) } else { (a0, a1) };
    let (kb, n) = if trans_b { (b1, b0) } else { (b0, b1) };
    if k != kb || k == 0 {
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
    let class = cx.class();
    cx.launch(|| kernel(&geometry, class), &[a, b], &shape, a.dtype())
}

fn matrix(shape: &[usize]) -> Result<(&[usize], [usize; 2])> {
    match shape {
        [batch @ .., rows, cols] => Ok((batch, [*rows, *cols])),
        _ => Err(mismatch(format!("{shape:?} is not a matrix"))),
    }
}

fn finish(
    cx: &mut Cx<'_>,
    mut geometry: MatMul,
    a: &Value,
    b: &Value,
    c: Option<Value>,
    shape: &[usize],
) -> Result<()> {
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
    geometry.activation = cx.activation();
    let class = cx.class();
    (geometry.a_format, geometry.b_format) = (a.format(), b.format());
    let inputs: Vec<&Value> = [a, b].into_iter().chain(c.as_ref()).collect();
    let out = if geometry.k == 0 {
        return Err(unsupported("a sum over no element"));
    } else {
        cx.launch_packed(
            || kernel(&geometry, class),
            &inputs,
            &[0, 1],
            shape,
            a.dtype(),
        )?
    };
    cx.set(0, out);
    Ok(())
}

pub(super) fn gemm(cx: &mut Cx<'_>) -> Result<()> {
    let (a, b, c) = (cx.input(0)?, cx.input(1)?, cx.optional(2));
    floats(&a, &b)?;
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
    finish(cx, geometry, &a, &b, c, &[m, n])
}
