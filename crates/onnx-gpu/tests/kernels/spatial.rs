use onnx_gpu::kernels::pool::{Pool, PoolOp, pool};
use onnx_gpu::kernels::resize::{CoordinateMode, Interpolation, NearestMode, Resize, resize};

use crate::harness::{assert_close, noise, run};

/// The coordinate formulas of the ONNX specification of Resize.
fn source(at: usize, scale: f64, input: usize, output: usize, mode: CoordinateMode) -> f64 {
    let (x, input_size, output_size) = (at as f64, input as f64, output as f64);
    match mode {
        CoordinateMode::HalfPixel => (x + 0.5) / scale - 0.5,
        CoordinateMode::HalfPixelSymmetric => {
            let adjustment = output_size / (scale * input_size);
            let center = input_size / 2.0;
            center * (1.0 - adjustment) + (x + 0.5) / scale - 0.5
        }
        CoordinateMode::PytorchHalfPixel if output > 1 => (x + 0.5) / scale - 0.5,
        CoordinateMode::AlignCorners if output > 1 => x * (input_size - 1.0) / (output_size - 1.0),
        CoordinateMode::PytorchHalfPixel | CoordinateMode::AlignCorners => 0.0,
        CoordinateMode::Asymmetric => x / scale,
    }
}

fn nearest(x: f64, size: usize, mode: NearestMode) -> usize {
    let r = match mode {
        NearestMode::RoundPreferFloor => (x - 0.5).ceil(),
        NearestMode::RoundPreferCeil => (x + 0.5).floor(),
        NearestMode::Floor => x.floor(),
        NearestMode::Ceil => x.ceil(),
    };
    (r.max(0.0) as usize).min(size - 1)
}

fn reference(g: &Resize, x: &[f32]) -> Vec<f64> {
    let [ih, iw] = g.input;
    let [oh, ow] = g.output;
    let mut out = Vec::new();
    for plane in 0..g.planes {
        let at = |y: usize, x_at: usize| f64::from(x[(plane * ih + y) * iw + x_at]);
        for oy in 0..oh {
            for ox in 0..ow {
                let y = source(oy, f64::from(g.scales[0]), ih, oh, g.coordinates);
                let xx = source(ox, f64::from(g.scales[1]), iw, ow, g.coordinates);
                out.push(match g.interpolation {
                    Interpolation::Nearest(mode) => at(nearest(y, ih, mode), nearest(xx, iw, mode)),
                    Interpolation::Linear => {
                        let clamp = |v: f64, size: usize| v.clamp(0.0, size as f64 - 1.0) as usize;
                        let (y0, x0) = (y.floor(), xx.floor());
                        let (ty, tx) = (y - y0, xx - x0);
                        let line = |row: f64| {
                            let row = clamp(row, ih);
                            at(row, clamp(x0, iw)) * (1.0 - tx) + at(row, clamp(x0 + 1.0, iw)) * tx
                        };
                        line(y0) * (1.0 - ty) + line(y0 + 1.0) * ty
                    }
                });
            }
        }
    }
    out
}

#[test]
fn resizes_in_every_mode() {
    let coordinates = [
        CoordinateMode::HalfPixel,
        CoordinateMode::HalfPixelSymmetric,
        CoordinateMode::PytorchHalfPixel,
        CoordinateMode::AlignCorners,
        CoordinateMode::Asymmetric,
    ];
    let interpolations = [
        Interpolation::Nearest(NearestMode::RoundPreferFloor),
        Interpolation::Nearest(NearestMode::RoundPreferCeil),
        Interpolation::Nearest(NearestMode::Floor),
        Interpolation::Nearest(NearestMode::Ceil),
        Interpolation::Linear,
    ];
    // Scales that are powers of two keep coordinates exact, so that no rounding tie depends on the last bit.
    let sizes = [
        ([4, 6], [8, 12], [2.0, 2.0]),
        ([4, 8], [2, 2], [0.5, 0.25]),
        ([3, 5], [12, 1], [4.0, 0.25]),
        ([1, 1], [4, 2], [4.0, 2.0]),
    ];
    for coordinates in coordinates {
        for interpolation in interpolations {
            for (input, output, scales) in sizes {
                let g = Resize {
                    planes: 3,
                    input,
                    output,
                    scales,
                    coordinates,
                    interpolation,
                };
                if coordinates == CoordinateMode::AlignCorners
                    && matches!(interpolation, Interpolation::Nearest(_))
                {
                    // Its coordinates are thirds and fifths: only sizes without ties.
                    if input != [4, 6] && input != [1, 1] {
                        continue;
                    }
                }
                let x = noise(3 * input[0] * input[1], 8);
                let expected = reference(&g, &x);
                let got = run(resize(&g).unwrap(), &[&x], expected.len());
                assert_close(&got, &expected, 1e-5, 1e-5, &format!("{g:?}"));
            }
        }
    }
}

