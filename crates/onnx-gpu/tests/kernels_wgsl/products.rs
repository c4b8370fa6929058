//! Products, convolutions and attention, on plain and on packed operands.

use onnx_gpu::kernels::attention::{Attention, attention};
use onnx_gpu::kernels::blocks::{ZeroPoints, pack};
use onnx_gpu::kernels::conv_transpose2d::{ConvTranspose2d, conv_transpose2d};
use onnx_gpu::kernels::conv2d::{Conv2d, Residual, conv2d};
use onnx_gpu::kernels::gather::{Gather, gather};
use onnx_gpu::kernels::matmul::{Bias, MatMul, Strides, matmul};
use onnx_gpu::kernels::operand::{Blocks, Scales, Zeros};
use onnx_gpu::kernels::unpack::unpack;
use onnx_gpu::kernels::{Activation, AdapterClass, Extent, Format, Launch, Tile, Tiles};
use onnx_gpu::weights::Packing;

use crate::{ACTIVATIONS, CLASSES};

fn convolution(out_channels: usize, kernel: usize) -> Conv2d {
    Conv2d {
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
        bias: true,
        residual: Residual::None,
        upsample: false,
        activation: Activation::None,
        weights: Format::F32,
    }
}

pub fn products(all: &mut Vec<Launch>) {
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
                        bias,
                        residual,
                        activation,
                        ..convolution(out_channels, kernel)
                    };
                    all.push(conv2d(&g, class).unwrap());
                }
            }
        }
    }
    for class in CLASSES {
        for depth in [8, 16, 40, 64, 160] {
            for (masked, guarded, softcap) in [
                (false, false, 0.0),
                (true, false, 0.0),
                (false, true, 0.0),
                (true, true, 0.0),
                (true, true, 30.0),
            ] {
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
                    softcap,
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

/// Every tile, whatever the extent.
fn tiles(all: &mut Vec<Launch>) {
    for tile in Tile::ALL {
        let table =
            Extent::ALL
                .into_iter()
                .fold(Tiles::from(AdapterClass::Hardware), |table, extent| {
                    table
                        .with_product(extent, tile)
                        .with_convolution(extent, tile)
                });
        for format in [Format::F32, Format::F16, Format::BF16] {
            let g = MatMul {
                b_format: format,
                residual: true,
                ..MatMul::new(9, 200, 7)
            };
            all.push(matmul(&g, table).unwrap());
            let g = Conv2d {
                weights: format,
                ..convolution(32, 3)
            };
            all.push(conv2d(&g, table).unwrap());
        }
    }
}

const PACKED: [Format; 5] = [
    Format::F16,
    Format::BF16,
    Format::Blocks(Blocks { bits: 4, size: 16 }),
    Format::Blocks(Blocks { bits: 4, size: 128 }),
    Format::Blocks(Blocks { bits: 8, size: 32 }),
];

pub fn packed(all: &mut Vec<Launch>) {
    tiles(all);
    for packing in [
        Packing::Words,
        Packing::F16,
        Packing::BF16,
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
    for (bits, size, scales, zeros) in [
        (4, 16, Scales::F32, Zeros::Middle),
        (4, 32, Scales::F16, Zeros::Packed),
        (8, 128, Scales::F16, Zeros::Packed),
        (2, 32, Scales::F32, Zeros::F32),
        (3, 16, Scales::F16, Zeros::Packed),
        (3, 64, Scales::F16, Zeros::F16),
    ] {
        let format = Format::Scaled(Blocks { bits, size }, scales, zeros);
        for (class, bias, residual) in CLASSES
            .into_iter()
            .flat_map(|class| [(class, false, false), (class, true, true)])
        {
            for m in [1, 9] {
                let mut g = MatMul::new(m, 5, 128);
                (g.b_format, g.trans_b, g.residual) = (format, true, residual);
                g.bias = bias.then_some(Bias {
                    batch_stride: 0,
                    row_stride: 0,
                    col_stride: 1,
                });
                all.push(matmul(&g, class).unwrap());
            }
        }
        assert!(gather(&rows, format).is_err());
        let mut g = MatMul::new(9, 5, 128);
        g.b_format = format;
        assert!(matmul(&g, AdapterClass::Hardware).is_err());
        (g.a_format, g.b_format) = (format, Format::F32);
        assert!(matmul(&g, AdapterClass::Hardware).is_err());
        let g = Conv2d {
            weights: format,
            ..convolution(32, 3)
        };
        assert!(conv2d(&g, AdapterClass::Hardware).is_err());
    }
    for class in CLASSES {
        for (kernel, residual) in [(1, Residual::Full), (3, Residual::Channel)] {
            let g = Conv2d {
                weights: Format::Channels,
                residual,
                ..convolution(32, kernel)
            };
            all.push(conv2d(&g, class).unwrap());
        }
        let mut g = MatMul::new(9, 5, 128);
        g.b_format = Format::Channels;
        assert!(matmul(&g, class).is_err());
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
                    weights: format,
                    ..convolution(32, kernel)
                };
                all.push(conv2d(&g, class).unwrap());
            }
        }
    }
}
