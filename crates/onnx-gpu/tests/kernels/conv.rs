use onnx_gpu::kernels::conv_transpose2d::{ConvTranspose2d, conv_transpose2d};
use onnx_gpu::kernels::conv2d::{Conv2d, Residual, conv2d};
use onnx_gpu::kernels::{Activation, Format};

use crate::harness::{assert_close, noise, run, tables};

fn reference(g: &Conv2d, x: &[f32], w: &[f32], bias: &[f32], residual: &[f32]) -> Vec<f64> {
    let [oh, ow] = g.output().unwrap();
    let (ig, og) = (g.in_channels / g.groups, g.out_channels / g.groups);
    let mut out = Vec::new();
    for n in 0..g.batch {
        for (m, &shift) in bias.iter().enumerate() {
            for oy in 0..oh {
                for ox in 0..ow {
                    let mut sum = if g.bias { f64::from(shift) } else { 0.0 };
                    for c in 0..ig {
                        let channel = n * g.in_channels + m / og * ig + c;
                        for ky in 0..g.kernel[0] {
                            for kx in 0..g.kernel[1] {
                                let y =
                                    (oy * g.strides[0] + ky * g.dilations[0]) as i64 - g.pads[0];
                                let x_at =
                                    (ox * g.strides[1] + kx * g.dilations[1]) as i64 - g.pads[1];
                                if y < 0 || x_at < 0 || y >= g.in_h as i64 || x_at >= g.in_w as i64
                                {
                                    continue;
                                }
                                let (y, x_at) = (y as usize, x_at as usize);
                                let xi = if g.upsample {
                                    (channel * (g.in_h / 2) + y / 2) * (g.in_w / 2) + x_at / 2
                                } else {
                                    (channel * g.in_h + y) * g.in_w + x_at
                                };
                                let wi = ((m * ig + c) * g.kernel[0] + ky) * g.kernel[1] + kx;
                                sum += f64::from(x[xi]) * f64::from(w[wi]);
                            }
                        }
                    }
                    sum += match g.residual {
                        Residual::None => 0.0,
                        Residual::Full => f64::from(residual[out.len()]),
                        Residual::Channel => f64::from(residual[n * g.out_channels + m]),
                    };
                    if g.activation == Activation::Silu {
                        sum /= 1.0 + (-sum).exp();
                    }
                    out.push(sum);
                }
            }
        }
    }
    out
}

pub fn check(g: Conv2d) {
    let [oh, ow] = g.output().unwrap();
    let x = noise(g.batch * g.in_channels * g.in_h * g.in_w, 1);
    let w = noise(
        g.out_channels * g.in_channels / g.groups * g.kernel[0] * g.kernel[1],
        2,
    );
    let bias = noise(g.out_channels, 3);
    let len = g.batch * g.out_channels * oh * ow;
    let residual = noise(len, 4);
    let expected = reference(&g, &x, &w, &bias, &residual);
    for class in tables() {
        let mut inputs = vec![&x[..], &w[..]];
        if g.bias {
            inputs.push(&bias);
        }
        if g.residual != Residual::None {
            inputs.push(&residual);
        }
        let got = run(conv2d(&g, class).unwrap(), &inputs, len);
        assert_close(&got, &expected, 2e-5, 1e-5, &format!("{class:?} {g:?}"));
    }
}

pub const BASE: Conv2d = Conv2d {
    batch: 2,
    in_channels: 3,
    in_h: 7,
    in_w: 11,
    out_channels: 5,
    kernel: [3, 3],
    strides: [1, 1],
    pads: [1, 1, 1, 1],
    dilations: [1, 1],
    groups: 1,
    bias: true,
    residual: Residual::None,
    upsample: false,
    activation: Activation::None,
    weights: Format::F32,
};

#[test]
fn kernels_strides_pads_dilations() {
    check(BASE);
    check(Conv2d {
        kernel: [1, 1],
        pads: [0; 4],
        ..BASE
    });
    check(Conv2d {
        kernel: [1, 1],
        pads: [0; 4],
        bias: false,
        activation: Activation::Silu,
        ..BASE
    });
    check(Conv2d {
        kernel: [1, 1],
        pads: [0; 4],
        strides: [2, 3],
        ..BASE
    });
    check(Conv2d {
        kernel: [1, 1],
        pads: [1, 0, 2, 3],
        ..BASE
    });
    check(Conv2d {
        strides: [2, 2],
        pads: [0, 0, 1, 1],
        ..BASE
    });
    check(Conv2d {
        kernel: [5, 2],
        pads: [2, 0, 2, 1],
        dilations: [1, 3],
        ..BASE
    });
    check(Conv2d {
        pads: [-1, -2, 0, -1],
        kernel: [2, 3],
        ..BASE
    });
    check(Conv2d {
        in_channels: 17,
        out_channels: 67,
        in_h: 9,
        in_w: 13,
        ..BASE
    });
    check(Conv2d {
        out_channels: 1,
        bias: false,
        ..BASE
    });
    check(Conv2d {
        in_h: 1,
        in_w: 129,
        kernel: [1, 7],
        pads: [0, 3, 0, 3],
        ..BASE
    });
    check(Conv2d {
        in_h: 16,
        in_w: 16,
        in_channels: 64,
        out_channels: 64,
        batch: 1,
        ..BASE
    });
}

