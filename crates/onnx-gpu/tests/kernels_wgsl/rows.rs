//! What folds rows: softmax, reductions, normalisations.

use onnx_gpu::kernels::norm::{GroupNorm, LayerNorm, NormAffine, group_norm, layer_norm};
use onnx_gpu::kernels::reduce::{Reduce, ReduceOp, reduce};
use onnx_gpu::kernels::rotary::{Rotary, rotary};
use onnx_gpu::kernels::softmax::{Softmax, softmax};
use onnx_gpu::kernels::{Elem, Launch};

use crate::{ACTIVATIONS, CLASSES};

pub fn rows(all: &mut Vec<Launch>) {
    let turned = Rotary {
        batch: 2,
        length: 3,
        heads: 4,
        size: 6,
        flat: true,
        interleaved: true,
        own_angles: false,
    };
    all.push(rotary(&turned).unwrap());
    let ops = [
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
    for class in CLASSES {
        for length in [3, 100, 300, 9000] {
            for log in [false, true] {
                all.push(
                    softmax(
                        &Softmax {
                            outer: 3,
                            axis: length,
                            inner: 1,
                            log,
                            zero_if_empty: false,
                        },
                        class,
                    )
                    .unwrap(),
                );
                all.push(
                    softmax(
                        &Softmax {
                            outer: 3,
                            axis: length,
                            inner: 2,
                            log,
                            zero_if_empty: false,
                        },
                        class,
                    )
                    .unwrap(),
                );
            }
            for op in ops {
                for elem in [Elem::F32, Elem::I32] {
                    let mut g = Reduce::new(op, elem, &[2, length], &[1]);
                    all.extend(reduce(&g, class).ok());
                    g.run = Some(5);
                    all.extend(reduce(&g, class).ok());
                }
            }
            all.push(
                softmax(
                    &Softmax {
                        outer: 99,
                        axis: length,
                        inner: 1,
                        log: false,
                        zero_if_empty: false,
                    },
                    class,
                )
                .unwrap(),
            );
            for (scale, bias, rms) in [
                (true, true, false),
                (true, false, true),
                (false, false, false),
            ] {
                let g = LayerNorm {
                    rows: 3,
                    cols: length,
                    epsilon: 1e-5,
                    scale,
                    bias,
                    rms,
                };
                all.push(layer_norm(&g, class).unwrap());
                all.push(layer_norm(&LayerNorm { rows: 99, ..g }, class).unwrap());
            }
            for affine in [NormAffine::None, NormAffine::Channel, NormAffine::Group] {
                for activation in ACTIVATIONS {
                    let g = GroupNorm {
                        batch: 1,
                        channels: 4,
                        spatial: length,
                        groups: 2,
                        epsilon: 1e-5,
                        affine,
                        activation,
                    };
                    all.push(group_norm(&g, class).unwrap());
                }
            }
        }
    }
}
