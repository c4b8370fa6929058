use onnx_gpu::kernels::norm::{GroupNorm, LayerNorm, NormAffine, group_norm, layer_norm};
use onnx_gpu::kernels::reduce::{Reduce, ReduceOp, reduce};
use onnx_gpu::kernels::softmax::{Softmax, softmax};
use onnx_gpu::kernels::{Activation, Elem};

use crate::harness::{
    CLASSES, Data, assert_close, flat, floats, indices, ints, noise, run, run_words,
};

pub fn softmax_reference(g: &Softmax, x: &[f32]) -> Vec<f64> {
    let shape = [g.outer, g.axis, g.inner];
    indices(&shape)
        .iter()
        .map(|i| {
            let line = (0..g.axis).map(|a| f64::from(x[flat(&[i[0], a, i[2]], &shape)]));
            let top = line.clone().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = line.map(|v| (v - top).exp()).sum();
            let d = f64::from(x[flat(i, &shape)]) - top;
            if g.log { d - sum.ln() } else { d.exp() / sum }
        })
        .collect()
}

#[test]
fn softmax_over_rows_and_columns() {
    for (outer, axis, inner) in [
        (1, 1, 1),
        (3, 5, 1),
        (7, 77, 1),
        (2, 257, 1),
        (1, 5000, 1),
        (2, 5, 3),
        (3, 64, 65),
        (131, 77, 1),
    ] {
        for log in [false, true] {
            let g = Softmax {
                outer,
                axis,
                inner,
                log,
                zero_if_empty: false,
            };
            let x: Vec<f32> = noise(outer * axis * inner, 3)
                .iter()
                .map(|v| v * 20.0)
                .collect();
            let expected = softmax_reference(&g, &x);
            for class in CLASSES {
                let got = run(softmax(&g, class).unwrap(), &[&x], x.len());
                assert_close(&got, &expected, 1e-6, 1e-5, &format!("{class:?} {g:?}"));
            }
        }
    }
}

#[test]
fn softmax_of_masked_rows() {
    let inf = f32::NEG_INFINITY;
    let x = [
        1.0,
        inf,
        2.0,
        inf,
        inf,
        inf,
        5.0,
        inf,
        -1e30,
        -1e30,
        inf,
        -3.4028235e38,
    ];
    let g = Softmax {
        outer: 3,
        axis: 4,
        inner: 1,
        log: false,
        zero_if_empty: false,
    };
    let expected = softmax_reference(&g, &x);
    for class in CLASSES {
        let got = run(softmax(&g, class).unwrap(), &[&x], 12);
        assert_close(&got, &expected, 1e-6, 1e-6, &format!("{class:?}"));
    }
    // The same three lines as columns.
    let columns: Vec<f32> = (0..12).map(|i| x[i % 3 * 4 + i / 3]).collect();
    let g = Softmax {
        outer: 1,
        axis: 4,
        inner: 3,
        log: false,
        zero_if_empty: false,
    };
    let expected = softmax_reference(&g, &columns);
    let got = run(softmax(&g, CLASSES[0]).unwrap(), &[&columns], 12);
    assert_close(&got, &expected, 1e-6, 1e-6, "columns");
}

pub fn reduce_reference(g: &Reduce, x: &[f32]) -> Vec<f64> {
    let kept: Vec<usize> = (0..g.shape.len()).filter(|a| !g.axes.contains(a)).collect();
    let kept_shape: Vec<usize> = kept.iter().map(|&a| g.shape[a]).collect();
    let mut lines: Vec<Vec<f64>> = vec![Vec::new(); kept_shape.iter().product()];
    for (index, &v) in indices(&g.shape).iter().zip(x) {
        let at: Vec<usize> = kept.iter().map(|&a| index[a]).collect();
        lines[flat(&at, &kept_shape)].push(f64::from(v));
    }
    let best = |line: &[f64], better: fn(f64, f64) -> bool, last: bool| {
        let mut at = 0;
        for (i, &v) in line.iter().enumerate() {
            if better(v, line[at]) || (last && v == line[at]) {
                at = i;
            }
        }
        at as f64
    };
    lines
        .iter()
        .map(|line| {
            let sum = || line.iter().sum::<f64>();
            match g.op {
                ReduceOp::Sum => sum(),
                ReduceOp::Mean => sum() / line.len() as f64,
                ReduceOp::Max => line.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                ReduceOp::Min => line.iter().copied().fold(f64::INFINITY, f64::min),
                ReduceOp::Prod => line.iter().product(),
                ReduceOp::L1 => line.iter().map(|v| v.abs()).sum(),
                ReduceOp::L2 => line.iter().map(|v| v * v).sum::<f64>().sqrt(),
                ReduceOp::SumSquare => line.iter().map(|v| v * v).sum(),
                ReduceOp::LogSum => sum().ln(),
                ReduceOp::LogSumExp => line.iter().map(|v| v.exp()).sum::<f64>().ln(),
                ReduceOp::ArgMax { last } => best(line, |a, b| a > b, last),
                ReduceOp::ArgMin { last } => best(line, |a, b| a < b, last),
            }
        })
        .collect()
}

