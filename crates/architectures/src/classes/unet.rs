//! `UNet2DConditionModel` (Rombach et al., arXiv:2112.10752; Podell et al., arXiv:2307.01952) and what was distilled from it.

mod config;

use super::other_part;
use crate::Part;
use crate::blocks::{Activation, Text, Transformer, Waves, Window};
use crate::config::Members;
use crate::error::Result;
use crate::network::{Dim, Network, PortType, Scope, Value};
use config::{Block, Config, Middle, SIZES};

const ROWS: Dim = Dim::Of("batch_size");

pub(super) fn build(part: &Part, members: Members, network: &mut Network<'_>) -> Result<()> {
    if *part != Part::Denoiser {
        return Err(other_part(&members, part));
    }
    let config = Config::read(members)?;
    let planes = |channels| [ROWS, Dim::Is(channels), Dim::Of("height"), Dim::Of("width")];
    let sample = network.input("sample", PortType::Float32, &planes(config.takes));
    let time = network.input("timestep", PortType::Float32, &[]);
    let states = [ROWS, Dim::Of("sequence_length"), Dim::Is(config.text_width)];
    let states = network.input("encoder_hidden_states", PortType::Float32, &states);
    let guidance = config.guidance.map(|width| {
        (
            network.input("timestep_cond", PortType::Float32, &[ROWS, Dim::Is(width)]),
            width,
        )
    });
    let added = config.added.map(|added| {
        let pooled = network.input(
            "text_embeds",
            PortType::Float32,
            &[ROWS, Dim::Is(added.pooled)],
        );
        let sizes = network.input("time_ids", PortType::Float32, &[ROWS, Dim::Is(SIZES)]);
        (added, pooled, sizes)
    });

    let mut root = network.root();
    let waves = config.waves(config.first());
    let mut rows = root.waves(time, waves);
    if let Some((guidance, width)) = guidance {
        let guidance =
            root.at("time_embedding.cond_proj")
                .linear(guidance, [width, waves.width], false)?;
        rows = root.add(rows, guidance);
    }
    let mut time = root.at("time_embedding").embedded(
        rows,
        [waves.width, config.time_width],
        config.activation,
    )?;
    if let Some((added, pooled, sizes)) = added {
        let sizes = root.size_waves(sizes, config.waves(added.waves));
        let both = root.node("Concat", &[pooled, sizes], &[("axis", 1.into())]);
        let widths = [added.pooled + SIZES * added.waves, config.time_width];
        let added = root
            .at("add_embedding")
            .embedded(both, widths, Activation::Silu)?;
        time = root.add(time, added);
    }
    // Every block begins with this.
    let time = root.activated(time, config.activation);
    let text = Text {
        rows: root.rows(states, config.text_width),
        width: config.text_width,
    };
    let network_of = Blocks {
        config: &config,
        resnet: config.resnet(time),
        text,
    };
    let answer = network_of.run(&mut root, sample)?;
    network.output(answer, "out_sample", &planes(config.gives));
    Ok(())
}

/// What all blocks are given.
struct Blocks<'c> {
    config: &'c Config,
    resnet: crate::blocks::Resnet,
    text: Text,
}

impl Blocks<'_> {
    fn run(&self, root: &mut Scope<'_, '_>, sample: Value) -> Result<Value> {
        let config = self.config;
        let first = config.first();
        let mut x = root.at("conv_in").convolution(
            sample,
            [config.takes, first],
            Window::centred(config.window_in),
        )?;
        // Planes that the way up reads again, and their channels.
        let mut kept = vec![(x, first)];
        let mut from = first;
        for (level, block) in config.down.iter().enumerate() {
            let mut scope = root.at(format_args!("down_blocks.{level}"));
            for layer in 0..block.layers.len() {
                x = self.layer(&mut scope, x, from, block, layer)?;
                from = block.channels;
                kept.push((x, from));
            }
            if level + 1 < config.down.len() {
                x = scope.at("downsamplers.0.conv").convolution(
                    x,
                    [from; 2],
                    Window::halving(config.padding),
                )?;
                kept.push((x, from));
            }
        }
        x = self.middle(&mut root.at("mid_block"), x, from)?;
        for (level, block) in config.up.iter().enumerate() {
            let mut scope = root.at(format_args!("up_blocks.{level}"));
            for layer in 0..block.layers.len() {
                // As many are kept as there are layers on the way up.
                let Some((beside, channels)) = kept.pop() else {
                    break;
                };
                let both = scope.node("Concat", &[x, beside], &[("axis", 1.into())]);
                x = self.layer(&mut scope, both, from + channels, block, layer)?;
                from = block.channels;
            }
            if level + 1 < config.up.len() {
                x = scope.enlarged(x, 2.0);
                x = scope
                    .at("upsamplers.0.conv")
                    .convolution(x, [from; 2], Window::centred(3))?;
            }
        }
        let normal = root
            .at("conv_norm_out")
            .group_norm(x, from, self.resnet.groups)?;
        let active = root.activated(normal, config.activation);
        root.at("conv_out").convolution(
            active,
            [from, config.gives],
            Window::centred(config.window_out),
        )
    }

    /// A residual block and, where the block has them, attention.
    fn layer(
        &self,
        scope: &mut Scope<'_, '_>,
        x: Value,
        from: usize,
        block: &Block,
        layer: usize,
    ) -> Result<Value> {
        let x = scope.at(format_args!("resnets.{layer}")).resnet(
            x,
            [from, block.channels],
            &self.resnet,
        )?;
        match block.layers[layer] {
            Some(blocks) => scope
                .at(format_args!("attentions.{layer}"))
                .transformer(x, &self.transformer(block, blocks)),
            None => Ok(x),
        }
    }

    fn middle(&self, scope: &mut Scope<'_, '_>, x: Value, channels: usize) -> Result<Value> {
        let square = [channels; 2];
        match &self.config.middle {
            Middle::None => Ok(x),
            Middle::Plain => scope.at("resnets.0").resnet(x, square, &self.resnet),
            Middle::Attending(block, blocks) => {
                let x = scope.at("resnets.0").resnet(x, square, &self.resnet)?;
                let kind = self.transformer(block, *blocks);
                let x = scope.at("attentions.0").transformer(x, &kind)?;
                scope.at("resnets.1").resnet(x, square, &self.resnet)
            }
        }
    }

    fn transformer(&self, block: &Block, blocks: usize) -> Transformer {
        Transformer {
            channels: block.channels,
            heads: block.heads,
            blocks,
            groups: self.config.groups,
            linear: self.config.linear,
            only_text: block.only_text,
            text: self.text,
        }
    }
}

impl Scope<'_, '_> {
    /// Each of the sizes as waves, side by side.
    fn size_waves(&mut self, sizes: Value, waves: Waves) -> Value {
        let column = self.reshaped(sizes, &[-1, 1]);
        let rows = self.waves(column, waves);
        self.reshaped(rows, &[-1, (SIZES * waves.width) as i64])
    }
}
