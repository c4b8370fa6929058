//! [`Resize`](https://onnx.ai/onnx/operators/onnx__Resize.html) and `Upsample`: nearest and linear over the last two axes by one
//! kernel, everything else axis by axis through a table of taps.
//!
//! Opset notes: `Upsample` (7, 9) and `Resize` 10 sample at `floor(i / scale)`; coordinate modes came with 11, `axes` with 18.

mod taps;

use super::gather::gather_value;
use crate::context::Cx;
use crate::error::{Result, invalid_model, mismatch, unsupported};
use crate::graph::Pass;
use crate::kernels::resample::{Resample, resample};
use crate::kernels::resize::{
    CoordinateMode, Interpolation, NearestMode, Resize, resize as kernel,
};
use crate::kernels::row_major;
use crate::kernels::strided_copy::StridedCopy;
use crate::program::Value;
use crate::tensor::{Tensor, elements};
use crate::tensor::{axes, split_at_axis};
use taps::{Axis, Curve};

pub(super) fn resize(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let early = cx.node.op == "Upsample" || cx.opset() < 11;
    let sampling = sampling(cx, early)?;
    let which = match cx.attributes.opt_ints("axes")? {
        Some(list) => axes(list, x.rank())?,
        None => (0..x.rank()).collect(),
    };
    let (shape, scales) = target(cx, &x, &which, early)?;
    if early && scales.iter().any(|&s| s < 1.0) {
        return Err(unsupported("downsampling before opset 11"));
    }
    let crops = match (sampling.crop, cx.constant(1)?) {
        (None, _) => vec![None; x.rank()],
        (Some(outside), Some(roi)) if roi.len() == 2 * which.len() => {
            let roi = roi.to_f32_vec();
            let mut crops = vec![Some((0.0, 1.0, outside)); x.rank()];
            for (i, &axis) in which.iter().enumerate() {
                let ends = [roi[i], roi[which.len() + i]].map(f64::from);
                crops[axis] = Some((ends[0], ends[1], outside));
            }
            crops
        }
        _ => return Err(mismatch("the region of interest does not fit the axes")),
    };
    let still = |i: usize| {
        let whole = crops[i].is_none_or(|(a, b, _)| (a, b) == (0.0, 1.0));
        whole && shape[i] == x.shape()[i] && scales[i] == 1.0
    };
    if (0..x.rank()).all(still) {
        cx.set(0, x);
        return Ok(());
    }
    let lead = x.rank().saturating_sub(2);
    let nearest = matches!(sampling.curve, Curve::Nearest(_));
    let simple = x.dtype().is_float() && (0..lead).all(still) && sampling.crop.is_none();
    let interpolation = match sampling.curve {
        Curve::Nearest(mode) if simple => Interpolation::Nearest(mode),
        Curve::Linear if simple && !sampling.antialias => Interpolation::Linear,
        _ => {
            if !(x.dtype().is_float() || nearest && sampling.crop.is_none()) {
                return Err(unsupported(format!(
                    "an interpolation of {} is not supported",
                    x.dtype()
                )));
            }
            let mut out = x.clone();
            for i in (0..x.rank()).filter(|&i| !still(i)) {
                let axis = Axis {
                    input: x.shape()[i],
                    output: shape[i],
                    scale: f64::from(scales[i]),
                    curve: sampling.curve,
                    coordinates: sampling.coordinates,
                    antialias: sampling.antialias,
                    exclude_outside: sampling.exclude_outside,
                    crop: crops[i],
                };
                out = along(cx, &out, i, &axis)?;
            }
            cx.set(0, out);
            return Ok(());
        }
    };
    let coordinates = sampling.coordinates;
    let two = |s: &[usize]| match s[lead..] {
        [h, w] => [h, w],
        [w] => [1, w],
        _ => [1, 1],
    };
    let geometry = Resize {
        planes: elements(&shape[..lead])?,
        input: two(x.shape()),
        output: two(&shape),
        scales: match scales[lead..] {
            [h, w] => [h, w],
            [w] => [1.0, w],
            _ => [1.0, 1.0],
        },
        coordinates,
        interpolation,
    };
    if doubles(&geometry) && cx.has(Pass::Upsample) && cx.has(Pass::Views) {
        let ([h, w], planes) = (geometry.input, geometry.planes);
        let space = vec![planes, h, 2, w, 2];
        let copy = StridedCopy {
            in_offset: 0,
            in_strides: [h * w, w, 0, 1, 0].map(|step| step as i64).to_vec(),
            out_offset: 0,
            out_strides: row_major(&space),
            shape: space,
        };
        let out = cx.copies(&shape, x.dtype(), &[(&x, copy)])?;
        cx.set(0, out);
        return Ok(());
    }
    let out = cx.launch(|| kernel(&geometry), &[&x], &shape, x.dtype())?;
    cx.set(0, out);
    Ok(())
}

