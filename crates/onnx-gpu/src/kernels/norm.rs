//! Layer, RMS, instance and group normalisation.

use super::workgroup::Rows;
use super::{Activation, AdapterClass, Launch, elements, fold, render, word, workgroup};
use crate::{Error, ErrorKind, Result};

/// Normalisation of rows: ONNX `LayerNormalization` and `RMSNormalization`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm {
    /// Product of the axes before `axis`.
    pub rows: usize,
    /// Product of the normalised axes.
    pub cols: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// A second input `[cols]`.
    pub scale: bool,
    /// A third input `[cols]`.
    pub bias: bool,
    /// Divide by the root mean square and keep the mean.
    pub rms: bool,
}

/// Inputs X, scale, bias (where announced); one output `[rows, cols]`. All `f32`.
pub fn layer_norm(geometry: &LayerNorm, class: AdapterClass) -> Result<Launch> {
    let g = geometry;
    elements(&[g.rows, g.cols])?;
    let rows = Rows::of(class, g.rows, g.cols);
    let [size, width, row] = rows.layout();
    let mut affine = String::new();
    if g.scale {
        affine += "        value *= in_scale[i];\n";
    }
    if g.bias {
        affine += "        value += in_bias[i];\n";
    }
    let mean = if g.rms {
        "    let mean = 0.0;\n".to_owned()
    } else {
        format!(
            "    var total = 0.0;
    for (var i = lane; i < params.cols; i += {width}u) {{
        total += in_x[start + i];
    }}
    let mean = fold_sum(lane, total) / count;
"
        )
    };
    let name = if g.rms { "rms_norm" } else { "layer_norm" };
    Ok(Launch {
        label: name,
        key: format!(
            "{name}-{}-{}{}",
            rows.key(class),
            u8::from(g.scale),
            u8::from(g.bias)
        ),
        wgsl: render(
            include_str!("norm/rows.wgsl"),
            &[
                ("bindings", &bindings(g.scale, g.bias)),
                ("fold_sum", &rows.fold(class, "fold_sum", "f32", "a + b")),
                ("mean", &mean),
                ("affine", &affine),
                ("size", &size),
                ("width", &width),
                ("row", &row),
            ],
        ),
        params: vec![word(g.rows)?, word(g.cols)?, g.epsilon.to_bits(), 0],
        workgroups: rows.groups(g.rows)?,
        turns: 3 * g.cols.div_ceil(rows.width()) + 2 * rows.width(),
        bindings: 2 + usize::from(g.scale) + usize::from(g.bias),
        flops: 0,
    })
}

fn bindings(scale: bool, bias: bool) -> String {
    let mut text = String::new();
    let mut next = 2;
    for (present, name) in [(scale, "scale"), (bias, "bias")] {
        if present {
            text +=
                &format!("@group(0) @binding({next}) var<storage, read> in_{name}: array<f32>;\n");
            next += 1;
        }
    }
    text + &format!("@group(0) @binding({next}) var<storage, read_write> out: array<f32>;")
}

/// Which axis the scale and bias of a group norm run along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NormAffine {
    /// No scale and bias inputs.
    None,
    /// `[channels]` each.
    Channel,
    /// `[groups]` each (`GroupNormalization` before opset 21; `InstanceNormalization` around reshapes).
    Group,
}

/// Normalisation of channel groups of `[batch, channels, spatial]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNorm {
    /// N.
    pub batch: usize,
    /// C, a multiple of `groups`.
    pub channels: usize,
    /// Product of the spatial axes.
    pub spatial: usize,
    /// Groups; `channels` for an instance norm.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// Second and third input.
    pub affine: NormAffine,
    /// Applied last.
    pub activation: Activation,
}

