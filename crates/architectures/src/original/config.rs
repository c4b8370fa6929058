//! Configurations of the networks of known checkpoints, of the shapes of their weights.
//!
//! What no shape shows is what all models of a family have in common: heads, groups of norms, activations. Networks of other widths are not
//! known, and nothing is guessed of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::checkpoint::{Checkpoint, Component};
use super::facts::Family;
use crate::error::{Error, Result};
use crate::weights::Stored;

/// Width of a head, of all but the denoiser of the first family.
const HEAD: usize = 64;
/// Heads of that one.
const HEADS_OF_FIRST: usize = 8;
/// Waves that SDXL makes of each size of a picture.
const WAVES: usize = 256;
/// Most levels, layers and blocks that are counted.
const MOST: usize = 64;

/// Tensors of a network by diffusers' names.
struct Shapes<'c> {
    checkpoint: &'c Checkpoint,
    tensors: &'c BTreeMap<String, Stored>,
}

impl Shapes<'_> {
    fn size(&self, name: &str, place: usize) -> Result<usize> {
        let stored = self
            .tensors
            .get(name)
            .ok_or_else(|| Error::Missing(name.to_owned()))?;
        stored
            .shape
            .get(place)
            .copied()
            .ok_or_else(|| self.unknown(&format!("{name} has {} dimensions", stored.shape.len())))
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// How many there are, one after the other, of what `name` calls.
    fn count(&self, name: impl Fn(usize) -> String) -> usize {
        (0..MOST)
            .take_while(|index| self.has(&name(*index)))
            .count()
    }

    fn unknown(&self, what: &str) -> Error {
        Error::Checkpoint {
            file: self.checkpoint.file().to_owned(),
            problem: format!(
                "{what}, which no known model has; the configurations of one that does, in a folder or on the hub, are wanted (--like)"
            ),
        }
    }

    fn is(&self, what: &str, found: usize, known: usize) -> Result<()> {
        if found == known {
            return Ok(());
        }
        Err(self.unknown(&format!("{what} is {found} and not {known}")))
    }
}

impl Checkpoint {
    /// The configuration of a network, as diffusers or transformers would save it.
    ///
    /// # Errors
    /// [`Error::Missing`], and [`Error::Checkpoint`] for networks of other widths than those of the family.
    pub fn config(&self, component: Component) -> Result<Value> {
        let shapes = Shapes {
            checkpoint: self,
            tensors: self.tensors(component),
        };
        match component {
            Component::TextEncoder => shapes.text_encoder(match self.facts().family {
                Family::First | Family::Xl => 768,
                Family::Second => 1024,
            }),
            Component::TextEncoder2 => shapes.text_encoder(1280),
            Component::Unet => shapes.unet(),
            Component::Vae => shapes.vae(),
        }
    }
}

