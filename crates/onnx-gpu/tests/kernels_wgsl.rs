//! Every WGSL text that the kernels can produce parses and validates, without a GPU.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use onnx_gpu::kernels::attention::{Attention, attention};
use onnx_gpu::kernels::blocks::{ZeroPoints, pack};
use onnx_gpu::kernels::conv_transpose2d::{ConvTranspose2d, conv_transpose2d};
use onnx_gpu::kernels::conv2d::{Conv2d, Residual, conv2d};
use onnx_gpu::kernels::elementwise::{
    BinaryOp, Operand, UnaryOp, binary, cast, mul_add, select, unary,
};
use onnx_gpu::kernels::gather::{Gather, gather, gather_elements, gather_nd};
use onnx_gpu::kernels::matmul::{Bias, MatMul, Strides, matmul};
use onnx_gpu::kernels::norm::{GroupNorm, LayerNorm, NormAffine, group_norm, layer_norm};
use onnx_gpu::kernels::operand::Blocks;
use onnx_gpu::kernels::pool::{Pool, PoolOp, pool};
use onnx_gpu::kernels::reduce::{Reduce, ReduceOp, reduce};
use onnx_gpu::kernels::resample::{Resample, resample};
use onnx_gpu::kernels::resize::{CoordinateMode, Interpolation, NearestMode, Resize, resize};
use onnx_gpu::kernels::scan::{CumSum, cumsum, range};
use onnx_gpu::kernels::scatter::{
    Reduction, scatter_elements, scatter_elements_with, scatter_nd, scatter_nd_with,
};
use onnx_gpu::kernels::softmax::{Softmax, softmax};
use onnx_gpu::kernels::strided_copy::{
    Pad, PadMode, StridedCopy, Trilu, fill, pad, strided_copy, trilu,
};
use onnx_gpu::kernels::top_k::{TopK, top_k};
use onnx_gpu::kernels::unpack::unpack;
use onnx_gpu::kernels::{Activation, AdapterClass, Elem, Format, Launch};
use onnx_gpu::weights::Packing;

const CLASSES: [AdapterClass; 2] = [AdapterClass::Software, AdapterClass::Hardware];

const ACTIVATIONS: [Activation; 11] = [
    Activation::None,
    Activation::Relu,
    Activation::LeakyRelu(0.1),
    Activation::Silu,
    Activation::QuickGelu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Clip(0.0, 6.0),
    Activation::HardSwish,
];

fn unary_ops() -> Vec<UnaryOp> {
    use UnaryOp::*;
    vec![
        Identity,
        Neg,
        Abs,
        Sign,
        Exp,
        Log,
        Sqrt,
        Reciprocal,
        Sin,
        Cos,
        Tan,
        Asin,
        Acos,
        Atan,
        Sinh,
        Cosh,
        Asinh,
        Acosh,
        Atanh,
        Tanh,
        Sigmoid,
        Relu,
        LeakyRelu(0.1),
        ThresholdedRelu(1.0),
        Elu(1.0),
        Celu(1.0),
        Selu {
            alpha: 1.0,
            gamma: 1.0,
        },
        Gelu,
        GeluTanh,
        QuickGelu(1.7),
        Silu,
        Mish,
        Erf,
        Floor,
        Ceil,
        Round,
        Softplus,
        Softsign,
        HardSigmoid {
            alpha: 0.2,
            beta: 0.5,
        },
        HardSwish,
        Clip { min: 0.0, max: 1.0 },
        ClipInt { min: 0, max: 1 },
        Low8 { signed: true },
        Low8 { signed: false },
        Not,
        IsNan,
        IsInf {
            negative: true,
            positive: true,
        },
        Affine {
            scale: 1.0,
            shift: 0.0,
        },
    ]
}

fn binary_ops() -> Vec<BinaryOp> {
    use BinaryOp::*;
    vec![
        Add,
        Sub,
        Mul,
        Div,
        Pow,
        Min,
        Max,
        Mod,
        Fmod,
        Prelu,
        Equal,
        Less,
        LessOrEqual,
        Greater,
        GreaterOrEqual,
        And,
        Or,
        Xor,
    ]
}

