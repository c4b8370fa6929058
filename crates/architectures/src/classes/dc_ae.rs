//! `AutoencoderDC` (Chen et al., arXiv:2410.10733), its decoder and its encoder: residual blocks, linear attention at several scales, and
//! shortcuts between pixels and channels.

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::other_part;
use crate::Part;
use crate::blocks::{Activation, Window};
use crate::config::Members;
use crate::error::Result;
use crate::network::{Dim, Network, PortType, Scope, Value};

/// Of every norm.
const EPSILON: f32 = 1e-5;
/// How much wider than a block its gated layer is.
const WIDER: usize = 4;
/// Pixels down and across that become one, or are made of one.
const FACTOR: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Residual(Activation),
    /// Attention and a gated layer.
    Vision,
}

/// A level of sizes.
struct Level {
    kind: Kind,
    channels: usize,
    blocks: usize,
    /// Sides of the windows by which queries, keys and values are made once more.
    scales: Vec<usize>,
}

/// Decoder or encoder.
struct Side {
    /// From the largest pictures to the smallest.
    levels: Vec<Level>,
    /// Whether sizes change by resampling, not by moving numbers between channels and pixels.
    resamples: bool,
    /// Whether there is a way around the layer beside the latents.
    shortcut: bool,
}

struct Config {
    colours: usize,
    latents: usize,
    head: usize,
    side: Side,
    /// Before the decoder's last layer.
    activation: Activation,
}

/// What a member says of each level: one value for all, or a list.
fn each<T: DeserializeOwned + Clone>(
    members: &mut Members,
    name: &str,
    count: usize,
    default: T,
) -> Result<Vec<T>> {
    let all = match members.get::<Json>(name)? {
        None => vec![default; count],
        Some(Json::Array(list)) => list
            .into_iter()
            .map(|value| {
                let shown = value.to_string();
                serde_json::from_value(value)
                    .map_err(|error| members.wrong(name, shown, error.to_string()))
            })
            .collect::<Result<_>>()?,
        Some(one) => {
            let value: T = serde_json::from_value(one.clone())
                .map_err(|error| members.wrong(name, one, error.to_string()))?;
            vec![value; count]
        }
    };
    if all.len() != count {
        let problem = format!("there are {count} levels");
        return Err(members.wrong(name, format!("of {}", all.len()), problem));
    }
    Ok(all)
}

