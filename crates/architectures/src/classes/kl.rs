//! `AutoencoderKL` (Rombach et al., arXiv:2112.10752), its decoder and its encoder.

use serde_json::json;

use super::other_part;
use crate::Part;
use crate::blocks::{Activation, Groups, Heads, Resnet, Window};
use crate::config::Members;
use crate::error::Result;
use crate::network::{Dim, Network, PortType, Scope, Value};

/// Of every norm.
const EPSILON: f32 = 1e-6;

pub(super) struct Config {
    picture: [usize; 2],
    pub latents: usize,
    channels: Vec<usize>,
    layers: usize,
    resnet: Resnet,
    attention: bool,
    before_decoder: bool,
    behind_encoder: bool,
}

impl Config {
    fn read(members: Members) -> Result<Self> {
        Self::with_defaults(members, &[64], 1, 4)
    }

    /// That of `AutoencoderKLFlux2`, whose own members are read already; its decoder may have other channels than its encoder.
    pub fn of_flux2(members: Members, decoder: Option<Vec<usize>>) -> Result<Self> {
        let mut config = Self::with_defaults(members, &[128, 256, 512, 512], 2, 32)?;
        if let Some(channels) = decoder {
            config.channels = channels;
        }
        Ok(config)
    }

    /// Colours of a picture that is decoded.
    pub fn colours(&self) -> usize {
        self.picture[1]
    }

    fn with_defaults(
        mut members: Members,
        channels: &[usize],
        layers: usize,
        latents: usize,
    ) -> Result<Self> {
        let channels = members
            .sizes("block_out_channels")?
            .unwrap_or_else(|| channels.to_vec());
        for (name, block) in [
            ("down_block_types", "DownEncoderBlock2D"),
            ("up_block_types", "UpDecoderBlock2D"),
        ] {
            let types: Vec<String> = members.or(name, vec![block.to_owned(); channels.len()])?;
            if types.len() != channels.len() {
                return Err(members.wrong(
                    name,
                    types.join(", "),
                    format!("there are {} levels", channels.len()),
                ));
            }
            if let Some(other) = types.iter().find(|kind| *kind != block) {
                return Err(members.wrong(
                    name,
                    other,
                    format!("autoencoders of {block} are built"),
                ));
            }
        }
        let groups = members.count_or("norm_num_groups", 32)?;
        if let Some(odd) = channels.iter().find(|count| !count.is_multiple_of(groups)) {
            return Err(members.wrong(
                "norm_num_groups",
                groups,
                format!("{odd} channels do not divide into them"),
            ));
        }
        let config = Self {
            picture: [
                members.size_or("in_channels", 3)?,
                members.size_or("out_channels", 3)?,
            ],
            latents: members.size_or("latent_channels", latents)?,
            layers: members.count_or("layers_per_block", layers)?,
            resnet: Resnet {
                groups: Groups {
                    count: groups,
                    epsilon: EPSILON,
                },
                activation: Activation::read(&mut members, "act_fn", Activation::Silu)?,
                time: None,
            },
            attention: members.or("mid_block_add_attention", true)?,
            before_decoder: members.or("use_post_quant_conv", true)?,
            behind_encoder: members.or("use_quant_conv", true)?,
            channels,
        };
        members.only("norm_type", &[json!("group")])?;
        // Of the pipeline around it, and of 16-bit arithmetic, which these graphs do not do.
        members.irrelevant(&[
            "force_upcast",
            "latents_mean",
            "latents_std",
            "sample_size",
            "scaling_factor",
            "shift_factor",
        ]);
        members.finish()?;
        Ok(config)
    }

    /// Channels of the innermost level.
    fn innermost(&self) -> usize {
        self.channels.last().copied().unwrap_or_default()
    }
}

pub(super) fn build(part: &Part, members: Members, network: &mut Network<'_>) -> Result<()> {
    match part {
        Part::Decoder => decoder(&Config::read(members)?, network),
        Part::Encoder => encoder(&Config::read(members)?, network),
        other => Err(other_part(&members, other)),
    }
}

fn planes(channels: usize, height: &'static str, width: &'static str) -> [Dim; 4] {
    [
        Dim::Of("batch_size"),
        Dim::Is(channels),
        Dim::Of(height),
        Dim::Of(width),
    ]
}

fn decoder(config: &Config, network: &mut Network<'_>) -> Result<()> {
    let latents = network.input(
        "latent_sample",
        PortType::Float32,
        &planes(config.latents, "latent_height", "latent_width"),
    );
    let x = network.root().decoded(latents, config)?;
    network.output(x, "sample", &planes(config.picture[1], "height", "width"));
    Ok(())
}