const ELEMS: [Elem; 4] = [Elem::F32, Elem::I32, Elem::U32, Elem::Bool];

fn elementwise(all: &mut Vec<Launch>) {
    // Operators refuse the element types they have no meaning on; at least one must remain.
    for op in unary_ops() {
        let before = all.len();
        all.extend(ELEMS.iter().filter_map(|&e| unary(op, e, 5).ok()));
        assert!(all.len() > before, "{op:?} has no shader");
    }
    for op in binary_ops() {
        let before = all.len();
        for (a, b, out) in [
            (&[4][..], &[4][..], &[4][..]),
            (&[3, 1], &[1, 8], &[3, 8]),
            (&[3, 1], &[1, 5], &[3, 5]),
        ] {
            all.extend(ELEMS.iter().filter_map(|&e| binary(op, e, a, b, out).ok()));
        }
        assert!(all.len() > before, "{op:?} has no shader");
    }
    for from in ELEMS {
        all.extend(ELEMS.map(|to| cast(from, to, 9).unwrap()));
    }
    for out in [&[4][..], &[3, 8], &[3, 5]] {
        let (whole, row) = (Operand::from(out), Operand::from(&out[out.len() - 1..]));
        all.push(mul_add(whole, whole, whole, out).unwrap());
        all.push(mul_add(whole, row, row, out).unwrap());
    }
    all.push(select(&[4], &[4], &[4], &[4]).unwrap());
    all.push(select(&[3, 1], &[8], &[1], &[3, 8]).unwrap());
    all.push(select(&[3, 1], &[5], &[1], &[3, 5]).unwrap());
}

fn products(all: &mut Vec<Launch>) {
    let bias = Bias {
        batch_stride: 0,
        row_stride: 0,
        col_stride: 1,
    };
    for class in CLASSES {
        for activation in ACTIVATIONS {
            let epilogues = [
                (None, false),
                (Some(bias), false),
                (None, true),
                (Some(bias), true),
            ];
            for (bias, residual) in epilogues {
                for m in [1, 4, 9] {
                    all.push(
                        matmul(
                            &MatMul {
                                bias,
                                residual,
                                activation,
                                ..MatMul::new(m, 5, 7)
                            },
                            class,
                        )
                        .unwrap(),
                    );
                }
            }
            for (out_channels, kernel) in [(1, 3), (4, 3), (32, 3), (32, 1)] {
                let kinds = [Residual::None, Residual::Full, Residual::Channel];
                for (bias, residual) in kinds.into_iter().flat_map(|r| [(false, r), (true, r)]) {
                    let g = Conv2d {
                        batch: 1,
                        in_channels: 4,
                        in_h: 8,
                        in_w: 8,
                        out_channels,
                        kernel: [kernel; 2],
                        strides: [1; 2],
                        pads: [0; 4],
                        dilations: [1; 2],
                        groups: 1,
                        bias,
                        residual,
                        upsample: false,
                        activation,
                        weights: Format::F32,
                    };
                    all.push(conv2d(&g, class).unwrap());
                }
            }
        }
    }
    for class in CLASSES {
        for depth in [8, 16, 40, 64, 160] {
            for (masked, guarded) in [(false, false), (true, false), (false, true), (true, true)] {
                let place = Strides {
                    row: depth,
                    col: 1,
                    ..Strides::default()
                };
                let g = Attention {
                    batch: vec![],
                    m: 3,
                    n: 5,
                    d: depth,
                    e: depth,
                    scale: 1.0,
                    guarded,
                    q: place.clone(),
                    k: place.clone(),
                    v: place.clone(),
                    mask: masked.then(|| place.clone()),
                    out: place,
                };
                all.push(attention(&g, class).unwrap());
            }
        }
    }
    for out_channels in [1, 4, 8] {
        for bias in [false, true] {
            let g = ConvTranspose2d {
                batch: 1,
                in_channels: 4,
                in_h: 8,
                in_w: 8,
                out_channels,
                out_h: 16,
                out_w: 16,
                kernel: [2; 2],
                strides: [2; 2],
                pads: [0; 2],
                dilations: [1; 2],
                groups: 1,
                bias,
                activation: Activation::Silu,
            };
            all.push(conv_transpose2d(&g).unwrap());
        }
    }
}