impl Shapes<'_> {
    fn text_encoder(&self, known: usize) -> Result<Value> {
        let inside = if self.has("embeddings.token_embedding.weight") {
            ""
        } else {
            "text_model."
        };
        let words = format!("{inside}embeddings.token_embedding.weight");
        let width = self.size(&words, 1)?;
        self.is("the width of its text encoder", width, known)?;
        let layers =
            self.count(|layer| format!("{inside}encoder.layers.{layer}.layer_norm1.weight"));
        let open_clip = known != 768;
        let mut config = json!({
            "architectures": ["CLIPTextModel"],
            "vocab_size": self.size(&words, 0)?,
            "hidden_size": width,
            "intermediate_size": self.size(&format!("{inside}encoder.layers.0.mlp.fc1.weight"), 0)?,
            "num_hidden_layers": layers,
            "num_attention_heads": width / HEAD,
            "max_position_embeddings": self.size(&format!("{inside}embeddings.position_embedding.weight"), 0)?,
            "hidden_act": if open_clip { "gelu" } else { "quick_gelu" },
            "layer_norm_eps": 1e-5,
            "eos_token_id": 2
        });
        if self.has("text_projection") {
            config["architectures"] = json!(["CLIPTextModelWithProjection"]);
            config["projection_dim"] = json!(self.size("text_projection", 1)?);
        }
        Ok(config)
    }

    fn unet(&self) -> Result<Value> {
        let family = self.checkpoint.facts().family;
        let levels = self.count(|level| format!("down_blocks.{level}.resnets.0.conv1.weight"));
        let layers = self.count(|layer| format!("down_blocks.0.resnets.{layer}.conv1.weight"));
        let depth = |place: &str| {
            self.count(|block| format!("{place}.transformer_blocks.{block}.norm1.weight"))
        };
        let (mut channels, mut heads) = (Vec::new(), Vec::new());
        let (mut down, mut up) = (Vec::new(), Vec::new());
        for level in 0..levels {
            let wide = self.size(&format!("down_blocks.{level}.resnets.0.conv1.weight"), 0)?;
            channels.push(wide);
            heads.push(match family {
                Family::First => HEADS_OF_FIRST,
                Family::Second | Family::Xl => wide / HEAD,
            });
            let depths = |side: &str, layers: usize| -> Vec<usize> {
                (0..layers)
                    .map(|layer| depth(&format!("{side}_blocks.{level}.attentions.{layer}")))
                    .collect()
            };
            down.push(depths("down", layers));
            up.push(depths("up", layers + 1));
        }
        let attends = |depths: &Vec<usize>| depths.iter().any(|depth| *depth > 0);
        let middle = depth("mid_block.attentions.0");
        // One number for a level whose layers have as many; of one without attention the middle has the last one's.
        let depths = |depths: &Vec<usize>, last: bool| match depths.first() {
            _ if !attends(depths) => json!(if last { middle.max(1) } else { 1 }),
            Some(first) if depths.iter().all(|depth| depth == first) => json!(first),
            _ => json!(depths),
        };
        let downward: Vec<Value> = down
            .iter()
            .enumerate()
            .map(|(level, of)| depths(of, level + 1 == levels))
            .collect();
        let upward: Vec<Value> = up
            .iter()
            .enumerate()
            .map(|(level, of)| depths(of, level == 0))
            .collect();
        let name =
            |depths: &Vec<usize>, [plain, attending]: [&'static str; 2]| match attends(depths) {
                true => attending,
                false => plain,
            };
        let some = down.iter().enumerate().find_map(|(level, of)| {
            let layer = of.iter().position(|depth| *depth > 0)?;
            Some(format!("down_blocks.{level}.attentions.{layer}"))
        });
        let some = some.ok_or_else(|| self.unknown("its denoiser attends to no text"))?;
        let text = self.size(&format!("{some}.transformer_blocks.0.attn2.to_k.weight"), 1)?;
        self.is(
            "the width of texts",
            text,
            match family {
                Family::First => 768,
                Family::Second => 1024,
                Family::Xl => 2048,
            },
        )?;
        let first = channels.first().copied().unwrap_or_default();
        self.is("the width of its denoiser", first, 320)?;
        let proj_in = self.tensors.get(&format!("{some}.proj_in.weight"));
        let mut config = json!({
            "_class_name": "UNet2DConditionModel",
            "in_channels": self.size("conv_in.weight", 1)?,
            "out_channels": self.size("conv_out.weight", 0)?,
            "block_out_channels": channels,
            "layers_per_block": layers,
            "down_block_types": down.iter().map(|of| name(of, ["DownBlock2D", "CrossAttnDownBlock2D"])).collect::<Vec<_>>(),
            "up_block_types": up.iter().map(|of| name(of, ["UpBlock2D", "CrossAttnUpBlock2D"])).collect::<Vec<_>>(),
            "mid_block_type": if middle > 0 {
                json!("UNetMidBlock2DCrossAttn")
            } else if self.has("mid_block.resnets.0.conv1.weight") {
                json!("UNetMidBlock2D")
            } else {
                Value::Null
            },
            "attention_head_dim": heads,
            "cross_attention_dim": text,
            "use_linear_projection": proj_in.is_some_and(|stored| stored.shape.len() == 2),
            "transformer_layers_per_block": downward
        });
        if upward.iter().rev().ne(&downward) || downward.iter().any(Value::is_array) {
            config["reverse_transformer_layers_per_block"] = json!(upward);
        }
        if family == Family::Xl {
            config["addition_embed_type"] = json!("text_time");
            config["addition_time_embed_dim"] = json!(WAVES);
            config["projection_class_embeddings_input_dim"] =
                json!(self.size("add_embedding.linear_1.weight", 1)?);
        }
        if self.has("time_embedding.cond_proj.weight") {
            config["time_cond_proj_dim"] = json!(self.size("time_embedding.cond_proj.weight", 1)?);
        }
        Ok(config)
    }

    fn vae(&self) -> Result<Value> {
        let levels =
            self.count(|level| format!("encoder.down_blocks.{level}.resnets.0.conv1.weight"));
        let layers =
            self.count(|layer| format!("encoder.down_blocks.0.resnets.{layer}.conv1.weight"));
        let channels = (0..levels).map(|level| {
            self.size(
                &format!("encoder.down_blocks.{level}.resnets.0.conv1.weight"),
                0,
            )
        });
        let channels: Vec<usize> = channels.collect::<Result<_>>()?;
        let first = channels.first().copied().unwrap_or_default();
        self.is("the width of its autoencoder", first, 128)?;
        Ok(json!({
            "_class_name": "AutoencoderKL",
            "in_channels": 3,
            "out_channels": 3,
            "latent_channels": self.size("post_quant_conv.weight", 1)?,
            "block_out_channels": channels,
            "layers_per_block": layers,
            "down_block_types": vec!["DownEncoderBlock2D"; levels],
            "up_block_types": vec!["UpDecoderBlock2D"; levels],
            "scaling_factor": if self.checkpoint.facts().family == Family::Xl { 0.13025 } else { 0.18215 }
        }))
    }
}
