//! Random geometries over lengths that are 1, prime or just off a tile, against sums in `f64`. The seed is fixed.

use onnx_gpu::kernels::Elem;
use onnx_gpu::kernels::conv2d::Conv2d;
use onnx_gpu::kernels::matmul::{Bias, MatMul};
use onnx_gpu::kernels::norm::{GroupNorm, LayerNorm, NormAffine, group_norm, layer_norm};
use onnx_gpu::kernels::reduce::{Reduce, ReduceOp, reduce};
use onnx_gpu::kernels::softmax::{Softmax, softmax};
use onnx_gpu::kernels::{Activation, AdapterClass};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed};

use crate::harness::{CLASSES, assert_close, noise, run};
use crate::{conv, matmul, rows};

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(20_261_123),
        ..Config::default()
    }
}

fn odd() -> impl Strategy<Value = usize> {
    select(vec![1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 33, 61, 64, 65, 67])
}

fn long() -> impl Strategy<Value = usize> {
    select(vec![1, 2, 7, 31, 63, 65, 127, 129, 257, 509, 1021])
}

/// Mean and `1 / √(variance + ε)`, or with `rms` 0 and the root mean square's inverse.
fn moments(x: &[f32], epsilon: f32, rms: bool) -> (f64, f64) {
    let n = x.len() as f64;
    let sum: f64 = x.iter().map(|&v| f64::from(v)).sum();
    let mean = if rms { 0.0 } else { sum / n };
    let square: f64 = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
    (mean, (square / n + f64::from(epsilon)).sqrt().recip())
}

/// Values around 4, so that cancellation shows.
fn shifted(len: usize, seed: u64) -> Vec<f32> {
    noise(len, seed).iter().map(|v| 2.0 * v + 4.0).collect()
}

