//! `AutoencoderTiny`, the TAESD of Ollin Boer Bohan: <https://github.com/madebyollin/taesd>.

use serde_json::json;

use super::other_part;
use crate::Part;
use crate::blocks::{Activation, Window};
use crate::config::Members;
use crate::error::Result;
use crate::network::{Dim, Network, PortType, Scope, Value};

/// Beyond it, latents are bent.
const LARGEST: f32 = 3.0;

/// Most blocks of a level.
const MAX_BLOCKS: usize = 64;

struct Config {
    picture: [usize; 2],
    latents: usize,
    encoder: Vec<Level>,
    decoder: Vec<Level>,
    activation: Activation,
    factor: f32,
}

/// Blocks of one size.
#[derive(Clone, Copy)]
struct Level {
    channels: usize,
    blocks: usize,
}

impl Config {
    fn read(mut members: Members) -> Result<Self> {
        let mut levels = |side: &str, blocks: [usize; 4]| -> Result<Vec<Level>> {
            let name = format!("num_{side}_blocks");
            let channels = members
                .sizes(&format!("{side}_block_out_channels"))?
                .unwrap_or_else(|| vec![64; 4]);
            let blocks = members.sizes(&name)?.unwrap_or_else(|| blocks.to_vec());
            if channels.len() != blocks.len() || channels.is_empty() {
                return Err(members.wrong(
                    &name,
                    blocks.len(),
                    format!("there are {} levels", channels.len()),
                ));
            }
            if let Some(many) = blocks.iter().find(|blocks| **blocks > MAX_BLOCKS) {
                return Err(members.wrong(
                    &name,
                    many,
                    format!("{MAX_BLOCKS} at most can be built"),
                ));
            }
            if channels.windows(2).any(|pair| pair[0] != pair[1]) {
                return Err(members.wrong(
                    &format!("{side}_block_out_channels"),
                    format!("{channels:?}"),
                    "levels of one width are built",
                ));
            }
            let both = channels.into_iter().zip(blocks);
            Ok(both
                .map(|(channels, blocks)| Level { channels, blocks })
                .collect())
        };
        let (encoder, decoder) = (
            levels("encoder", [1, 3, 3, 3])?,
            levels("decoder", [3, 3, 3, 1])?,
        );
        let config = Self {
            picture: [
                members.size_or("in_channels", 3)?,
                members.size_or("out_channels", 3)?,
            ],
            latents: members.size_or("latent_channels", 4)?,
            encoder,
            decoder,
            activation: Activation::read(&mut members, "act_fn", Activation::Relu)?,
            factor: members.size_or("upsampling_scaling_factor", 2)? as f32,
        };
        members.only("upsample_fn", &[json!("nearest")])?;
        // How latents are kept as pictures, and what the pipeline around it does with them.
        members.irrelevant(&[
            "block_out_channels",
            "force_upcast",
            "latent_magnitude",
            "latent_shift",
            "scaling_factor",
            "shift_factor",
        ]);
        members.finish()?;
        Ok(config)
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
    let mut x = network.input(
        "latent_sample",
        PortType::Float32,
        &planes(config.latents, "latent_height", "latent_width"),
    );
    let mut root = network.root();
    root.leave_out("encoder.");
    let largest = root.number(LARGEST);
    x = root.divide(x, largest);
    x = root.node("Tanh", &[x], &[]);
    x = root.multiply(x, largest);
    // Layers are numbered as they follow one another, functions and enlargements too.
    let mut layers = root.at("decoder.layers");
    x = layers.at(0).convolution(
        x,
        [config.latents, config.decoder[0].channels],
        Window::centred(3),
    )?;
    x = layers.activated(x, config.activation);
    let mut next = 2;
    for (index, level) in config.decoder.iter().enumerate() {
        x = layers.tiny_blocks(x, *level, &mut next, config.activation)?;
        let window = Window::centred(3);
        if index + 1 < config.decoder.len() {
            x = layers.enlarged(x, config.factor);
            x = layers
                .at(next + 1)
                .convolution(x, [level.channels; 2], window.plain())?;
            next += 2;
        } else {
            x = layers
                .at(next)
                .convolution(x, [level.channels, config.picture[1]], window)?;
        }
    }
    // From 0 … 1 to -1 … 1.
    let (two, one) = (root.number(2.0), root.number(1.0));
    x = root.multiply(x, two);
    x = root.node("Sub", &[x, one], &[]);
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
    let (two, one) = (root.number(2.0), root.number(1.0));
    x = root.add(x, one);
    x = root.divide(x, two);
    let mut layers = root.at("encoder.layers");
    let mut next = 0;
    let mut from = config.picture[0];
    for (index, level) in config.encoder.iter().enumerate() {
        let window = if index == 0 {
            Window::centred(3)
        } else {
            Window::halving(1).plain()
        };
        x = layers
            .at(next)
            .convolution(x, [from, level.channels], window)?;
        next += 1;
        x = layers.tiny_blocks(x, *level, &mut next, config.activation)?;
        from = level.channels;
    }
    x = layers
        .at(next)
        .convolution(x, [from, config.latents], Window::centred(3))?;
    network.output(
        x,
        "latent_sample",
        &planes(config.latents, "latent_height", "latent_width"),
    );
    Ok(())
}

impl Scope<'_, '_> {
    /// `AutoencoderTinyBlock`s, from the layer of the number `next` on.
    fn tiny_blocks(
        &mut self,
        mut x: Value,
        level: Level,
        next: &mut usize,
        activation: Activation,
    ) -> Result<Value> {
        for _ in 0..level.blocks {
            let mut block = self.at(*next);
            *next += 1;
            let mut inner = x;
            for (layer, last) in [(0, false), (2, false), (4, true)] {
                inner = block.at(format_args!("conv.{layer}")).convolution(
                    inner,
                    [level.channels; 2],
                    Window::centred(3),
                )?;
                if !last {
                    inner = block.activated(inner, activation);
                }
            }
            let sum = block.add(inner, x);
            x = block.activated(sum, Activation::Relu);
        }
        Ok(x)
    }
}