const PACKED: [Format; 4] = [
    Format::F16,
    Format::Blocks(Blocks { bits: 4, size: 16 }),
    Format::Blocks(Blocks { bits: 4, size: 128 }),
    Format::Blocks(Blocks { bits: 8, size: 32 }),
];

fn packed(all: &mut Vec<Launch>) {
    for packing in [
        Packing::Words,
        Packing::F16,
        Packing::U8,
        Packing::I8,
        Packing::U4,
        Packing::I4,
    ] {
        all.push(unpack(packing, 9).unwrap());
    }
    let rows = Gather {
        outer: 1,
        axis: 3,
        inner: 4,
        indices: 2,
    };
    for zero_points in [ZeroPoints::Middle, ZeroPoints::Bytes, ZeroPoints::Floats] {
        for bits in [4, 8] {
            for packing in [Packing::U8, Packing::Words] {
                all.push(pack(Blocks { bits, size: 32 }, 3, 2, zero_points, packing).unwrap());
            }
        }
    }
    for format in PACKED {
        all.push(gather(&rows, format).unwrap());
        for class in CLASSES {
            for m in [1, 9] {
                let mut g = MatMul::new(m, 5, 32);
                (g.b_format, g.trans_b) = (format, true);
                all.push(matmul(&g, class).unwrap());
            }
            for kernel in [1, 3] {
                let g = Conv2d {
                    batch: 1,
                    in_channels: 4,
                    in_h: 8,
                    in_w: 8,
                    out_channels: 32,
                    kernel: [kernel; 2],
                    strides: [1; 2],
                    pads: [0; 4],
                    dilations: [1; 2],
                    groups: 1,
                    bias: true,
                    residual: Residual::None,
                    upsample: false,
                    activation: Activation::None,
                    weights: format,
                };
                all.push(conv2d(&g, class).unwrap());
            }
        }
    }
}

