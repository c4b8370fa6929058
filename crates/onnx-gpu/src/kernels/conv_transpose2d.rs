//! 2-D transposed convolution, NCHW.

use super::{Activation, Launch, elements, groups_in, pad16, render, signed, window_turns, word};
use crate::{Error, ErrorKind, Result};

/// ONNX `ConvTranspose` with two spatial axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvTranspose2d {
    /// N.
    pub batch: usize,
    /// C, a multiple of `groups`.
    pub in_channels: usize,
    /// Input height.
    pub in_h: usize,
    /// Input width.
    pub in_w: usize,
    /// M, a multiple of `groups`.
    pub out_channels: usize,
    /// Output height, as resolved from pads, output padding or `output_shape`.
    pub out_h: usize,
    /// Output width.
    pub out_w: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub strides: [usize; 2],
    /// Top and left padding.
    pub pads: [i64; 2],
    /// Vertical and horizontal dilation.
    pub dilations: [usize; 2],
    /// Groups.
    pub groups: usize,
    /// A third input `[out_channels]`.
    pub bias: bool,
    /// Applied last.
    pub activation: Activation,
}

const BIAS: &str =
    "    value += in_bias[(image % params.groups) * params.out_channels + channel];\n";

/// Rows of sums that one invocation keeps.
fn rows_per_invocation(rows: usize) -> usize {
    match rows {
        0..=1 => 1,
        2..=8 => 4,
        _ => 16,
    }
}

/// Inputs X `[N, C, H, W]`, W `[C, M/groups, kH, kW]`, bias; output `[N, M, oH, oW]`. All `f32`.
pub fn conv_transpose2d(geometry: &ConvTranspose2d) -> Result<Launch> {
    let g = geometry;
    if g.groups == 0
        || !g.in_channels.is_multiple_of(g.groups)
        || !g.out_channels.is_multiple_of(g.groups)
        || g.strides.contains(&0)
    {
        return Err(Error::new(
            ErrorKind::ShapeMismatch,
            format!(
                "{} input and {} output channels in {} groups, strides {:?}",
                g.in_channels, g.out_channels, g.groups, g.strides
            ),
        ));
    }
    elements(&[g.batch, g.in_channels, g.in_h, g.in_w])?;
    elements(&[g.batch, g.out_channels, g.out_h, g.out_w])?;
    let out_group = g.out_channels / g.groups;
    elements(&[g.in_channels, out_group, g.kernel[0], g.kernel[1]])?;
    let rows = rows_per_invocation(out_group);
    let mut params = g.activation.words().to_vec();
    for size in [
        g.in_channels / g.groups,
        out_group,
        g.in_h,
        g.in_w,
        g.out_h,
        g.out_w,
        g.kernel[0],
        g.kernel[1],
        g.strides[0],
        g.strides[1],
        g.dilations[0],
        g.dilations[1],
    ] {
        params.push(word(size)?);
    }
    params.extend([signed(g.pads[0])?, signed(g.pads[1])?, word(g.groups)?]);
    Ok(Launch {
        label: "conv_transpose2d",
        key: format!(
            "conv_transpose2d{rows}-{}-{}",
            if g.bias { "bias" } else { "plain" },
            g.activation.key()
        ),
        wgsl: shader(g, rows),
        params: pad16(params),
        workgroups: [
            groups_in("x (pixels)", (g.out_h * g.out_w).div_ceil(64))?,
            groups_in("y (channels)", out_group.div_ceil(rows))?,
            groups_in("z (images and groups)", g.batch * g.groups)?,
        ],
        turns: window_turns(g.kernel, g.in_channels / g.groups),
        bindings: 3 + usize::from(g.bias),
        flops: 0,
    })
}

fn shader(g: &ConvTranspose2d, rows: usize) -> std::borrow::Cow<'static, str> {
    let bindings = if g.bias {
        "@group(0) @binding(3) var<storage, read> in_bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;"
    } else {
        "@group(0) @binding(3) var<storage, read_write> out: array<f32>;"
    };
    let mut text = [String::new(), String::new(), String::new()];
    for row in 0..rows {
        text[0] += &format!(
            "    var acc{row} = vec4<f32>(0.0);\n    let w{row} = min(channel0 + {row}u, last) * taps;\n"
        );
        text[1] += &format!("                acc{row} += in_w[w{row} + tap] * v;\n");
        text[2] += &format!("    store(image, channel0 + {row}u, pixels, acc{row});\n");
    }
    render(
        include_str!("conv_transpose2d/direct.wgsl"),
        &[
            ("bindings", bindings),
            ("epilogue", if g.bias { BIAS } else { "" }),
            ("activation", &g.activation.wgsl()),
            ("channel_count", &rows.to_string()),
            ("declare", &text[0]),
            ("multiply", &text[1]),
            ("store", &text[2]),
        ],
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn groups_must_divide_the_channels() {
        let geometry = ConvTranspose2d {
            batch: 1,
            in_channels: 3,
            in_h: 2,
            in_w: 2,
            out_channels: 4,
            out_h: 4,
            out_w: 4,
            kernel: [2, 2],
            strides: [2, 2],
            pads: [0, 0],
            dilations: [1, 1],
            groups: 2,
            bias: false,
            activation: Activation::None,
        };
        assert_eq!(
            conv_transpose2d(&geometry).unwrap_err().kind(),
            ErrorKind::ShapeMismatch
        );
    }
}