impl Side {
    /// Reads the members that begin with `name`.
    fn read(members: &mut Members, name: &str) -> Result<Self> {
        let decodes = name == "decoder";
        let of = |what: &str| format!("{name}_{what}");
        let channels = members
            .sizes(&of("block_out_channels"))?
            .unwrap_or_else(|| vec![128, 256, 512, 512, 1024, 1024]);
        let count = channels.len();
        let usual = if decodes { [3; 6] } else { [2, 2, 2, 3, 3, 3] };
        let blocks: Vec<usize> = members.or(&of("layers_per_block"), usual.to_vec())?;
        let fives: Vec<Vec<usize>> = (0..6).map(|level| vec![5; level / 3]).collect();
        let scales: Vec<Vec<usize>> = members.or(&of("qkv_multiscales"), fives)?;
        let kinds = each(members, &of("block_types"), count, "ResBlock".to_owned())?;
        let mut functions = vec!["silu".to_owned(); count];
        if decodes {
            functions = each(members, "decoder_act_fns", count, "silu".to_owned())?;
            let norms = each(members, "decoder_norm_types", count, "rms_norm".to_owned())?;
            if let Some(other) = norms.iter().find(|norm| *norm != "rms_norm") {
                return Err(members.wrong("decoder_norm_types", other, "rms_norm is built"));
            }
        }
        for (what, length) in [
            ("layers_per_block", blocks.len()),
            ("qkv_multiscales", scales.len()),
        ] {
            if length != count || count < 2 {
                let problem = format!("there are {count} levels, and two at least are wanted");
                return Err(members.wrong(&of(what), format!("of {length}"), problem));
            }
        }
        let mut levels = Vec::with_capacity(count);
        for (index, (kind, scales)) in kinds.into_iter().zip(scales).enumerate() {
            if blocks[index] > 64 || (blocks[index] == 0 && index > 0) {
                let problem = "1 to 64 can be built, and none at the first level";
                return Err(members.wrong(&of("layers_per_block"), blocks[index], problem));
            }
            if let Some(odd) = scales.iter().find(|side| !matches!(side, 1 | 3 | 5 | 7)) {
                let problem = "sides of 1, 3, 5 and 7 are built";
                return Err(members.wrong(&of("qkv_multiscales"), odd, problem));
            }
            let kind = match kind.as_str() {
                "ResBlock" => {
                    Kind::Residual(activation(members, "decoder_act_fns", &functions[index])?)
                }
                "EfficientViTBlock" => Kind::Vision,
                other => {
                    let problem = "ResBlock and EfficientViTBlock are built";
                    return Err(members.wrong(&of("block_types"), other, problem));
                }
            };
            levels.push(Level {
                kind,
                channels: channels[index],
                blocks: blocks[index],
                scales,
            });
        }
        let [member, moves, resamples, shortcut] = if decodes {
            [
                "upsample_block_type",
                "pixel_shuffle",
                "interpolate",
                "decoder_in_shortcut",
            ]
        } else {
            [
                "downsample_block_type",
                "pixel_unshuffle",
                "conv",
                "encoder_out_shortcut",
            ]
        };
        let by = members.or(member, moves.to_owned())?;
        if by != moves && by != resamples {
            let problem = format!("{moves} and {resamples} are built");
            return Err(members.wrong(member, by, problem));
        }
        Ok(Self {
            resamples: by == resamples,
            shortcut: members.or(shortcut, true)?,
            levels,
        })
    }

    /// Channels of the smallest pictures.
    fn innermost(&self) -> usize {
        self.levels.last().map_or(0, |level| level.channels)
    }

    /// The first level that has blocks: its channels are those of the layers beside the picture.
    fn first(&self) -> usize {
        usize::from(self.levels[0].blocks == 0)
    }

    /// Refuses channels that do not divide into each other where the shortcuts need it.
    fn check(&self, members: &Members, name: &str, latents: usize) -> Result<()> {
        let mut pairs = self.levels.windows(2).skip(self.first());
        let odd = pairs.find(|pair| {
            let [large, small] = [pair[0].channels, pair[1].channels];
            let four = FACTOR * FACTOR;
            !(large * four).is_multiple_of(small) || !small.is_multiple_of(four)
        });
        let inner = self.innermost();
        if odd.is_some() || (self.shortcut && !inner.is_multiple_of(latents)) {
            let all: Vec<usize> = self.levels.iter().map(|level| level.channels).collect();
            let problem = "they do not divide into each other where sizes change";
            return Err(members.wrong(name, format!("{all:?}"), problem));
        }
        Ok(())
    }
}

fn activation(members: &Members, member: &str, name: &str) -> Result<Activation> {
    let found = Activation::named(name);
    found.ok_or_else(|| members.wrong(member, name, "no such function is built"))
}

impl Config {
    fn read(mut members: Members, decodes: bool) -> Result<Self> {
        let latents = members.size_or("latent_channels", 32)?;
        let sides = [
            Side::read(&mut members, "encoder")?,
            Side::read(&mut members, "decoder")?,
        ];
        for (side, name) in sides.iter().zip(["encoder", "decoder"]) {
            side.check(&members, &format!("{name}_block_out_channels"), latents)?;
        }
        let activation = Activation::read(&mut members, "decoder_conv_act_fn", Activation::Relu)?;
        let [encoder, decoder] = sides;
        let config = Self {
            colours: members.size_or("in_channels", 3)?,
            latents,
            head: members.size_or("attention_head_dim", 32)?,
            side: if decodes { decoder } else { encoder },
            activation,
        };
        if let Some(narrow) = config
            .side
            .levels
            .iter()
            .find(|level| level.kind == Kind::Vision && level.channels < config.head)
        {
            let problem = format!("{} channels have no head of that size", narrow.channels);
            return Err(members.wrong("attention_head_dim", config.head, problem));
        }
        // Of the pipeline around it.
        members.irrelevant(&["scaling_factor"]);
        members.finish()?;
        Ok(config)
    }
}