fn encoder(config: &Config, network: &mut Network<'_>) -> Result<()> {
    let mut x = network.input(
        "sample",
        PortType::Float32,
        &planes(config.picture[0], "height", "width"),
    );
    let mut root = network.root();
    root.leave_out("decoder.");
    root.leave_out("post_quant_conv.");
    let mut part = root.at("encoder");
    let mut from = config.channels.first().copied().unwrap_or_default();
    x = part
        .at("conv_in")
        .convolution(x, [config.picture[0], from], Window::centred(3))?;
    for (level, &to) in config.channels.iter().enumerate() {
        let mut block = part.at(format_args!("down_blocks.{level}"));
        for layer in 0..config.layers {
            x = block
                .at(format_args!("resnets.{layer}"))
                .resnet(x, [from, to], &config.resnet)?;
            from = to;
        }
        if level + 1 < config.channels.len() {
            x = block
                .at("downsamplers.0.conv")
                .convolution(x, [to; 2], Window::halving(0))?;
        }
    }
    x = part.at("mid_block").middle(x, config)?;
    // The mean and the logarithm of the variance.
    let both = 2 * config.latents;
    x = part.out(x, [from, both], config)?;
    if config.behind_encoder {
        x = root
            .at("quant_conv")
            .convolution(x, [both; 2], Window::centred(1))?;
    }
    network.output(
        x,
        "latent_parameters",
        &planes(both, "latent_height", "latent_width"),
    );
    Ok(())
}

impl Scope<'_, '_> {
    /// The picture of latents.
    pub(super) fn decoded(&mut self, latents: Value, config: &Config) -> Result<Value> {
        let mut x = latents;
        self.leave_out("encoder.");
        self.leave_out("quant_conv.");
        if config.before_decoder {
            x = self.at("post_quant_conv").convolution(
                x,
                [config.latents; 2],
                Window::centred(1),
            )?;
        }
        let mut part = self.at("decoder");
        let mut from = config.innermost();
        x = part
            .at("conv_in")
            .convolution(x, [config.latents, from], Window::centred(3))?;
        x = part.at("mid_block").middle(x, config)?;
        for (level, &to) in config.channels.iter().rev().enumerate() {
            let mut block = part.at(format_args!("up_blocks.{level}"));
            for layer in 0..=config.layers {
                x = block.at(format_args!("resnets.{layer}")).resnet(
                    x,
                    [from, to],
                    &config.resnet,
                )?;
                from = to;
            }
            if level + 1 < config.channels.len() {
                x = block.enlarged(x, 2.0);
                x = block
                    .at("upsamplers.0.conv")
                    .convolution(x, [to; 2], Window::centred(3))?;
            }
        }
        part.out(x, [from, config.picture[1]], config)
    }

    fn middle(&mut self, x: Value, config: &Config) -> Result<Value> {
        let channels = [config.innermost(); 2];
        let mut x = self.at("resnets.0").resnet(x, channels, &config.resnet)?;
        if config.attention {
            x = self.at("attentions.0").picture_attention(x, config)?;
        }
        self.at("resnets.1").resnet(x, channels, &config.resnet)
    }

    fn out(&mut self, x: Value, channels: [usize; 2], config: &Config) -> Result<Value> {
        let normal = self
            .at("conv_norm_out")
            .group_norm(x, channels[0], config.resnet.groups)?;
        let active = self.activated(normal, Activation::Silu);
        self.at("conv_out")
            .convolution(active, channels, Window::centred(3))
    }

    /// Attention of every pixel to every other, in one head. Its layers have had two sets of names.
    fn picture_attention(&mut self, x: Value, config: &Config) -> Result<Value> {
        let width = config.innermost();
        let normal = self
            .at("group_norm")
            .group_norm(x, width, config.resnet.groups)?;
        let rows = self.rows_of_planes(normal, width);
        let q = self.layer(["to_q", "query"], rows, width)?;
        let k = self.layer(["to_k", "key"], rows, width)?;
        let v = self.layer(["to_v", "value"], rows, width)?;
        let seen = self.attention([q, k, v], Heads::of(1, width));
        let seen = self.layer(["to_out.0", "proj_attn"], seen, width)?;
        let planes = self.planes_of_rows(seen, width, x);
        Ok(self.add(planes, x))
    }

    /// A square layer under one of two names, whose matrix may be kept as that of a convolution.
    fn layer(&mut self, names: [&str; 2], rows: Value, width: usize) -> Result<Value> {
        let weights = names.map(|name| format!("{name}.weight"));
        let weight = self.named(&[&weights[0], &weights[1]])?.to_owned();
        let name = weight.trim_end_matches(".weight");
        let square = [width; 2];
        let stored = match self.stored_shape(&weight) {
            Some([_, _, 1, 1]) => vec![width, width, 1, 1],
            _ => square.to_vec(),
        };
        let matrix = self.weight_as(&weight, &stored, &square)?;
        let bias = self.at(name).weight("bias", &[width])?;
        Ok(self.node("Gemm", &[rows, matrix, bias], &[("transB", 1.into())]))
    }
}