const OPS: [ReduceOp; 14] = [
    ReduceOp::Sum,
    ReduceOp::Mean,
    ReduceOp::Max,
    ReduceOp::Min,
    ReduceOp::Prod,
    ReduceOp::L1,
    ReduceOp::L2,
    ReduceOp::SumSquare,
    ReduceOp::LogSum,
    ReduceOp::LogSumExp,
    ReduceOp::ArgMax { last: false },
    ReduceOp::ArgMax { last: true },
    ReduceOp::ArgMin { last: false },
    ReduceOp::ArgMin { last: true },
];

#[test]
fn reductions_over_any_axes() {
    let cases: [(&[usize], &[usize]); 9] = [
        (&[5], &[0]),
        (&[3, 5], &[1]),
        (&[3, 5], &[0]),
        (&[3, 131], &[1]),
        (&[99, 131], &[1]),
        (&[2, 3, 4, 5], &[3, 1]),
        (&[2, 3, 4, 5], &[0, 2]),
        (&[4, 3, 5], &[]),
        (&[2, 9, 17], &[2, 1]),
    ];
    for op in OPS {
        for (shape, axes) in cases {
            let indexed = matches!(op, ReduceOp::ArgMax { .. } | ReduceOp::ArgMin { .. });
            if indexed && axes.len() != 1 {
                continue;
            }
            let g = Reduce::new(op, Elem::F32, shape, axes);
            let mut x = noise(shape.iter().product(), 5);
            if op == ReduceOp::LogSum || op == ReduceOp::Prod {
                x.iter_mut().for_each(|v| *v = v.abs() * 0.5 + 0.7);
            }
            if indexed {
                // Few distinct values, so that ties happen.
                x.iter_mut().for_each(|v| *v = (*v * 3.0).floor());
            }
            let expected = reduce_reference(&g, &x);
            for class in CLASSES {
                let words = run_words(reduce(&g, class).unwrap(), &[Data::F(&x)], expected.len());
                let got = if indexed {
                    ints(&words).iter().map(|&i| i as f32).collect()
                } else {
                    floats(&words)
                };
                assert_close(&got, &expected, 1e-5, 2e-5, &format!("{class:?} {g:?}"));
            }
        }
    }
}

#[test]
fn integer_reductions() {
    let x: Vec<i32> = (0..200).map(|i| (i * 7919) % 1000 - 500).collect();
    for class in CLASSES {
        let of = |op| {
            let g = Reduce::new(op, Elem::I32, &[2, 100], &[1]);
            ints(&run_words(reduce(&g, class).unwrap(), &[Data::I(&x)], 2))
        };
        let lines = [&x[..100], &x[100..]];
        assert_eq!(of(ReduceOp::Sum), lines.map(|l| l.iter().sum::<i32>()));
        assert_eq!(of(ReduceOp::Max), lines.map(|l| *l.iter().max().unwrap()));
        assert_eq!(of(ReduceOp::Min), lines.map(|l| *l.iter().min().unwrap()));
    }
}

#[test]
fn log_sum_exp_of_large_values() {
    let x = [1000.0f32, 1000.0, -1000.0, f32::NEG_INFINITY];
    let g = Reduce::new(ReduceOp::LogSumExp, Elem::F32, &[4], &[0]);
    let got = run(reduce(&g, CLASSES[0]).unwrap(), &[&x], 1);
    assert_close(&got, &[1000.0 + 2f64.ln()], 1e-3, 0.0, "log_sum_exp");
}