pub(super) fn build(part: &Part, members: Members, network: &mut Network<'_>) -> Result<()> {
    let decodes = match part {
        Part::Decoder => true,
        Part::Encoder => false,
        other => return Err(other_part(&members, other)),
    };
    let config = Config::read(members, decodes)?;
    let planes = |channels, height, width| {
        [
            Dim::Of("batch_size"),
            Dim::Is(channels),
            Dim::Of(height),
            Dim::Of(width),
        ]
    };
    let latents = planes(config.latents, "latent_height", "latent_width");
    let picture = planes(config.colours, "height", "width");
    if decodes {
        let x = network.input("latent_sample", PortType::Float32, &latents);
        let mut root = network.root();
        root.leave_out("encoder.");
        let x = root.at("decoder").decoded_by_dc(x, &config)?;
        network.output(x, "sample", &picture);
    } else {
        let x = network.input("sample", PortType::Float32, &picture);
        let mut root = network.root();
        root.leave_out("decoder.");
        let x = root.at("encoder").encoded_by_dc(x, &config)?;
        network.output(x, "latent_sample", &latents);
    }
    Ok(())
}

impl Scope<'_, '_> {
    fn decoded_by_dc(&mut self, latents: Value, config: &Config) -> Result<Value> {
        let side = &config.side;
        let inner = side.innermost();
        let sizes = [config.latents, inner];
        let mut x = self
            .at("conv_in")
            .convolution(latents, sizes, Window::centred(3))?;
        if side.shortcut {
            let around = self.repeated(latents, config.latents, inner / config.latents);
            x = self.add(x, around);
        }
        let first = side.first();
        for (index, level) in side.levels.iter().enumerate().skip(first).rev() {
            let mut blocks = self.at(format_args!("up_blocks.{index}"));
            let mut place = 0;
            if let Some(smaller) = side.levels.get(index + 1) {
                let sizes = [smaller.channels, level.channels];
                x = blocks.at(place).enlarged_by_dc(x, sizes, side, true)?;
                place += 1;
            }
            for block in place..place + level.blocks {
                x = blocks.at(block).block_of_dc(x, level, config.head)?;
            }
        }
        let channels = side.levels[first].channels;
        let normal = self.at("norm_out").plane_norm(x, channels)?;
        let active = self.activated(normal, config.activation);
        let sizes = [channels, config.colours];
        let mut last = self.at("conv_out");
        if first == 0 {
            last.convolution(active, sizes, Window::centred(3))
        } else {
            last.enlarged_by_dc(active, sizes, side, false)
        }
    }

    fn encoded_by_dc(&mut self, picture: Value, config: &Config) -> Result<Value> {
        let side = &config.side;
        let first = side.first();
        let sizes = [config.colours, side.levels[first].channels];
        let mut begin = self.at("conv_in");
        let mut x = if first == 0 {
            begin.convolution(picture, sizes, Window::centred(3))?
        } else {
            begin.reduced_by_dc(picture, sizes, side, false)?
        };
        for (index, level) in side.levels.iter().enumerate().skip(first) {
            let mut blocks = self.at(format_args!("down_blocks.{index}"));
            for block in 0..level.blocks {
                x = blocks.at(block).block_of_dc(x, level, config.head)?;
            }
            if let Some(smaller) = side.levels.get(index + 1) {
                let sizes = [level.channels, smaller.channels];
                x = blocks
                    .at(level.blocks)
                    .reduced_by_dc(x, sizes, side, true)?;
            }
        }
        let inner = side.innermost();
        let sizes = [inner, config.latents];
        let latents = self
            .at("conv_out")
            .convolution(x, sizes, Window::centred(3))?;
        if !side.shortcut {
            return Ok(latents);
        }
        let around = self.averaged(x, sizes, latents);
        Ok(self.add(latents, around))
    }

