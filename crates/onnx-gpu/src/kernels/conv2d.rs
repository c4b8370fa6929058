//! 2-D convolution, NCHW, as an implicit matrix product; 1×1 convolutions are matrix products outright.

use super::matmul::{self, Bias, MatMul, Order, Strides, shared_sizes};
use super::{
    Activation, Format, Launch, Tile, Tiles, elements, groups_in, pad16, render, signed,
    window_turns, word,
};
use crate::{Error, ErrorKind, Result};

/// ONNX `Conv` with two spatial axes; a 1-D convolution is one with `in_h = kernel_h = 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2d {
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
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub strides: [usize; 2],
    /// Top, left, bottom, right (the order of the ONNX attribute); negative crops.
    pub pads: [i64; 4],
    /// Vertical and horizontal dilation.
    pub dilations: [usize; 2],
    /// Groups; `in_channels` for a depthwise convolution.
    pub groups: usize,
    /// A third input `[out_channels]`.
    pub bias: bool,
    /// A last input, added before the activation.
    pub residual: Residual,
    /// X is stored at half the height and width; each of its elements stands for 2×2 of `in_h`×`in_w`.
    pub upsample: bool,
    /// Applied last.
    pub activation: Activation,
    /// How the weights are stored; not [`Format::Scaled`]. The scales of [`Format::Channels`] are the last input.
    pub weights: Format,
}

/// What a convolution adds to its sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Residual {
    /// Nothing.
    #[default]
    None,
    /// A tensor of the output's shape.
    Full,
    /// One value per image and channel, `[N, M]`.
    Channel,
}

impl Conv2d {
    /// Output height and width.
    pub fn output(&self) -> Result<[usize; 2]> {
        let mut out = [0; 2];
        for (axis, size) in [self.in_h, self.in_w].into_iter().enumerate() {
            let window = self.dilations[axis] * (self.kernel[axis].max(1) - 1) + 1;
            let padded =
                i64::try_from(size).unwrap_or(i64::MAX) + self.pads[axis] + self.pads[axis + 2];
            let room = usize::try_from(padded).unwrap_or(0);
            if room < window || self.strides[axis] == 0 {
                return Err(Error::new(
                    ErrorKind::ShapeMismatch,
                    format!("a window of {window} does not fit a padded axis of {padded}"),
                ));
            }
            out[axis] = (room - window) / self.strides[axis] + 1;
        }
        Ok(out)
    }
}

/// Inputs X `[N, C, H, W]`, W `[M, C/groups, kH, kW]`, bias, residual; output `[N, M, oH, oW]`. All `f32`.
pub fn conv2d(geometry: &Conv2d, tiles: impl Into<Tiles>) -> Result<Launch> {
    plan(geometry, tiles.into())
}

