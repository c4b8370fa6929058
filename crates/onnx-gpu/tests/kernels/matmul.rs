use onnx_gpu::kernels::Activation;
use onnx_gpu::kernels::matmul::{Bias, MatMul, Strides, matmul};

use crate::harness::{assert_close, broadcast, flat, indices, noise, run, tables};

fn reference(g: &MatMul, a: &[f32], b: &[f32], bias: Option<&[f32]>, residual: &[f32]) -> Vec<f64> {
    let mut shape = g.batch.clone();
    shape.extend([g.m, g.n]);
    indices(&shape)
        .iter()
        .map(|index| {
            let (batch, rc) = index.split_at(g.batch.len());
            let (row, col) = (rc[0], rc[1]);
            let a0 = broadcast(batch, &g.a_batch) * g.m * g.k;
            let b0 = broadcast(batch, &g.b_batch) * g.k * g.n;
            let mut sum = 0.0f64;
            for k in 0..g.k {
                let ai = if g.trans_a {
                    k * g.m + row
                } else {
                    row * g.k + k
                };
                let bi = if g.trans_b {
                    col * g.k + k
                } else {
                    k * g.n + col
                };
                let ai = placed(&g.a_strides, batch, row, k).unwrap_or(a0 + ai);
                let bi = placed(&g.b_strides, batch, k, col).unwrap_or(b0 + bi);
                sum += f64::from(a[ai]) * f64::from(b[bi]);
            }
            let mut value = f64::from(g.alpha) * sum;
            if let (Some(s), Some(bias)) = (g.bias, bias) {
                let at = flat(batch, &g.batch) * s.batch_stride
                    + row * s.row_stride
                    + col * s.col_stride;
                value += f64::from(g.beta) * f64::from(bias[at]);
            }
            if g.residual {
                value += f64::from(residual[flat(index, &shape)]);
            }
            match g.activation {
                Activation::None => value,
                Activation::Relu => value.max(0.0),
                Activation::Silu => value / (1.0 + (-value).exp()),
                other => panic!("no reference for {other:?}"),
            }
        })
        .collect()
}

/// Position of element `(batch, row, col)` of an operand with strides.
fn placed(strides: &Option<Strides>, batch: &[usize], row: usize, col: usize) -> Option<usize> {
    let s = strides.as_ref()?;
    let outer: usize = batch.iter().zip(&s.batch).map(|(i, step)| i * step).sum();
    Some(s.offset + outer + row * s.row + col * s.col)
}

pub fn check(g: &MatMul, bias_len: usize) {
    let matrices = |batch: &[usize]| batch.iter().product::<usize>();
    let length = |strides: &Option<Strides>, dense: usize, rows: usize, cols: usize| {
        let last: Vec<usize> = g.batch.iter().map(|d| d - 1).collect();
        placed(strides, &last, rows - 1, cols - 1).map_or(dense, |at| at + 1)
    };
    let a = matrices(&g.a_batch) * g.m * g.k;
    let a = noise(length(&g.a_strides, a, g.m, g.k), 1);
    let b = matrices(&g.b_batch) * g.k * g.n;
    let b = noise(length(&g.b_strides, b, g.k, g.n), 2);
    let bias = noise(bias_len, 3);
    let len = matrices(&g.batch) * g.m * g.n;
    let residual = noise(len, 4);
    let expected = reference(g, &a, &b, Some(&bias), &residual);
    for class in tables() {
        let mut inputs = vec![&a[..], &b[..]];
        if g.bias.is_some() {
            inputs.push(&bias);
        }
        if g.residual {
            inputs.push(&residual);
        }
        let got = run(matmul(g, class).unwrap(), &inputs, len);
        assert_close(&got, &expected, 1e-5, 1e-5, &format!("{class:?} {g:?}"));
    }
}

#[test]
fn odd_sizes_and_transposes() {
    for (m, n, k) in [
        (1, 1, 1),
        (1, 7, 5),
        (3, 1, 9),
        (4, 64, 16),
        (5, 65, 17),
        (67, 71, 73),
        (64, 64, 64),
        (130, 33, 8),
    ] {
        for (trans_a, trans_b) in [(false, false), (true, false), (false, true), (true, true)] {
            check(
                &MatMul {
                    trans_a,
                    trans_b,
                    ..MatMul::new(m, n, k)
                },
                0,
            );
        }
    }
}

#[test]
fn batches_broadcast() {
    for (batch, a_batch, b_batch) in [
        (vec![3], vec![3], vec![3]),
        (vec![2, 3], vec![2, 3], vec![]),
        (vec![2, 3], vec![], vec![3]),
        (vec![2, 3, 2], vec![2, 1, 2], vec![3, 1]),
    ] {
        check(
            &MatMul {
                batch,
                a_batch,
                b_batch,
                ..MatMul::new(5, 6, 7)
            },
            0,
        );
    }
}

#[test]
fn bias_alpha_beta_and_activation() {
    let base = MatMul {
        batch: vec![2],
        a_batch: vec![2],
        b_batch: vec![2],
        alpha: 0.5,
        beta: -1.5,
        ..MatMul::new(5, 9, 11)
    };
    for (bias, len) in [
        (
            Bias {
                batch_stride: 0,
                row_stride: 0,
                col_stride: 1,
            },
            9,
        ),
        (
            Bias {
                batch_stride: 0,
                row_stride: 1,
                col_stride: 0,
            },
            5,
        ),
        (
            Bias {
                batch_stride: 0,
                row_stride: 0,
                col_stride: 0,
            },
            1,
        ),
        (
            Bias {
                batch_stride: 45,
                row_stride: 9,
                col_stride: 1,
            },
            90,
        ),
    ] {
        for activation in [Activation::None, Activation::Relu, Activation::Silu] {
            check(
                &MatMul {
                    bias: Some(bias),
                    activation,
                    ..base.clone()
                },
                len,
            );
        }
    }
}

#[test]
fn operands_lie_anywhere() {
    // Three heads side by side in rows; B transposed and shared by the heads of an image.
    let heads = Strides {
        offset: 5,
        batch: vec![9 * 33, 11],
        row: 33,
        col: 1,
    };
    let shared = Strides {
        offset: 2,
        batch: vec![80, 0],
        row: 1,
        col: 13,
    };
    for m in [1, 9] {
        for residual in [false, true] {
            check(
                &MatMul {
                    batch: vec![2, 3],
                    a_strides: Some(heads.clone()),
                    b_strides: Some(shared.clone()),
                    residual,
                    activation: Activation::Silu,
                    ..MatMul::new(m, 5, 11)
                },
                0,
            );
        }
    }
}

#[test]
fn residuals_are_added_after_the_bias() {
    for (m, n) in [(1, 3), (7, 65), (66, 70)] {
        check(
            &MatMul {
                bias: Some(Bias {
                    batch_stride: 0,
                    row_stride: 0,
                    col_stride: 1,
                }),
                residual: true,
                activation: Activation::Relu,
                ..MatMul::new(m, n, 10)
            },
            n,
        );
    }
}