/// Whether every element becomes a block of 2×2.
fn doubles(g: &Resize) -> bool {
    let nearest = matches!(
        (g.interpolation, g.coordinates),
        (
            Interpolation::Nearest(NearestMode::Floor),
            CoordinateMode::Asymmetric
        ) | (
            Interpolation::Nearest(NearestMode::RoundPreferFloor | NearestMode::RoundPreferCeil),
            CoordinateMode::HalfPixel | CoordinateMode::PytorchHalfPixel
        )
    );
    nearest
        && g.scales == [2.0, 2.0]
        && g.output == g.input.map(|d| 2 * d)
        && g.input.iter().all(|&d| d > 0)
}

/// Resizes one axis.
fn along(cx: &mut Cx<'_>, x: &Value, at: usize, axis: &Axis) -> Result<Value> {
    let taps = axis.taps()?;
    let mut shape = x.shape().to_vec();
    shape[at] = axis.output;
    if elements(&shape)? == 0 {
        return cx.copies(&shape, x.dtype(), &[]);
    }
    if axis.input == 0 {
        return Err(mismatch(format!("{:?} has nothing to resize", x.shape())));
    }
    if taps.count == 1 && axis.crop.is_none() {
        let indices = Tensor::i32([axis.output], taps.indices)?;
        return gather_value(cx, x, &Value::Const(indices), at);
    }
    let (outer, input, inner) = split_at_axis(x.shape(), at);
    let table = [axis.output, taps.count];
    let weights = Value::Const(Tensor::f32(table, taps.weights)?);
    let indices = Value::Const(Tensor::i32(table, taps.indices)?);
    let geometry = Resample {
        outer,
        input,
        output: axis.output,
        inner,
        taps: taps.count,
    };
    let inputs = [x, &weights, &indices];
    cx.launch(|| resample(&geometry), &inputs, &shape, x.dtype())
}

/// What the attributes say about interpolation.
struct Sampling {
    curve: Curve,
    coordinates: CoordinateMode,
    antialias: bool,
    exclude_outside: bool,
    /// Whether a region is shown, with this value outside of the image.
    crop: Option<f32>,
}