fn plan(g: &Conv2d, tiles: Tiles) -> Result<Launch> {
    if matches!(g.weights, Format::Scaled(..)) {
        return Err(Error::new(
            ErrorKind::UnsupportedOp,
            "weights of blocks with scales are not supported",
        ));
    }
    let [out_h, out_w] = g.output()?;
    if g.groups == 0
        || !g.in_channels.is_multiple_of(g.groups)
        || !g.out_channels.is_multiple_of(g.groups)
    {
        return Err(Error::new(
            ErrorKind::ShapeMismatch,
            format!(
                "{} input and {} output channels in {} groups",
                g.in_channels, g.out_channels, g.groups
            ),
        ));
    }
    elements(&[g.batch, g.in_channels, g.in_h, g.in_w])?;
    elements(&[g.batch, g.out_channels, out_h, out_w])?;
    if g.upsample && !(g.in_h.is_multiple_of(2) && g.in_w.is_multiple_of(2)) {
        return Err(Error::new(
            ErrorKind::ShapeMismatch,
            format!("{}×{} is not twice a size", g.in_h, g.in_w),
        ));
    }
    if g.is_matmul() {
        return as_matmul(g, tiles, None);
    }
    let [in_group, out_group] = [g.in_channels / g.groups, g.out_channels / g.groups];
    elements(&[g.out_channels, in_group, g.kernel[0], g.kernel[1]])?;
    let tile = tiles.convolution(out_group, out_h * out_w, g.batch * g.groups);
    let mut params = g.activation.words().to_vec();
    for size in [
        in_group,
        out_group,
        g.in_h,
        g.in_w,
        out_h,
        out_w,
        g.kernel[0],
        g.kernel[1],
        g.strides[0],
        g.strides[1],
        g.dilations[0],
        g.dilations[1],
    ] {
        params.push(word(size)?);
    }
    params.extend([
        signed(g.pads[0])?,
        signed(g.pads[1])?,
        word(g.groups)?,
        u32::from(g.upsample),
    ]);
    Ok(Launch {
        label: "conv2d",
        key: format!(
            "conv2d-{tile}{}-{}{}-{}",
            g.weights.key(),
            if g.bias { "bias" } else { "plain" },
            match g.residual {
                Residual::None => "",
                Residual::Full => "-residual",
                Residual::Channel => "-channel",
            },
            g.activation.key()
        ),
        wgsl: shader(g, tile),
        params: pad16(params),
        workgroups: [
            groups_in("x (pixels)", (out_h * out_w).div_ceil(tile.columns()))?,
            groups_in("y (channels)", out_group.div_ceil(tile.rows()))?,
            groups_in("z (images and groups)", g.batch * g.groups)?,
        ],
        turns: match tile {
            Tile::Direct { .. } => window_turns(g.kernel, in_group),
            Tile::Shared { .. } => tile.turns(in_group * g.kernel[0] * g.kernel[1]),
        },
        bindings: 3
            + usize::from(g.bias)
            + usize::from(g.residual != Residual::None)
            + usize::from(g.weights.is_scaled()),
        flops: 2 * [
            g.batch * g.groups,
            in_group,
            out_group,
            out_h,
            out_w,
            g.kernel[0],
            g.kernel[1],
        ]
        .map(|size| size as u64)
        .iter()
        .product::<u64>(),
    })
}

impl Conv2d {
    /// Whether this is a product of the weights and the image.
    pub(crate) fn is_matmul(&self) -> bool {
        self.kernel == [1, 1]
            && self.strides == [1, 1]
            && self.pads == [0; 4]
            && self.groups == 1
            && !self.upsample
            && self.residual != Residual::Channel
    }
}

/// [`conv2d`] of an image that lies as `[N, C, H·W]` with other steps: images, channels as rows, pixels as columns.
pub(crate) fn of_view(g: &Conv2d, image: Strides, tiles: Tiles) -> Result<Launch> {
    if !g.is_matmul() {
        return Err(Error::new(
            ErrorKind::ShapeMismatch,
            "only products read strided images",
        ));
    }
    as_matmul(g, tiles, Some(image))
}

/// `[M, C] × [C, H·W]` per image.
fn as_matmul(g: &Conv2d, tiles: Tiles, image: Option<Strides>) -> Result<Launch> {
    let mut product = MatMul::new(g.out_channels, g.in_h * g.in_w, g.in_channels);
    product.batch = vec![g.batch];
    product.b_batch = vec![g.batch];
    product.bias = g.bias.then_some(Bias {
        batch_stride: 0,
        row_stride: 1,
        col_stride: 0,
    });
    product.activation = g.activation;
    product.residual = g.residual == Residual::Full;
    product.b_strides = image;
    product.a_format = g.weights;
    matmul::plan(&product, tiles, Order::Ba)
}

const BIAS: &str =
    "    value += in_bias[(image % params.groups) * params.out_channels + channel];\n";
const SCALES: &str =
    "    value *= in_w_scales[(image % params.groups) * params.out_channels + channel];\n";
const RESIDUAL: &str = "    let at = base + min(pixels, vec4<u32>(size - 1u));
    value += vec4<f32>(in_residual[at.x], in_residual[at.y], in_residual[at.z], in_residual[at.w]);
";

const CHANNEL: &str = "    value += in_residual[image * params.out_channels + channel];\n";