/// Inputs X and, unless [`NormAffine::None`], scale and bias; one output of X's shape. All `f32`.
pub fn group_norm(geometry: &GroupNorm, class: AdapterClass) -> Result<Launch> {
    let g = geometry;
    if g.groups == 0 || !g.channels.is_multiple_of(g.groups) {
        return Err(Error::new(
            ErrorKind::ShapeMismatch,
            format!("{} channels in {} groups", g.channels, g.groups),
        ));
    }
    elements(&[g.batch, g.channels, g.spatial])?;
    let channels = g.channels / g.groups;
    let count = elements(&[g.batch, g.groups])?;
    let width = workgroup::width(class, channels * g.spatial);
    let affine = match g.affine {
        NormAffine::None => String::new(),
        NormAffine::Channel => affine_at("group * params.channels + c"),
        NormAffine::Group => affine_at("group"),
    };
    let with_affine = g.affine != NormAffine::None;
    let [act_x, act_y] = g.activation.words();
    Ok(Launch {
        label: "group_norm",
        key: format!(
            "group_norm{width}-{class:?}-{:?}-{}",
            g.affine,
            g.activation.key()
        ),
        wgsl: render(
            include_str!("norm/groups.wgsl"),
            &[
                ("bindings", &bindings(with_affine, with_affine)),
                (
                    "fold_sum",
                    &workgroup::fold(class, width, "fold_sum", "f32", "a + b"),
                ),
                ("activation", &g.activation.wgsl()),
                ("affine", &affine),
                ("body", &apply(width)),
                ("stride", &(4 * width).to_string()),
                ("width", &width.to_string()),
            ],
        ),
        params: vec![
            act_x,
            act_y,
            word(g.groups)?,
            word(channels)?,
            word(g.spatial)?,
            g.epsilon.to_bits(),
            word(count)?,
            0,
        ],
        workgroups: fold(count)?,
        turns: 2 * (channels * g.spatial).div_ceil(width)
            + channels * (2 + g.spatial.div_ceil(4 * width))
            + 2 * width,
        bindings: 2 + 2 * usize::from(with_affine),
        flops: 0,
    })
}

fn affine_at(index: &str) -> String {
    format!(
        "        gain = scale * in_scale[{index}];
        shift = in_bias[{index}] - mean * gain;
"
    )
}

/// Four elements, `width` apart so that neighbours write neighbouring elements.
fn apply(width: usize) -> String {
    let [one, two, three] = [width, 2 * width, 3 * width];
    format!(
        "            let at = plane + vec4<u32>(i, i + {one}u, i + {two}u, i + {three}u);
            let x = vec4<f32>(in_x[at.x], in_x[at.y], in_x[at.z], in_x[at.w]);
            let y = activate(x * gain + shift, params.act);
            out[at.x] = y.x;
            if (i + {one}u < params.spatial) {{ out[at.y] = y.y; }}
            if (i + {two}u < params.spatial) {{ out[at.z] = y.z; }}
            if (i + {three}u < params.spatial) {{ out[at.w] = y.w; }}
"
    )
}

/// ONNX `InstanceNormalization`: inputs X `[n, c, spatial]`, scale `[c]`, bias `[c]`.
pub fn instance_norm(
    n: usize,
    c: usize,
    spatial: usize,
    epsilon: f32,
    class: AdapterClass,
) -> Result<Launch> {
    group_norm(
        &GroupNorm {
            batch: n,
            channels: c,
            spatial,
            groups: c,
            epsilon,
            affine: NormAffine::Channel,
            activation: Activation::None,
        },
        class,
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bindings_follow_the_inputs() {
        let mut geometry = LayerNorm {
            rows: 3,
            cols: 5,
            epsilon: 1e-5,
            scale: true,
            bias: false,
            rms: false,
        };
        let launch = layer_norm(&geometry, AdapterClass::Software).unwrap();
        assert_eq!(launch.bindings, 3);
        geometry.bias = true;
        let launch = layer_norm(&geometry, AdapterClass::Software).unwrap();
        assert_eq!(launch.bindings, 4);
    }

    #[test]
    fn channels_must_divide_into_groups() {
        let geometry = GroupNorm {
            batch: 1,
            channels: 10,
            spatial: 4,
            groups: 4,
            epsilon: 1e-5,
            affine: NormAffine::None,
            activation: Activation::None,
        };
        let error = group_norm(&geometry, AdapterClass::Hardware).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ShapeMismatch);
    }
}
