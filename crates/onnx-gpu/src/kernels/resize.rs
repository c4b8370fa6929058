//! ONNX `Resize` over the two spatial axes of NCHW.

use super::{Launch, cover, elements, pad16, render, word};
use crate::{Error, ErrorKind, Result};

/// How an output coordinate maps to an input coordinate (`coordinate_transformation_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the ONNX values")]
pub enum CoordinateMode {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
}

/// How `nearest` rounds (`nearest_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the ONNX values")]
pub enum NearestMode {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
}

/// Interpolation (`mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// One input pixel.
    Nearest(NearestMode),
    /// Bilinear.
    Linear,
}

/// A resize of `planes` images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resize {
    /// N·C.
    pub planes: usize,
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
    /// Output over input, as given by `scales` or the ratio of the sizes.
    pub scales: [f32; 2],
    /// Coordinate map.
    pub coordinates: CoordinateMode,
    /// Interpolation.
    pub interpolation: Interpolation,
}

const NEAREST: &str =
    "    out[i] = in_x[base + pick(y, params.in_h) * params.in_w + pick(x, params.in_w)];\n";
/// Neighbours outside are the edge, as in ONNX.
const LINEAR: &str = "    let low = floor(vec2<f32>(y, x));
    let t = vec2<f32>(y, x) - low;
    let most = vec2<i32>(i32(params.in_h), i32(params.in_w)) - 1;
    let a = vec2<u32>(clamp(vec2<i32>(low), vec2<i32>(0), most));
    let b = vec2<u32>(clamp(vec2<i32>(low) + 1, vec2<i32>(0), most));
    let top = mix(in_x[base + a.x * params.in_w + a.y], in_x[base + a.x * params.in_w + b.y], t.y);
    let bottom = mix(in_x[base + b.x * params.in_w + a.y], in_x[base + b.x * params.in_w + b.y], t.y);
    out[i] = mix(top, bottom, t.x);
";

/// One `f32` input, one output.
pub fn resize(geometry: &Resize) -> Result<Launch> {
    let g = geometry;
    elements(&[g.planes, g.input[0], g.input[1]])?;
    let len = elements(&[g.planes, g.output[0], g.output[1]])?;
    if g.scales.iter().any(|s| !s.is_finite() || *s <= 0.0) || g.input.contains(&0) {
        return Err(Error::new(
            ErrorKind::ShapeMismatch,
            format!("resize of {:?} by {:?}", g.input, g.scales),
        ));
    }
    let coordinates = match g.coordinates {
        CoordinateMode::HalfPixel => 0,
        CoordinateMode::HalfPixelSymmetric => 1,
        CoordinateMode::PytorchHalfPixel => 2,
        CoordinateMode::AlignCorners => 3,
        CoordinateMode::Asymmetric => 4,
    };
    let (name, sample, nearest) = match g.interpolation {
        Interpolation::Nearest(mode) => (
            "nearest",
            NEAREST,
            match mode {
                NearestMode::RoundPreferFloor => 0,
                NearestMode::RoundPreferCeil => 1,
                NearestMode::Floor => 2,
                NearestMode::Ceil => 3,
            },
        ),
        Interpolation::Linear => ("linear", LINEAR, 0),
    };
    let mut params = vec![g.scales[0].to_bits(), g.scales[1].to_bits()];
    for size in [g.input[0], g.input[1], g.output[0], g.output[1], len] {
        params.push(word(size)?);
    }
    params.extend([coordinates, nearest]);
    Ok(Launch {
        label: "resize",
        key: format!("resize-{name}"),
        wgsl: render(include_str!("resize/resize.wgsl"), &[("sample", sample)]),
        params: pad16(params),
        workgroups: cover(len)?,
        turns: 0,
        bindings: 2,
        flops: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_of_zero_is_refused() {
        let geometry = Resize {
            planes: 1,
            input: [2, 2],
            output: [0, 4],
            scales: [0.0, 2.0],
            coordinates: CoordinateMode::HalfPixel,
            interpolation: Interpolation::Linear,
        };
        assert!(resize(&geometry).is_err());
    }
}