fn shader(g: &Conv2d, tile: Tile) -> std::borrow::Cow<'static, str> {
    let mut bindings = String::new();
    let mut epilogue = String::new();
    let mut next = 3usize;
    let residual = match g.residual {
        Residual::Channel => CHANNEL,
        _ => RESIDUAL,
    };
    for (present, name, text) in [
        (g.bias, "bias", BIAS),
        (g.residual != Residual::None, "residual", residual),
    ] {
        if present {
            bindings +=
                &format!("@group(0) @binding({next}) var<storage, read> in_{name}: array<f32>;\n");
            epilogue += text;
            next += 1;
        }
    }
    // Scales are the last input.
    let scales = next;
    if g.weights.is_scaled() {
        epilogue.insert_str(0, SCALES);
        next += 1;
    }
    bindings += &format!("@group(0) @binding({next}) var<storage, read_write> out: array<f32>;\n");
    let params = render(
        include_str!("conv2d/params.wgsl"),
        &[
            ("weights", &g.weights.wgsl("w", 2, scales)),
            ("bindings", &bindings),
            ("epilogue", &epilogue),
            ("activation", &g.activation.wgsl()),
        ],
    );
    let Tile::Direct { rows, .. } = tile else {
        let [lanes, loads, vectors] = shared_sizes(tile);
        return render(
            include_str!("conv2d/tiled.wgsl"),
            &[
                ("params", &params),
                ("side", &tile.rows().to_string()),
                ("lanes", &lanes),
                ("loads", &loads),
                ("vectors", &vectors),
            ],
        );
    };
    let mut text = [String::new(), String::new(), String::new()];
    for row in 0..rows {
        text[0] += &format!(
            "    var acc{row} = vec4<f32>(0.0);\n    let w{row} = (first_weight + min(channel0 + {row}u, last)) * weights;\n"
        );
        text[1] += &format!("                acc{row} += load_w(w{row} + tap) * v;\n");
    }
    text[2] = matmul::stores(rows, "acc", "store(image, channel0 + i, pixels, ");
    render(
        include_str!("conv2d/direct.wgsl"),
        &[
            ("params", &params),
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
    use crate::kernels::AdapterClass;

    fn same(kernel: usize) -> Conv2d {
        let pad = (kernel / 2) as i64;
        Conv2d {
            batch: 2,
            in_channels: 8,
            in_h: 7,
            in_w: 9,
            out_channels: 32,
            kernel: [kernel; 2],
            strides: [1; 2],
            pads: [pad; 4],
            dilations: [1; 2],
            groups: 1,
            bias: true,
            residual: Residual::None,
            upsample: false,
            activation: Activation::None,
            weights: Format::F32,
        }
    }

    #[test]
    fn output_size_is_the_onnx_formula() {
        assert_eq!(same(3).output().unwrap(), [7, 9]);
        let launch = conv2d(&same(3), AdapterClass::Software).unwrap();
        assert_eq!(launch.flops, 2 * 2 * 8 * 32 * 63 * 9);
        let strided = Conv2d {
            strides: [2, 3],
            pads: [0, 1, 1, 0],
            ..same(3)
        };
        assert_eq!(strided.output().unwrap(), [3, 3]);
        let dilated = Conv2d {
            dilations: [2, 1],
            ..same(3)
        };
        assert_eq!(dilated.output().unwrap(), [5, 9]);
        let large = Conv2d {
            pads: [0; 4],
            ..same(11)
        };
        assert_eq!(large.output().unwrap_err().kind(), ErrorKind::ShapeMismatch);
    }

    #[test]
    fn the_variant_follows_kernel_groups_and_adapter() {
        let label = |g: &Conv2d, class| conv2d(g, class).unwrap().key;
        assert!(label(&same(1), AdapterClass::Software).starts_with("matmul-direct16x64-ba"));
        assert!(label(&same(3), AdapterClass::Software).starts_with("conv2d-direct16"));
        assert!(label(&same(3), AdapterClass::Hardware).starts_with("conv2d-tiled32x32"));
        let large = Conv2d {
            in_h: 64,
            in_w: 128,
            ..same(3)
        };
        assert!(label(&large, AdapterClass::Hardware).starts_with("conv2d-tiled64x64"));
        let depthwise = Conv2d {
            groups: 8,
            ..same(3)
        };
        assert!(label(&depthwise, AdapterClass::Hardware).starts_with("conv2d-direct4x64"));
    }
}