fn sampling(cx: &Cx<'_>, early: bool) -> Result<Sampling> {
    let a = &cx.attributes;
    let antialias = a.flag("antialias", false)?;
    let exclude_outside = a.flag("exclude_outside", false)?;
    let cubic = a.float("cubic_coeff_a", -0.75)?;
    let outside = a.float("extrapolation_value", 0.0)?;
    let mut crop = None;
    let nearest = match a.text("nearest_mode", "round_prefer_floor")? {
        _ if early => NearestMode::Floor,
        "round_prefer_floor" => NearestMode::RoundPreferFloor,
        "round_prefer_ceil" => NearestMode::RoundPreferCeil,
        "floor" => NearestMode::Floor,
        "ceil" => NearestMode::Ceil,
        other => {
            return Err(unsupported(format!(
                "attribute 'nearest_mode' = \"{other}\" is not supported"
            )));
        }
    };
    let curve = match a.text("mode", "nearest")? {
        "nearest" => Curve::Nearest(nearest),
        "linear" | "bilinear" => Curve::Linear,
        "cubic" => Curve::Cubic(f64::from(cubic)),
        other => {
            return Err(unsupported(format!(
                "attribute 'mode' = \"{other}\" is not supported"
            )));
        }
    };
    let coordinates = match a.text("coordinate_transformation_mode", "half_pixel")? {
        _ if early => CoordinateMode::Asymmetric,
        "half_pixel" => CoordinateMode::HalfPixel,
        "half_pixel_symmetric" => CoordinateMode::HalfPixelSymmetric,
        "pytorch_half_pixel" => CoordinateMode::PytorchHalfPixel,
        "align_corners" => CoordinateMode::AlignCorners,
        "asymmetric" => CoordinateMode::Asymmetric,
        "tf_crop_and_resize" => {
            crop = Some(outside);
            CoordinateMode::AlignCorners
        }
        other => {
            return Err(unsupported(format!(
                "attribute 'coordinate_transformation_mode' = \"{other}\" is not supported"
            )));
        }
    };
    Ok(Sampling {
        curve,
        coordinates,
        antialias,
        exclude_outside,
        crop,
    })
}

/// Output shape and scale per axis.
fn target(cx: &Cx<'_>, x: &Value, which: &[usize], early: bool) -> Result<(Vec<usize>, Vec<f32>)> {
    let (mut shape, mut scales) = (x.shape().to_vec(), vec![1.0f32; x.rank()]);
    let given = if early {
        if cx.before(9) {
            cx.attributes.opt_floats("scales")?.map(<[f32]>::to_vec)
        } else {
            cx.constant(1)?.map(|t| t.to_f32_vec())
        }
    } else {
        cx.constant(2)?.map(|t| t.to_f32_vec())
    };
    let policy = cx.attributes.text("keep_aspect_ratio_policy", "stretch")?;
    let sizes = if early { None } else { cx.constant(3)? };
    match (given.filter(|s| !s.is_empty()), sizes) {
        (Some(list), _) if list.len() == which.len() => {
            for (&axis, &scale) in which.iter().zip(&list) {
                let length = (x.shape()[axis] as f64 * f64::from(scale)).floor();
                if !(scale > 0.0 && length <= f64::from(1 << 24)) {
                    return Err(invalid_model(format!("scales {list:?}")));
                }
                shape[axis] = length as usize;
                scales[axis] = scale;
            }
        }
        (None, Some(sizes)) if sizes.len() == which.len() => {
            let sizes = sizes
                .to_i64_vec()?
                .into_iter()
                .map(usize::try_from)
                .collect::<std::result::Result<Vec<_>, _>>()
                .map_err(|_| invalid_model("a negative size"))?;
            let ratios = which
                .iter()
                .zip(&sizes)
                .map(|(&axis, &size)| size as f32 / x.shape()[axis] as f32);
            let common = match policy {
                "stretch" => None,
                "not_larger" => Some(ratios.clone().fold(f32::INFINITY, f32::min)),
                "not_smaller" => Some(ratios.clone().fold(0.0, f32::max)),
                other => {
                    return Err(unsupported(format!(
                        "attribute 'keep_aspect_ratio_policy' = \"{other}\" is not supported"
                    )));
                }
            };
            for ((&axis, &size), ratio) in which.iter().zip(&sizes).zip(ratios) {
                scales[axis] = common.unwrap_or(ratio);
                shape[axis] = match common {
                    Some(scale) => (x.shape()[axis] as f32 * scale + 0.5).floor() as usize,
                    None => size,
                };
            }
        }
        _ => return Err(mismatch("neither scales nor sizes fit the axes")),
    }
    Ok((shape, scales))
}