    fn block_of_dc(&mut self, x: Value, level: &Level, head: usize) -> Result<Value> {
        let channels = level.channels;
        match level.kind {
            Kind::Residual(activation) => {
                let square = [channels; 2];
                let hidden = self
                    .at("conv1")
                    .convolution(x, square, Window::centred(3))?;
                let active = self.activated(hidden, activation);
                let window = Window::centred(3).plain();
                let hidden = self.at("conv2").convolution(active, square, window)?;
                let normal = self.at("norm").plane_norm(hidden, channels)?;
                Ok(self.add(normal, x))
            }
            Kind::Vision => {
                let seen = self.at("attn").seen_at_scales(x, level, head)?;
                let sizes = [channels, WIDER * channels, channels];
                let mut gated = self.at("conv_out");
                let hidden = gated.gated_convolutions(seen, sizes)?;
                let normal = gated.at("norm").plane_norm(hidden, channels)?;
                Ok(self.add(normal, seen))
            }
        }
    }

    /// Linear attention of pixels, by their own queries, keys and values and by those of their surroundings.
    fn seen_at_scales(&mut self, x: Value, level: &Level, head: usize) -> Result<Value> {
        let channels = level.channels;
        let heads = channels / head;
        let inner = heads * head;
        let mut own = Vec::with_capacity(3);
        for name in ["to_q", "to_k", "to_v"] {
            own.push(self.at(name).pointwise(x, [channels, inner])?);
        }
        let own = self.node("Concat", &own, &[("axis", 1.into())]);
        let mut all = vec![own];
        let square = [3 * inner; 2];
        for (index, &side) in level.scales.iter().enumerate() {
            let mut scale = self.at(format_args!("to_qkv_multiscale.{index}"));
            let each = Window::centred(side).plain().each(3 * inner);
            let around = scale.at("proj_in").convolution(own, square, each)?;
            let by_head = Window::centred(1).plain().each(3 * heads);
            all.push(scale.at("proj_out").convolution(around, square, by_head)?);
        }
        let count = (heads * all.len()) as i64;
        let joined = match all[..] {
            [one] => one,
            _ => self.node("Concat", &all, &[("axis", 1.into())]),
        };
        let size = head as i64;
        let grouped = self.reshaped(joined, &[0, count, 3 * size, -1]);
        let qkv = [0, 1, 2].map(|part| self.slice(grouped, 2, part * size, (part + 1) * size));
        let seen = self.linear_attention(qkv);
        let wide = inner * all.len();
        let planes = self.with_sides(seen, wide, x);
        let out = self.at("to_out").pointwise(planes, [wide, channels])?;
        let normal = self.at("norm_out").plane_norm(out, channels)?;
        Ok(self.add(normal, x))
    }

    /// `RMSNorm` of the channels of each pixel: `weight` and `bias`.
    fn plane_norm(&mut self, x: Value, channels: usize) -> Result<Value> {
        let rows = self.rows_of_planes(x, channels);
        let normal = self.rms_norm(rows, channels, EPSILON)?;
        let bias = self.weight("bias", &[channels])?;
        let moved = self.add(normal, bias);
        Ok(self.planes_of_rows(moved, channels, x))
    }

    /// Planes of twice the height and width; `shortcut`: and what the channels say themselves.
    fn enlarged_by_dc(
        &mut self,
        x: Value,
        [from, to]: [usize; 2],
        side: &Side,
        shortcut: bool,
    ) -> Result<Value> {
        let window = Window::centred(3);
        let large = if side.resamples {
            let large = self.enlarged(x, FACTOR as f32);
            self.at("conv").convolution(large, [from, to], window)?
        } else {
            let sizes = [from, FACTOR * FACTOR * to];
            let wide = self.at("conv").convolution(x, sizes, window)?;
            self.pixels_of_channels(wide)
        };
        if !shortcut {
            return Ok(large);
        }
        let around = self.repeated(x, from, FACTOR * FACTOR * to / from);
        let around = self.pixels_of_channels(around);
        Ok(self.add(large, around))
    }

