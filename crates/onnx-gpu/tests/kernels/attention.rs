use onnx_gpu::kernels::attention::{Attention, attention};
use onnx_gpu::kernels::matmul::Strides;

use crate::harness::{CLASSES, assert_close, noise, run};

/// Position of element `(batch, row, col)`.
fn at(strides: &Strides, batch: &[usize], row: usize, col: usize) -> usize {
    let steps: usize = batch.iter().zip(&strides.batch).map(|(i, s)| i * s).sum();
    strides.offset + steps + row * strides.row + col * strides.col
}

fn reference(g: &Attention, q: &[f32], k: &[f32], v: &[f32], mask: &[f32], len: usize) -> Vec<f64> {
    let mut out = vec![f64::NAN; len];
    for batch in crate::harness::indices(&g.batch) {
        for row in 0..g.m {
            let scores: Vec<f64> = (0..g.n)
                .map(|key| {
                    let dot: f64 = (0..g.d)
                        .map(|i| {
                            f64::from(q[at(&g.q, &batch, row, i)])
                                * f64::from(k[at(&g.k, &batch, i, key)])
                        })
                        .sum();
                    let shift = g
                        .mask
                        .as_ref()
                        .map_or(0.0, |m| f64::from(mask[at(m, &batch, row, key)]));
                    let score = dot * f64::from(g.scale);
                    let cap = f64::from(g.softcap);
                    if g.softcap == 0.0 {
                        score + shift
                    } else {
                        cap * (score / cap).tanh() + shift
                    }
                })
                .collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
            let total: f64 = weights.iter().sum();
            for col in 0..g.e {
                let sum: f64 = weights
                    .iter()
                    .enumerate()
                    .map(|(key, w)| w * f64::from(v[at(&g.v, &batch, key, col)]))
                    .sum();
                let value = if g.guarded && top == f64::NEG_INFINITY {
                    0.0
                } else {
                    sum / total
                };
                out[at(&g.out, &batch, row, col)] = value;
            }
        }
    }
    out
}

/// Heads side by side in rows of `heads · d`, as a transformer's projections leave them.
fn interleaved(images: usize, heads: usize, m: usize, n: usize, d: usize, e: usize) -> Attention {
    let rows = |count: usize, width: usize| Strides {
        offset: 0,
        batch: vec![count * heads * width, width],
        row: heads * width,
        col: 1,
    };
    let keys = rows(n, d);
    Attention {
        batch: vec![images, heads],
        m,
        n,
        d,
        e,
        scale: 1.0 / (d as f32).sqrt(),
        softcap: 0.0,
        guarded: false,
        q: rows(m, d),
        k: Strides {
            row: keys.col,
            col: keys.row,
            ..keys
        },
        v: rows(n, e),
        mask: None,
        out: rows(m, e),
    }
}

fn check(g: &Attention, mask: &[f32]) {
    check_within(g, mask, 1e-5);
}

fn check_within(g: &Attention, mask: &[f32], tolerance: f64) {
    let matrices: usize = g.batch.iter().product();
    let q = noise(matrices * g.m * g.d, 1);
    let k = noise(matrices * g.n * g.d, 2);
    let v = noise(matrices * g.n * g.e, 3);
    let len = matrices * g.m * g.e;
    let expected = reference(g, &q, &k, &v, mask, len);
    for class in CLASSES {
        let mut inputs = vec![&q[..], &k[..], &v[..]];
        if g.mask.is_some() {
            inputs.push(mask);
        }
        let got = run(attention(g, class).unwrap(), &inputs, len);
        assert_close(
            &got,
            &expected,
            tolerance,
            tolerance,
            &format!("{class:?} {g:?}"),
        );
    }
}

#[test]
fn odd_sizes() {
    for (images, heads, m, n, d, e) in [
        (1, 1, 1, 1, 1, 1),
        (2, 3, 5, 7, 3, 11),
        (1, 2, 65, 9, 8, 8),
        (1, 1, 67, 71, 40, 40),
        (2, 1, 17, 33, 64, 64),
        (1, 1, 3, 13, 130, 7),
        (1, 1, 2, 5, 9, 160),
    ] {
        check(&interleaved(images, heads, m, n, d, e), &[]);
    }
}

#[test]
fn masks_broadcast_and_hide_keys() {
    let (m, n) = (19, 21);
    let causal: Vec<f32> = (0..m * n)
        .map(|i| {
            if i % n > i / n {
                f32::NEG_INFINITY
            } else {
                0.1
            }
        })
        .collect();
    check(
        &Attention {
            mask: Some(Strides {
                offset: 0,
                batch: vec![0, 0],
                row: n,
                col: 1,
            }),
            ..interleaved(2, 3, m, n, 8, 8)
        },
        &causal,
    );
    // One row per image for all queries and heads.
    let padding: Vec<f32> = (0..2 * n)
        .map(|i| if i % n > 15 { f32::MIN } else { 0.0 })
        .collect();
    check(
        &Attention {
            mask: Some(Strides {
                offset: 0,
                batch: vec![n, 0],
                row: 0,
                col: 1,
            }),
            ..interleaved(2, 3, m, n, 8, 8)
        },
        &padding,
    );
}

#[test]
fn scores_are_capped_before_the_mask() {
    let (m, n) = (11, 9);
    let mut g = interleaved(1, 2, m, n, 16, 8);
    (g.scale, g.softcap) = (3.0, 2.0);
    check(&g, &[]);
    // Far beyond what `tanh` can tell from 1.
    g.scale = 1e6;
    g.mask = Some(Strides {
        offset: 0,
        batch: vec![0, 0],
        row: n,
        col: 1,
    });
    let mask: Vec<f32> = (0..m * n).map(|i| (i % 5) as f32 * 0.5).collect();
    check(&g, &mask);
}

#[test]
fn a_guarded_row_without_keys_is_zero() {
    let (m, n) = (3, 10);
    let mask: Vec<f32> = (0..m * n)
        .map(|i| if i / n == 1 { f32::NEG_INFINITY } else { 0.0 })
        .collect();
    check(
        &Attention {
            guarded: true,
            mask: Some(Strides {
                offset: 0,
                batch: vec![0, 0],
                row: n,
                col: 1,
            }),
            ..interleaved(1, 2, m, n, 8, 8)
        },
        &mask,
    );
}

#[test]
fn large_scores_do_not_overflow() {
    let mut g = interleaved(1, 1, 9, 40, 16, 16);
    g.scale = 300.0;
    // Scores of up to a thousand are rounded to 6e-5.
    check_within(&g, &[], 1e-3);
}