#[test]
fn layer_and_rms_norms() {
    for (rows, cols) in [(1, 1), (3, 5), (2, 64), (5, 321), (1, 5001), (131, 33)] {
        for (scale, bias, rms) in [
            (true, true, false),
            (true, false, false),
            (false, false, false),
            (true, false, true),
        ] {
            let g = LayerNorm {
                rows,
                cols,
                epsilon: 1e-5,
                scale,
                bias,
                rms,
            };
            // A mean far from zero shows cancellation.
            let x: Vec<f32> = noise(rows * cols, 1)
                .iter()
                .map(|v| v * 3.0 + 10.0)
                .collect();
            let (gain, shift) = (noise(cols, 2), noise(cols, 3));
            let expected: Vec<f64> = x
                .chunks(cols)
                .flat_map(|row| {
                    let n = cols as f64;
                    let mean = if rms {
                        0.0
                    } else {
                        row.iter().map(|&v| f64::from(v)).sum::<f64>() / n
                    };
                    let var = row
                        .iter()
                        .map(|&v| (f64::from(v) - mean).powi(2))
                        .sum::<f64>()
                        / n;
                    let by = 1.0 / (var + 1e-5f64).sqrt();
                    (0..cols)
                        .map(move |i| (i, (f64::from(row[i]) - mean) * by))
                        .collect::<Vec<_>>()
                })
                .map(|(i, v)| {
                    let v = if scale { v * f64::from(gain[i]) } else { v };
                    if bias { v + f64::from(shift[i]) } else { v }
                })
                .collect();
            for class in CLASSES {
                let mut inputs = vec![&x[..]];
                if scale {
                    inputs.push(&gain);
                }
                if bias {
                    inputs.push(&shift);
                }
                let got = run(layer_norm(&g, class).unwrap(), &inputs, x.len());
                assert_close(&got, &expected, 1e-4, 1e-4, &format!("{class:?} {g:?}"));
            }
        }
    }
}

#[test]
fn group_and_instance_norms() {
    for (batch, channels, groups, spatial) in [
        (1, 1, 1, 7),
        (2, 6, 3, 35),
        (2, 6, 6, 65),
        (1, 8, 2, 1100),
        (3, 32, 32, 1),
    ] {
        for affine in [NormAffine::None, NormAffine::Channel, NormAffine::Group] {
            for activation in [Activation::None, Activation::Silu] {
                let g = GroupNorm {
                    batch,
                    channels,
                    spatial,
                    groups,
                    epsilon: 1e-5,
                    affine,
                    activation,
                };
                let per_group = channels / groups * spatial;
                let x: Vec<f32> = noise(batch * channels * spatial, 1)
                    .iter()
                    .map(|v| v * 3.0 + 5.0)
                    .collect();
                let count = if affine == NormAffine::Group {
                    groups
                } else {
                    channels
                };
                let (gain, shift) = (noise(count, 2), noise(count, 3));
                let mut expected = Vec::new();
                for (ng, values) in x.chunks(per_group).enumerate() {
                    let n = per_group as f64;
                    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
                    let var = values
                        .iter()
                        .map(|&v| (f64::from(v) - mean).powi(2))
                        .sum::<f64>()
                        / n;
                    for (i, &v) in values.iter().enumerate() {
                        let group = ng % groups;
                        let at = match affine {
                            NormAffine::Group => group,
                            _ => group * (channels / groups) + i / spatial,
                        };
                        let mut y = (f64::from(v) - mean) / (var + 1e-5f64).sqrt();
                        if affine != NormAffine::None {
                            y = y * f64::from(gain[at]) + f64::from(shift[at]);
                        }
                        if activation == Activation::Silu {
                            y /= 1.0 + (-y).exp();
                        }
                        expected.push(y);
                    }
                }
                for class in CLASSES {
                    let mut inputs = vec![&x[..]];
                    if affine != NormAffine::None {
                        inputs.extend([&gain[..], &shift[..]]);
                    }
                    let got = run(group_norm(&g, class).unwrap(), &inputs, x.len());
                    assert_close(&got, &expected, 1e-4, 1e-4, &format!("{class:?} {g:?}"));
                }
            }
        }
    }
}