    /// Planes of half the height and width; `shortcut`: and the mean of what the pixels say themselves.
    fn reduced_by_dc(
        &mut self,
        x: Value,
        [from, to]: [usize; 2],
        side: &Side,
        shortcut: bool,
    ) -> Result<Value> {
        let small = if side.resamples {
            self.at("conv")
                .convolution(x, [from, to], Window::halving(1))?
        } else {
            let narrow = to / (FACTOR * FACTOR);
            let same = self
                .at("conv")
                .convolution(x, [from, narrow], Window::centred(3))?;
            self.channels_of_pixels(same, narrow)
        };
        if !shortcut {
            return Ok(small);
        }
        let around = self.channels_of_pixels(x, from);
        let around = self.averaged(around, [FACTOR * FACTOR * from, to], small);
        Ok(self.add(small, around))
    }

    /// Four channels of a pixel become four pixels of a channel.
    fn pixels_of_channels(&mut self, x: Value) -> Value {
        let attributes = [
            ("blocksize", (FACTOR as i64).into()),
            ("mode", "CRD".into()),
        ];
        self.node("DepthToSpace", &[x], &attributes)
    }

    /// The inverse of [`Self::pixels_of_channels`].
    fn channels_of_pixels(&mut self, x: Value, channels: usize) -> Value {
        let factor = FACTOR as i64;
        let sides = [2, 3].map(|axis: i64| {
            let attributes = [("start", axis.into()), ("end", (axis + 1).into())];
            let side = self.node("Shape", &[x], &attributes);
            let by = self.integers(&[factor]);
            self.divide(side, by)
        });
        let lead = self.integers(&[-1, channels as i64]);
        let by = self.integers(&[factor]);
        let shape = [lead, sides[0], by, sides[1], by];
        let shape = self.node("Concat", &shape, &[("axis", 0.into())]);
        let split = self.node("Reshape", &[x, shape], &[]);
        let order = [("perm", [0, 1, 3, 5, 2, 4].into())];
        let turned = self.node("Transpose", &[split], &order);
        let lead = self.integers(&[-1, channels as i64 * factor * factor]);
        let shape = [lead, sides[0], sides[1]];
        let shape = self.node("Concat", &shape, &[("axis", 0.into())]);
        self.node("Reshape", &[turned, shape], &[])
    }

    /// Every channel `times` times, one behind the other.
    fn repeated(&mut self, x: Value, channels: usize, times: usize) -> Value {
        if times == 1 {
            return x;
        }
        let flat = self.reshaped(x, &[0, channels as i64, 1, -1]);
        let many = self.node("Concat", &vec![flat; times], &[("axis", 2.into())]);
        self.with_sides(many, channels * times, x)
    }

    /// The means of neighbouring channels, `to` of them, in the shape of `like`.
    fn averaged(&mut self, x: Value, [from, to]: [usize; 2], like: Value) -> Value {
        if from == to {
            return x;
        }
        let grouped = self.reshaped(x, &[0, to as i64, (from / to) as i64, -1]);
        let axis = self.integers(&[2]);
        let means = self.node("ReduceMean", &[grouped, axis], &[("keepdims", 0.into())]);
        let shape = self.node("Shape", &[like], &[]);
        self.node("Reshape", &[means, shape], &[])
    }

    /// A value as planes of so many channels with the height and width of `like`.
    fn with_sides(&mut self, x: Value, channels: usize, like: Value) -> Value {
        let sides = self.node("Shape", &[like], &[("start", 2.into()), ("end", 4.into())]);
        let lead = self.integers(&[0, channels as i64]);
        let shape = self.node("Concat", &[lead, sides], &[("axis", 0.into())]);
        self.node("Reshape", &[x, shape], &[])
    }
}