#[test]
fn linear_resize_by_an_odd_factor() {
    let g = Resize {
        planes: 2,
        input: [5, 7],
        output: [8, 11],
        scales: [8.0 / 5.0, 11.0 / 7.0],
        coordinates: CoordinateMode::HalfPixel,
        interpolation: Interpolation::Linear,
    };
    let x = noise(70, 3);
    let expected = reference(&g, &x);
    assert_close(
        &run(resize(&g).unwrap(), &[&x], expected.len()),
        &expected,
        1e-5,
        1e-5,
        "linear",
    );
}

fn pool_reference(g: &Pool, x: &[f32]) -> Vec<f64> {
    let mut out = Vec::new();
    for plane in 0..g.planes {
        for oy in 0..g.output[0] {
            for ox in 0..g.output[1] {
                let (mut values, mut padded) = (Vec::new(), 0);
                for ky in 0..g.kernel[0] {
                    for kx in 0..g.kernel[1] {
                        let y = (oy * g.strides[0] + ky * g.dilations[0]) as i64 - g.pads[0] as i64;
                        let xx =
                            (ox * g.strides[1] + kx * g.dilations[1]) as i64 - g.pads[1] as i64;
                        let (h, w) = (g.input[0] as i64, g.input[1] as i64);
                        if (0..h).contains(&y) && (0..w).contains(&xx) {
                            values.push(f64::from(x[((plane as i64 * h + y) * w + xx) as usize]));
                        }
                        if y < h + g.pads[2] as i64 && xx < w + g.pads[3] as i64 {
                            padded += 1;
                        }
                    }
                }
                let sum: f64 = values.iter().sum();
                out.push(match g.op {
                    PoolOp::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                    PoolOp::Average {
                        count_include_pad: false,
                    } => sum / values.len() as f64,
                    PoolOp::Average {
                        count_include_pad: true,
                    } => sum / f64::from(padded),
                });
            }
        }
    }
    out
}

#[test]
fn pools() {
    let base = Pool {
        op: PoolOp::Max,
        planes: 3,
        input: [7, 9],
        output: [4, 5],
        kernel: [3, 3],
        strides: [2, 2],
        pads: [1, 1, 1, 1],
        dilations: [1, 1],
    };
    for op in [
        PoolOp::Max,
        PoolOp::Average {
            count_include_pad: false,
        },
        PoolOp::Average {
            count_include_pad: true,
        },
    ] {
        for g in [
            Pool { op, ..base },
            Pool {
                op,
                kernel: [2, 3],
                strides: [1, 2],
                pads: [0, 1, 1, 0],
                output: [7, 4],
                ..base
            },
            // ceil_mode: the last windows hang over the padded edge.
            Pool {
                op,
                kernel: [2, 2],
                strides: [2, 2],
                pads: [0; 4],
                output: [4, 5],
                ..base
            },
            Pool {
                op,
                kernel: [2, 2],
                dilations: [2, 3],
                strides: [1, 1],
                pads: [0; 4],
                output: [5, 6],
                ..base
            },
        ] {
            let x = noise(3 * 63, 6);
            let expected = pool_reference(&g, &x);
            assert_close(
                &run(pool(&g).unwrap(), &[&x], expected.len()),
                &expected,
                1e-6,
                1e-6,
                &format!("{g:?}"),
            );
        }
    }
}
