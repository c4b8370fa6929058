//! The table of names: modules as the original code calls them, and as diffusers and transformers do.

use std::collections::BTreeMap;

/// Layers of a residual block of the denoiser.
const RESNET: [(&str, &str); 6] = [
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
];

/// What stands around the blocks of the denoiser.
const AROUND_BLOCKS: [(&str, &str); 8] = [
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("time_embed.cond_proj", "time_embedding.cond_proj"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
];

/// Layers of a residual block of the autoencoder.
const RESNET_OF_PICTURES: [(&str, &str); 5] = [
    ("norm1", "norm1"),
    ("conv1", "conv1"),
    ("norm2", "norm2"),
    ("conv2", "conv2"),
    ("nin_shortcut", "conv_shortcut"),
];

/// Attention in the middle of the autoencoder.
const ATTENTION_OF_PICTURES: [(&str, &str); 5] = [
    ("norm", "group_norm"),
    ("q", "to_q"),
    ("k", "to_k"),
    ("v", "to_v"),
    ("proj_out", "to_out.0"),
];

/// A layer of OpenCLIP's text encoder; its queries, keys and values are one matrix, which is no module.
const LAYER: [(&str, &str); 5] = [
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("attn.out_proj", "self_attn.out_proj"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
];

/// Modules of a network, or blocks of them whose inner names are the same, under both names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// Of a denoiser with so many sizes of planes, and on the way down so many layers at each: 4 and 2 of Stable Diffusion 1 and 2, 3 and 2
    /// of SDXL.
    pub fn unet(levels: usize, layers: usize) -> Self {
        let mut names = Self(BTreeMap::new());
        names.within("", "", &AROUND_BLOCKS);
        // On the way down, each level ends with a block that halves the planes; on the way up it has a layer more instead.
        let blocks = layers + 1;
        for level in 0..levels {
            for layer in 0..layers {
                let block = format!("input_blocks.{}", 1 + level * blocks + layer);
                let down = format!("down_blocks.{level}");
                names.layer(&block, &down, layer);
            }
            if level + 1 < levels {
                names.add(
                    format!("input_blocks.{}.0.op", (level + 1) * blocks),
                    format!("down_blocks.{level}.downsamplers.0.conv"),
                );
            }
            let up = format!("up_blocks.{level}");
            for layer in 0..blocks {
                names.layer(
                    &format!("output_blocks.{}", level * blocks + layer),
                    &up,
                    layer,
                );
            }
            if level + 1 < levels {
                // It is behind the attention, where there is one.
                for place in 1..=2 {
                    names.add(
                        format!("output_blocks.{}.{place}.conv", level * blocks + layers),
                        format!("{up}.upsamplers.0.conv"),
                    );
                }
            }
        }
        names.within("middle_block.0.", "mid_block.resnets.0.", &RESNET);
        names.add("middle_block.1", "mid_block.attentions.0");
        names.within("middle_block.2.", "mid_block.resnets.1.", &RESNET);
        names
    }

    /// Of an autoencoder with so many sizes of planes, whose encoder has so many layers at each and its decoder one more.
    pub fn autoencoder(levels: usize, layers: usize) -> Self {
        let mut names = Self(BTreeMap::new());
        for name in ["quant_conv", "post_quant_conv"] {
            names.add(name, name);
        }
        for side in ["encoder", "decoder"] {
            for name in ["conv_in", "conv_out"] {
                names.add(format!("{side}.{name}"), format!("{side}.{name}"));
            }
            names.add(format!("{side}.norm_out"), format!("{side}.conv_norm_out"));
            let (mid, block) = (format!("{side}.mid."), format!("{side}.mid_block."));
            for resnet in 0..2 {
                names.within(
                    &format!("{mid}block_{}.", resnet + 1),
                    &format!("{block}resnets.{resnet}."),
                    &RESNET_OF_PICTURES,
                );
            }
            names.within(
                &format!("{mid}attn_1."),
                &format!("{block}attentions.0."),
                &ATTENTION_OF_PICTURES,
            );
        }
        for level in 0..levels {
            // Levels of the original decoder are counted from the picture, diffusers' from the latents.
            let sides = [
                ("encoder.down", level, "encoder.down_blocks", layers),
                (
                    "decoder.up",
                    levels - 1 - level,
                    "decoder.up_blocks",
                    layers + 1,
                ),
            ];
            for (original, at, diffusers, layers) in sides {
                for layer in 0..layers {
                    names.within(
                        &format!("{original}.{at}.block.{layer}."),
                        &format!("{diffusers}.{level}.resnets.{layer}."),
                        &RESNET_OF_PICTURES,
                    );
                }
            }
            if level + 1 < levels {
                names.add(
                    format!("encoder.down.{level}.downsample.conv"),
                    format!("encoder.down_blocks.{level}.downsamplers.0.conv"),
                );
                names.add(
                    format!("decoder.up.{}.upsample.conv", levels - 1 - level),
                    format!("decoder.up_blocks.{level}.upsamplers.0.conv"),
                );
            }
        }
        names
    }

    /// Of OpenCLIP's text encoder with so many layers.
    pub fn open_clip(layers: usize) -> Self {
        let mut names = Self(BTreeMap::new());
        let model = "text_model";
        names.add(
            "token_embedding",
            format!("{model}.embeddings.token_embedding"),
        );
        names.add(
            "positional_embedding",
            format!("{model}.embeddings.position_embedding.weight"),
        );
        names.add("ln_final", format!("{model}.final_layer_norm"));
        // Not a layer, but a matrix that rows are multiplied by: it lies the other way around.
        names.add("text_projection", "text_projection");
        for layer in 0..layers {
            names.within(
                &format!("transformer.resblocks.{layer}."),
                &format!("{model}.encoder.layers.{layer}."),
                &LAYER,
            );
        }
        names
    }

    /// A residual block and the attention behind it.
    fn layer(&mut self, original: &str, diffusers: &str, layer: usize) {
        let resnet = format!("{diffusers}.resnets.{layer}.");
        self.within(&format!("{original}.0."), &resnet, &RESNET);
        self.add(
            format!("{original}.1"),
            format!("{diffusers}.attentions.{layer}"),
        );
    }

    fn within(&mut self, original: &str, diffusers: &str, pairs: &[(&str, &str)]) {
        for (from, to) in pairs {
            self.add(format!("{original}{from}"), format!("{diffusers}{to}"));
        }
    }

    fn add(&mut self, original: impl Into<String>, diffusers: impl Into<String>) {
        self.0.insert(original.into(), diffusers.into());
    }

    /// Original names of modules, each with that of diffusers. A name that is a part of another one, `output_blocks.2.1` of
    /// `output_blocks.2.1.conv`, stands for what the longer one does not.
    pub fn modules(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(from, to)| (from.as_str(), to.as_str()))
    }

    /// What diffusers calls a weight or a module within this network, by its original name; nothing for one that it does not have.
    pub fn diffusers(&self, original: &str) -> Option<String> {
        let mut module = original;
        loop {
            if let Some(known) = self.0.get(module) {
                let rest = original.get(module.len()..).unwrap_or_default();
                return Some(format!("{known}{rest}"));
            }
            module = module.rsplit_once('.')?.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of diffusers' conversion script (`convert_original_stable_diffusion_to_diffusers.py`) as it prints them for the published files.
    #[test]
    fn names_are_those_of_diffusers() {
        let of = |names: &Names, pairs: &[(&str, &str)]| {
            for (original, diffusers) in pairs {
                assert_eq!(names.diffusers(original).as_deref(), Some(*diffusers));
            }
        };
        of(
            &Names::unet(4, 2),
            &[
                ("input_blocks.0.0.weight", "conv_in.weight"),
                (
                    "input_blocks.4.1.transformer_blocks.0.attn1.to_k.weight",
                    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k.weight",
                ),
                (
                    "input_blocks.3.0.op.bias",
                    "down_blocks.0.downsamplers.0.conv.bias",
                ),
                (
                    "input_blocks.11.0.out_layers.3.weight",
                    "down_blocks.3.resnets.1.conv2.weight",
                ),
                (
                    "middle_block.2.emb_layers.1.weight",
                    "mid_block.resnets.1.time_emb_proj.weight",
                ),
                (
                    "output_blocks.2.1.conv.weight",
                    "up_blocks.0.upsamplers.0.conv.weight",
                ),
                (
                    "output_blocks.5.2.conv.weight",
                    "up_blocks.1.upsamplers.0.conv.weight",
                ),
                (
                    "output_blocks.5.1.proj_in.weight",
                    "up_blocks.1.attentions.2.proj_in.weight",
                ),
                (
                    "output_blocks.11.0.skip_connection.weight",
                    "up_blocks.3.resnets.2.conv_shortcut.weight",
                ),
            ],
        );
        of(
            &Names::unet(3, 2),
            &[
                (
                    "input_blocks.8.1.transformer_blocks.9.ff.net.0.proj.bias",
                    "down_blocks.2.attentions.1.transformer_blocks.9.ff.net.0.proj.bias",
                ),
                ("label_emb.0.2.bias", "add_embedding.linear_2.bias"),
                (
                    "output_blocks.8.0.in_layers.0.weight",
                    "up_blocks.2.resnets.2.norm1.weight",
                ),
            ],
        );
        of(
            &Names::autoencoder(4, 2),
            &[
                (
                    "decoder.up.3.block.2.conv1.weight",
                    "decoder.up_blocks.0.resnets.2.conv1.weight",
                ),
                (
                    "decoder.up.1.upsample.conv.bias",
                    "decoder.up_blocks.2.upsamplers.0.conv.bias",
                ),
                (
                    "encoder.down.2.block.0.nin_shortcut.weight",
                    "encoder.down_blocks.2.resnets.0.conv_shortcut.weight",
                ),
                (
                    "encoder.mid.attn_1.q.weight",
                    "encoder.mid_block.attentions.0.to_q.weight",
                ),
                (
                    "decoder.mid.block_2.norm1.bias",
                    "decoder.mid_block.resnets.1.norm1.bias",
                ),
            ],
        );
        of(
            &Names::open_clip(32),
            &[
                (
                    "positional_embedding",
                    "text_model.embeddings.position_embedding.weight",
                ),
                (
                    "transformer.resblocks.31.mlp.c_fc.weight",
                    "text_model.encoder.layers.31.mlp.fc1.weight",
                ),
            ],
        );
    }

    #[test]
    fn what_a_network_does_not_have_has_no_name() {
        let names = Names::unet(4, 2);
        for unknown in [
            "input_blocks.12.0.in_layers.0.weight",
            "input_blocks.1.0.in_layers.1.weight",
            "input_blocks.12.0.op.weight",
            "output_blocks.12.1.proj_in.weight",
            "out.1.weight",
            "middle_block.3.in_layers.0.weight",
            "",
        ] {
            assert_eq!(names.diffusers(unknown), None, "{unknown}");
        }
        assert_eq!(
            Names::open_clip(2).diffusers("transformer.resblocks.2.ln_1.bias"),
            None
        );
        // As many modules as diffusers has: no two of them have one name but those of the two places of a layer that enlarges planes.
        let mut given: Vec<&str> = names.modules().map(|(_, name)| name).collect();
        given.sort_unstable();
        let all = given.len();
        given.dedup();
        assert_eq!(all - given.len(), 3);
    }
}
