//! Interpolation along one axis as taps: which input entries an output entry mixes, and with what weights.

use crate::error::{Error, ErrorKind, Result, unsupported};
use crate::kernels::resize::{CoordinateMode, NearestMode};

/// Most weights of an axis: a million entries of a cubic. Each takes some tens of bytes for a while.
const MAX_WEIGHTS: usize = 1 << 22;

/// How the weights follow from the distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Curve {
    Nearest(NearestMode),
    Linear,
    /// Keys' cubic with this coefficient.
    Cubic(f64),
}

/// One axis of a resize.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub input: usize,
    pub output: usize,
    pub scale: f64,
    pub curve: Curve,
    pub coordinates: CoordinateMode,
    /// Widen the curve when the image shrinks.
    pub antialias: bool,
    /// Entries outside get no weight; else the edge is repeated.
    pub exclude_outside: bool,
    /// Start and end of the region (as shares of the axis) that the output shows, and what lies outside of the image.
    pub crop: Option<(f64, f64, f32)>,
}

/// Rows of equal length: weights, and input entries, -1 standing for the number 1.
pub(super) struct Taps {
    pub count: usize,
    pub weights: Vec<f32>,
    pub indices: Vec<i32>,
}

impl Axis {
    /// Input coordinate of an output entry.
    fn source(&self, at: usize) -> f64 {
        let (x, input, output) = (at as f64, self.input as f64, self.output as f64);
        if let Some((start, end, _)) = self.crop {
            let span = (end - start) * (input - 1.0);
            let inside = if self.output > 1 {
                x * span / (output - 1.0)
            } else {
                span / 2.0
            };
            return start * (input - 1.0) + inside;
        }
        let half = (x + 0.5) / self.scale - 0.5;
        match self.coordinates {
            CoordinateMode::HalfPixel => half,
            CoordinateMode::HalfPixelSymmetric => {
                let adjustment = output / (self.scale * input);
                input / 2.0 * (1.0 - adjustment) + half
            }
            CoordinateMode::PytorchHalfPixel if self.output > 1 => half,
            CoordinateMode::AlignCorners if self.output > 1 => x * (input - 1.0) / (output - 1.0),
            CoordinateMode::PytorchHalfPixel | CoordinateMode::AlignCorners => 0.0,
            CoordinateMode::Asymmetric => x / self.scale,
        }
    }

    /// Weights of the entries `first..first + len` relative to the one left of the coordinate, `ratio` in (0, 1] away from it.
    fn weights(&self, ratio: f64) -> (i64, Vec<f64>) {
        // The curves are one and two entries wide on each side.
        let (reach, curve): (f64, fn(f64, f64) -> f64) = match self.curve {
            Curve::Nearest(_) | Curve::Linear => (1.0, |d, _| (1.0 - d).max(0.0)),
            Curve::Cubic(_) => (2.0, cubic),
        };
        let a = match self.curve {
            Curve::Cubic(a) => a,
            _ => 0.0,
        };
        let shrink = if self.antialias {
            self.scale.min(1.0)
        } else {
            1.0
        };
        let first = (-reach / shrink).floor() as i64 + 1;
        let mut weights: Vec<f64> = (first..2 - first)
            .map(|i| curve(((i as f64 - ratio) * shrink).abs(), a))
            .collect();
        if self.antialias {
            normalise(&mut weights);
        }
        (first, weights)
    }

    fn nearest(&self, x: f64, mode: NearestMode) -> i64 {
        let r = match mode {
            NearestMode::RoundPreferFloor => (x - 0.5).ceil(),
            NearestMode::RoundPreferCeil => (x + 0.5).floor(),
            NearestMode::Floor => x.floor(),
            NearestMode::Ceil => x.ceil(),
        };
        r as i64
    }

    /// The taps of every output entry.
    pub fn taps(&self) -> Result<Taps> {
        let shrink = if self.antialias {
            self.scale.min(1.0)
        } else {
            1.0
        };
        let count = self.output as f64 * 4.0 / shrink;
        if !(0.0..=MAX_WEIGHTS as f64).contains(&count) {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("an axis resized to {} takes {count} weights", self.output),
            ));
        }
        let last = self.input as i64 - 1;
        let mut rows: Vec<Vec<(f32, i32)>> = Vec::with_capacity(self.output);
        for at in 0..self.output {
            let x = self.source(at);
            if let Some((_, _, outside)) = self.crop
                && !(0.0..=last as f64).contains(&x)
            {
                rows.push(vec![(outside, -1)]);
                continue;
            }
            if let Curve::Nearest(mode) = self.curve {
                rows.push(vec![(1.0, self.nearest(x, mode).clamp(0, last) as i32)]);
                continue;
            }
            let base = x.ceil() - 1.0;
            let (first, mut weights) = self.weights(x - base);
            let place = |t: usize| base as i64 + first + t as i64;
            if self.exclude_outside {
                for (t, weight) in weights.iter_mut().enumerate() {
                    if !(0..=last).contains(&place(t)) {
                        *weight = 0.0;
                    }
                }
                normalise(&mut weights);
            }
            let row = weights.iter().enumerate();
            rows.push(
                row.map(|(t, &w)| (w as f32, place(t).clamp(0, last) as i32))
                    .collect(),
            );
        }
        let count = rows.iter().map(Vec::len).max().unwrap_or(1);
        if count > 1 << 16 {
            return Err(unsupported(format!(
                "an antialiased resize that mixes {count} entries is not supported"
            )));
        }
        for row in &mut rows {
            row.resize(count, (0.0, 0));
        }
        let (weights, indices) = rows.into_iter().flatten().unzip();
        Ok(Taps {
            count,
            weights,
            indices,
        })
    }
}

fn normalise(weights: &mut [f64]) {
    let sum: f64 = weights.iter().sum();
    if sum != 0.0 {
        weights.iter_mut().for_each(|w| *w /= sum);
    }
}

/// Keys' cubic convolution at distance `d`.
fn cubic(d: f64, a: f64) -> f64 {
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn axis(input: usize, output: usize, curve: Curve) -> Axis {
        Axis {
            input,
            output,
            scale: output as f64 / input as f64,
            curve,
            coordinates: CoordinateMode::HalfPixel,
            antialias: false,
            exclude_outside: false,
            crop: None,
        }
    }

    #[test]
    fn weights_add_up_to_one() {
        for curve in [Curve::Linear, Curve::Cubic(-0.75), Curve::Cubic(-0.5)] {
            for (input, output) in [(4, 8), (9, 4), (3, 7), (5, 1)] {
                for antialias in [false, true] {
                    for exclude_outside in [false, true] {
                        let taps = Axis {
                            antialias,
                            exclude_outside,
                            ..axis(input, output, curve)
                        }
                        .taps()
                        .unwrap();
                        for row in taps.weights.chunks(taps.count) {
                            let sum: f32 = row.iter().sum();
                            assert!((sum - 1.0).abs() < 1e-6, "{row:?}");
                        }
                    }
                }
            }
        }
    }

    // Keys (1981), a = -0.75, at distances 1.25, 0.25, 0.75, 1.75.
    #[test]
    fn cubic_weights_follow_the_distance() {
        let taps = axis(8, 16, Curve::Cubic(-0.75)).taps().unwrap();
        let row = &taps.weights[5 * 4..6 * 4];
        for (got, wanted) in row
            .iter()
            .zip([-0.10546875, 0.87890625, 0.26171875, -0.03515625])
        {
            assert!((got - wanted).abs() < 1e-7, "{row:?}");
        }
        assert_eq!(&taps.indices[5 * 4..6 * 4], &[1, 2, 3, 4]);
    }
}