#[test]
fn groups_and_depthwise() {
    check(Conv2d {
        in_channels: 6,
        out_channels: 9,
        groups: 3,
        ..BASE
    });
    check(Conv2d {
        in_channels: 6,
        out_channels: 6,
        groups: 6,
        strides: [2, 1],
        ..BASE
    });
    check(Conv2d {
        in_channels: 6,
        out_channels: 12,
        groups: 6,
        ..BASE
    });
    check(Conv2d {
        in_channels: 6,
        out_channels: 40,
        groups: 2,
        kernel: [1, 1],
        pads: [0; 4],
        ..BASE
    });
}

#[test]
fn upsampled_images_are_read_at_half_size() {
    for (in_h, in_w) in [(8, 12), (2, 2), (6, 14)] {
        check(Conv2d {
            in_h,
            in_w,
            upsample: true,
            ..BASE
        });
        check(Conv2d {
            in_h,
            in_w,
            in_channels: 4,
            out_channels: 6,
            groups: 2,
            strides: [2, 1],
            upsample: true,
            ..BASE
        });
    }
}

#[test]
fn residuals_per_channel() {
    for (out_channels, groups) in [(5, 1), (33, 3), (64, 1)] {
        check(Conv2d {
            out_channels,
            groups,
            residual: Residual::Channel,
            activation: Activation::Silu,
            ..BASE
        });
    }
    check(Conv2d {
        kernel: [1, 1],
        pads: [0; 4],
        residual: Residual::Channel,
        ..BASE
    });
}

#[test]
fn residual_and_activation() {
    check(Conv2d {
        residual: Residual::Full,
        activation: Activation::Silu,
        ..BASE
    });
    check(Conv2d {
        residual: Residual::Full,
        bias: false,
        out_channels: 33,
        ..BASE
    });
    check(Conv2d {
        residual: Residual::Full,
        kernel: [1, 1],
        pads: [0; 4],
        ..BASE
    });
}

fn transposed(g: &ConvTranspose2d, x: &[f32], w: &[f32], bias: &[f32]) -> Vec<f64> {
    let (ig, og) = (g.in_channels / g.groups, g.out_channels / g.groups);
    let mut out = vec![0.0; g.batch * g.out_channels * g.out_h * g.out_w];
    for (plane, pixels) in out.chunks_mut(g.out_h * g.out_w).enumerate() {
        pixels.fill(if g.bias {
            f64::from(bias[plane % g.out_channels])
        } else {
            0.0
        });
    }
    // The scatter form of the definition.
    for n in 0..g.batch {
        for c in 0..g.in_channels {
            for iy in 0..g.in_h {
                for ix in 0..g.in_w {
                    let value = f64::from(x[((n * g.in_channels + c) * g.in_h + iy) * g.in_w + ix]);
                    for o in 0..og {
                        for ky in 0..g.kernel[0] {
                            for kx in 0..g.kernel[1] {
                                let y =
                                    (iy * g.strides[0] + ky * g.dilations[0]) as i64 - g.pads[0];
                                let x_at =
                                    (ix * g.strides[1] + kx * g.dilations[1]) as i64 - g.pads[1];
                                if y < 0
                                    || x_at < 0
                                    || y >= g.out_h as i64
                                    || x_at >= g.out_w as i64
                                {
                                    continue;
                                }
                                let m = c / ig * og + o;
                                let at = ((n * g.out_channels + m) * g.out_h + y as usize)
                                    * g.out_w
                                    + x_at as usize;
                                let wi = ((c * og + o) * g.kernel[0] + ky) * g.kernel[1] + kx;
                                out[at] += value * f64::from(w[wi]);
                            }
                        }
                    }
                }
            }
        }
    }
    out
}

#[test]
fn transposed_convolutions() {
    let base = ConvTranspose2d {
        batch: 2,
        in_channels: 4,
        in_h: 3,
        in_w: 5,
        out_channels: 6,
        out_h: 6,
        out_w: 10,
        kernel: [4, 4],
        strides: [2, 2],
        pads: [1, 1],
        dilations: [1, 1],
        groups: 1,
        bias: true,
        activation: Activation::None,
    };
    for g in [
        base,
        ConvTranspose2d {
            groups: 2,
            bias: false,
            ..base
        },
        ConvTranspose2d {
            strides: [3, 1],
            kernel: [2, 3],
            pads: [0, 0],
            out_h: 9,
            out_w: 7,
            ..base
        },
        ConvTranspose2d {
            dilations: [2, 2],
            kernel: [3, 3],
            pads: [0, 2],
            out_h: 9,
            out_w: 9,
            ..base
        },
    ] {
        let x = noise(g.batch * g.in_channels * g.in_h * g.in_w, 5);
        let w = noise(
            g.in_channels * g.out_channels / g.groups * g.kernel[0] * g.kernel[1],
            6,
        );
        let bias = noise(g.out_channels, 7);
        let expected = transposed(&g, &x, &w, &bias);
        let mut inputs = vec![&x[..], &w[..]];
        if g.bias {
            inputs.push(&bias);
        }
        let got = run(conv_transpose2d(&g).unwrap(), &inputs, expected.len());
        assert_close(&got, &expected, 2e-5, 1e-5, &format!("{g:?}"));
    }
}
