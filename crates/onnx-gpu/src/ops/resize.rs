//! [`Resize`](https://onnx.ai/onnx/operators/onnx__Resize.html) and `Upsample` over the last two axes.
//!
//! Opset notes: `Upsample` (7, 9) and `Resize` 10 sample at `floor(i / scale)`; coordinate modes came with 11, `axes` with 18.

use crate::error::{Result, invalid_model, mismatch, unsupported};
use crate::kernels::resize::{
    CoordinateMode, Interpolation, NearestMode, Resize, resize as kernel,
};
use crate::lower::{Cx, Value, axes};
use crate::tensor::elements;

pub(super) fn resize(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    if !x.dtype().is_float() {
        return Err(unsupported(format!(
            "an input of {} is not supported",
            x.dtype()
        )));
    }
    let early = cx.node.op == "Upsample" || cx.opset() < 11;
    let (interpolation, coordinates) = sampling(cx, early)?;
    let which = match cx.attributes.opt_ints("axes")? {
        Some(list) => axes(list, x.rank())?,
        None => (0..x.rank()).collect(),
    };
    let (shape, scales) = target(cx, &x, &which, early)?;
    if early && scales.iter().any(|&s| s < 1.0) {
        return Err(unsupported("downsampling before opset 11"));
    }
    if shape == x.shape() && scales.iter().all(|&s| s == 1.0) {
        cx.set(0, x);
        return Ok(());
    }
    let rank = x.rank();
    let lead = rank.saturating_sub(2);
    if (0..lead).any(|i| shape[i] != x.shape()[i] || scales[i] != 1.0) {
        return Err(unsupported(format!(
            "a resize of {:?} to {shape:?}: only the last two axes may change",
            x.shape()
        )));
    }
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
    let out = cx.launch(|| kernel(&geometry), &[&x], &shape, x.dtype())?;
    cx.set(0, out);
    Ok(())
}

fn sampling(cx: &Cx<'_>, early: bool) -> Result<(Interpolation, CoordinateMode)> {
    let a = &cx.attributes;
    // These act on cubic interpolation and on cropping only, both refused below.
    a.ignore(&["cubic_coeff_a", "exclude_outside", "extrapolation_value"]);
    if a.flag("antialias", false)? {
        return Err(unsupported("attribute 'antialias' = 1 is not supported"));
    }
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
    let interpolation = match a.text("mode", "nearest")? {
        "nearest" => Interpolation::Nearest(nearest),
        "linear" | "bilinear" => Interpolation::Linear,
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
        other => {
            return Err(unsupported(format!(
                "attribute 'coordinate_transformation_mode' = \"{other}\" is not supported"
            )));
        }
    };
    Ok((interpolation, coordinates))
}

/// Output shape and scale per axis.
fn target(cx: &Cx<'_>, x: &Value, which: &[usize], early: bool) -> Result<(Vec<usize>, Vec<f32>)> {
    let (mut shape, mut scales) = (x.shape().to_vec(), vec![1.0f32; x.rank()]);
    let given = if early {
        match cx.attributes.opt_floats("scales")? {
            Some(list) => Some(list.to_vec()),
            None => cx.constant(1)?.map(|t| t.to_f32_vec()),
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