proptest! {
    #![proptest_config(config(32))]

    #[test]
    fn products(m in odd(), n in odd(), k in odd(), transposed in any::<(bool, bool)>(), batch in 1usize..4, shared in 0usize..3,
                bias in any::<bool>(), activation in select(vec![Activation::None, Activation::Relu, Activation::Silu])) {
        let one = |yes: bool| if yes { vec![1] } else { vec![batch] };
        let g = MatMul {
            trans_a: transposed.0,
            trans_b: transposed.1,
            batch: vec![batch],
            a_batch: one(shared == 1),
            b_batch: one(shared == 2),
            bias: bias.then_some(Bias { batch_stride: 0, row_stride: 0, col_stride: 1 }),
            activation,
            ..MatMul::new(m, n, k)
        };
        matmul::check(&g, n);
    }

    #[test]
    fn convolutions(channels in (1usize..4, select(vec![1usize, 2, 3, 5, 8, 13, 17, 33])), groups in 1usize..3, size in (1usize..14, 1usize..14),
                    kernel in (1usize..5, 1usize..5), strides in (1usize..4, 1usize..3), dilations in (1usize..3, 1usize..3),
                    pads in [0i64..3, 0i64..3, 0i64..3, 0i64..3], batch in 1usize..3, bias in any::<bool>()) {
        let g = Conv2d {
            batch,
            in_channels: channels.0 * groups,
            in_h: size.0,
            in_w: size.1,
            out_channels: channels.1 * groups,
            kernel: kernel.into(),
            strides: strides.into(),
            pads,
            dilations: dilations.into(),
            groups,
            bias,
            ..conv::BASE
        };
        let fits = |at: usize, length: usize| {
            length as i64 + pads[at] + pads[at + 2] >= ((g.kernel[at] - 1) * g.dilations[at] + 1) as i64
        };
        prop_assume!(fits(0, g.in_h) && fits(1, g.in_w));
        conv::check(g);
    }

    #[test]
    fn rows_are_normalised(count in odd(), cols in long(), affine in any::<(bool, bool)>(), rms in any::<bool>()) {
        let g = LayerNorm { rows: count, cols, epsilon: 1e-5, scale: affine.0, bias: affine.1, rms };
        let (x, scale, bias) = (shifted(count * cols, 1), noise(cols, 2), noise(cols, 3));
        let mut inputs = vec![&x[..]];
        inputs.extend(affine.0.then_some(&scale[..]));
        inputs.extend(affine.1.then_some(&bias[..]));
        let mut expected = Vec::new();
        for row in x.chunks(cols) {
            let (mean, inverse) = moments(row, g.epsilon, rms);
            for (i, &v) in row.iter().enumerate() {
                let factor = if affine.0 { f64::from(scale[i]) } else { 1.0 };
                let shift = if affine.1 { f64::from(bias[i]) } else { 0.0 };
                expected.push((f64::from(v) - mean) * inverse * factor + shift);
            }
        }
        for class in CLASSES {
            let got = run(layer_norm(&g, class).unwrap(), &inputs, x.len());
            assert_close(&got, &expected, 1e-4, 1e-4, &format!("{class:?} {g:?}"));
        }
    }

    #[test]
    fn groups_are_normalised(batch in 1usize..3, groups in 1usize..6, width in 1usize..6, spatial in long()) {
        let channels = groups * width;
        let g = GroupNorm {
            batch,
            channels,
            spatial,
            groups,
            epsilon: 1e-5,
            affine: NormAffine::Channel,
            activation: Activation::None,
        };
        let (x, scale, bias) = (shifted(batch * channels * spatial, 1), noise(channels, 2), noise(channels, 3));
        let mut expected = Vec::new();
        for (index, group) in x.chunks(width * spatial).enumerate() {
            let (mean, inverse) = moments(group, g.epsilon, false);
            for (i, &v) in group.iter().enumerate() {
                let c = index % groups * width + i / spatial;
                expected.push((f64::from(v) - mean) * inverse * f64::from(scale[c]) + f64::from(bias[c]));
            }
        }
        for class in CLASSES {
            let got = run(group_norm(&g, class).unwrap(), &[&x, &scale, &bias], x.len());
            assert_close(&got, &expected, 1e-4, 1e-4, &format!("{class:?} {g:?}"));
        }
    }

    #[test]
    fn softmaxes(outer in select(vec![1usize, 2, 3, 5, 17, 67]), axis in long(), inner in 1usize..4, log in any::<bool>()) {
        let g = Softmax { outer, axis, inner, log, zero_if_empty: false };
        let x: Vec<f32> = noise(outer * axis * inner, 9).iter().map(|v| v * 20.0).collect();
        let expected = rows::softmax_reference(&g, &x);
        for class in CLASSES {
            let got = run(softmax(&g, class).unwrap(), &[&x], x.len());
            assert_close(&got, &expected, 1e-5, 1e-4, &format!("{class:?} {g:?}"));
        }
    }

    #[test]
    fn reductions(shape in proptest::collection::vec(select(vec![1usize, 2, 3, 5, 7, 17, 67]), 1..4), mask in 0u8..16,
                  op in select(vec![ReduceOp::Sum, ReduceOp::Mean, ReduceOp::Max, ReduceOp::Min, ReduceOp::L1, ReduceOp::L2, ReduceOp::LogSumExp])) {
        let axes = (0..shape.len()).filter(|i| mask & (1 << i) != 0).collect();
        let g = Reduce { op, elem: Elem::F32, shape, axes, run: None };
        let x = noise(g.shape.iter().product(), 5);
        let expected = rows::reduce_reference(&g, &x);
        for class in CLASSES {
            let got = run(reduce(&g, class).unwrap(), &[&x], expected.len());
            assert_close(&got, &expected, 1e-4, 1e-4, &format!("{class:?} {g:?}"));
        }
    }
}

#[test]
fn a_row_with_nothing_to_attend_to_is_zero() {
    let x = [f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
    for class in [AdapterClass::Software, AdapterClass::Hardware] {
        let g = Softmax {
            outer: 2,
            axis: 2,
            inner: 1,
            log: false,
            zero_if_empty: true,
        };
        let got = run(softmax(&g, class).unwrap(), &[&x], 4);
        assert_eq!(got, [0.0, 0.0, 1.0, 0.0], "{class:?}");
    }
}