fn rows(all: &mut Vec<Launch>) {
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
                    let g = Reduce {
                        op,
                        elem,
                        shape: vec![2, length],
                        axes: vec![1],
                    };
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

fn moves(all: &mut Vec<Launch>) {
    for inner in [3, 4] {
        let copy = StridedCopy {
            shape: vec![2, inner],
            in_offset: 0,
            in_strides: vec![0, 1],
            out_offset: 0,
            out_strides: vec![inner as i64, 1],
        };
        all.push(strided_copy(&copy).unwrap());
        all.push(
            gather(
                &Gather {
                    outer: 2,
                    axis: 3,
                    inner,
                    indices: 2,
                },
                Format::F32,
            )
            .unwrap(),
        );
    }
    let transpose = StridedCopy {
        shape: vec![2, 4],
        in_offset: 0,
        in_strides: vec![1, 2],
        out_offset: 0,
        out_strides: vec![4, 1],
    };
    all.push(strided_copy(&transpose).unwrap());
    let around = Pad {
        shape: vec![3],
        begin: vec![1],
        end: vec![1],
        mode: PadMode::Edge,
    };
    all.extend([
        fill(5, 0).unwrap(),
        pad(&around).unwrap(),
        trilu(&Trilu {
            batch: 1,
            rows: 2,
            cols: 2,
            k: 0,
            upper: true,
        })
        .unwrap(),
        gather_elements(&[3], &[2], 0).unwrap(),
        gather_nd(&[3], &[2, 1], 0).unwrap(),
        scatter_elements(&[3], &[2], 0).unwrap(),
        scatter_nd(&[3], &[2, 1]).unwrap(),
    ]);
    for elem in [Elem::F32, Elem::I32, Elem::U32] {
        let g = TopK {
            elem,
            outer: 1,
            axis: 3,
            inner: 1,
            k: 2,
            largest: true,
        };
        all.push(top_k(&g).unwrap());
    }
    let g = Resample {
        outer: 1,
        input: 3,
        output: 2,
        inner: 1,
        taps: 4,
    };
    all.push(resample(&g).unwrap());
    for elem in [Elem::F32, Elem::I32] {
        for reduction in [
            Reduction::Add,
            Reduction::Mul,
            Reduction::Max,
            Reduction::Min,
        ] {
            all.push(scatter_elements_with(reduction, elem, &[3], &[2], 0).unwrap());
            all.push(scatter_nd_with(reduction, elem, &[3], &[2, 1]).unwrap());
        }
        all.push(range(elem, 3, 0, 1).unwrap());
        let g = CumSum {
            elem,
            outer: 1,
            axis: 3,
            inner: 1,
            exclusive: false,
            reverse: false,
        };
        all.push(cumsum(&g).unwrap());
    }
    for interpolation in [
        Interpolation::Linear,
        Interpolation::Nearest(NearestMode::Floor),
    ] {
        let g = Resize {
            planes: 1,
            input: [2, 2],
            output: [4, 4],
            scales: [2.0; 2],
            coordinates: CoordinateMode::Asymmetric,
            interpolation,
        };
        all.push(resize(&g).unwrap());
    }
    for op in [
        PoolOp::Max,
        PoolOp::Average {
            count_include_pad: false,
        },
        PoolOp::Average {
            count_include_pad: true,
        },
    ] {
        let g = Pool {
            op,
            planes: 1,
            input: [4, 4],
            output: [2, 2],
            kernel: [2; 2],
            strides: [2; 2],
            pads: [0; 4],
            dilations: [1; 2],
        };
        all.push(pool(&g).unwrap());
    }
}

fn every_launch() -> BTreeMap<String, Launch> {
    let mut all = Vec::new();
    elementwise(&mut all);
    products(&mut all);
    packed(&mut all);
    rows(&mut all);
    moves(&mut all);
    let mut by_key: BTreeMap<String, Launch> = BTreeMap::new();
    for launch in all {
        if let Some(known) = by_key.get(&launch.key) {
            assert_eq!(known.wgsl, launch.wgsl, "{} names two shaders", launch.key);
        }
        by_key.insert(launch.key.clone(), launch);
    }
    by_key
}

#[test]
fn every_shader_validates_and_fits_its_bindings() {
    let launches = every_launch();
    assert!(launches.len() > 300, "{}", launches.len());
    for (key, launch) in &launches {
        let module = naga::front::wgsl::parse_str(&launch.wgsl)
            .unwrap_or_else(|error| panic!("{key}: {}", error.emit_to_string(&launch.wgsl)));
        // Every Vulkan, Metal, DX12 and WebGPU device unpacks 16-bit floats.
        Validator::new(
            ValidationFlags::all(),
            Capabilities::SHADER_FLOAT16_IN_FLOAT32,
        )
        .validate(&module)
        .unwrap_or_else(|error| panic!("{key}: {}", error.emit_to_string(&launch.wgsl)));
        assert!(
            module.entry_points.iter().any(|e| e.name == "main"),
            "{key}"
        );
        let mut bindings = Vec::new();
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = variable.binding else {
                continue;
            };
            assert_eq!(binding.group, 0, "{key}");
            bindings.push(binding.binding);
            match variable.space {
                naga::AddressSpace::Uniform => {
                    assert_eq!(binding.binding, 0, "{key}");
                    let size = module.types[variable.ty].inner.size(module.to_ctx()) as usize;
                    let given = launch.params.len().next_multiple_of(4) * 4;
                    assert!(
                        size <= given,
                        "{key}: {size} bytes of parameters, {given} given"
                    );
                }
                naga::AddressSpace::Storage { access } => {
                    let writes = access.contains(naga::StorageAccess::STORE);
                    let last = binding.binding as usize == launch.bindings();
                    assert_eq!(writes, last, "{key}: only the last binding is written");
                }
                _ => {}
            }
        }
        bindings.sort_unstable();
        let expected: Vec<u32> = (0..=launch.bindings() as u32).collect();
        assert_eq!(bindings, expected, "{key}");
        assert!(
            launch.workgroups.iter().all(|&n| (1..=65_535).contains(&n)),
            "{key}"
        );
    }
}

#[test]
fn shaders_stay_within_core_wgsl() {
    for (key, launch) in every_launch() {
        for word in ["enable ", "requires ", "subgroup", "f16", "override "] {
            assert!(!launch.wgsl.contains(word), "{key} uses '{word}'");
        }
    }
}
