//! `SanaTransformer2DModel`, the denoiser of SANA (Xie et al., arXiv:2410.10629) and of SANA-Sprint (Chen et al., arXiv:2503.09641), which is
//! told the guidance scale.
//!
//! A latent is a token. Tokens see each other by attention that is linear in their number and by convolutions, and so need no places.

use serde_json::json;

use super::ports::ONE;
use super::{other_part, ports};
use crate::Part;
use crate::blocks::{Activation, Heads, Waves};
use crate::config::Members;
use crate::error::Result;
use crate::network::{Dim, Network, PortType, Scope, Value};

/// Waves of the time and of the guidance scale.
const WAVES: Waves = Waves {
    width: 256,
    cosines_first: true,
    shift: 0.0,
};
/// Shift, scale and gate of attention and of the gated layer.
const STEERED: usize = 6;
/// Of the norms of text, queries and keys, and of the last one.
const EPSILON: f32 = 1e-5;
const EPSILON_OF_END: f32 = 1e-6;

struct Config {
    channels: usize,
    width: usize,
    heads: Heads,
    /// Of the attention to the text.
    text_heads: Heads,
    layers: usize,
    text: usize,
    inner: usize,
    bias: bool,
    epsilon: f32,
    /// What the guidance scale is multiplied with, where it is told.
    guidance: Option<f32>,
    /// Whether queries and keys are normed.
    normed: bool,
}

impl Config {
    fn read(mut members: Members) -> Result<Self> {
        let (count, size) = (
            members.size_or("num_attention_heads", 70)?,
            members.size_or("attention_head_dim", 32)?,
        );
        let width = count * size;
        let (text_count, text_size) = (
            members.size_or("num_cross_attention_heads", 20)?,
            members.size_or("cross_attention_head_dim", 112)?,
        );
        let channels = members.size_or("in_channels", 32)?;
        let ratio = members.or("mlp_ratio", 2.5)?;
        let inner = (ratio * width as f64) as usize;
        let factor = members.or("guidance_embeds_scale", 0.1)?;
        let norm: Option<String> = members.get("qk_norm")?;
        let config = Self {
            channels,
            width,
            heads: Heads::of(count, width),
            text_heads: Heads::of(text_count, text_count * text_size),
            layers: members.count_or("num_layers", 20)?,
            text: members.size_or("caption_channels", 2304)?,
            inner,
            bias: members.or("attention_bias", false)?,
            epsilon: members.or("norm_eps", 1e-6)?,
            guidance: members.or("guidance_embeds", false)?.then_some(factor),
            normed: norm.is_some(),
        };
        if let Some(norm) = norm.filter(|norm| norm != "rms_norm_across_heads") {
            return Err(members.wrong("qk_norm", norm, "rms_norm_across_heads is built"));
        }
        if !(1..=1 << 20).contains(&inner) {
            return Err(members.wrong("mlp_ratio", ratio, "no such network is built"));
        }
        members.only("out_channels", &[json!(channels)])?;
        members.only("patch_size", &[json!(1)])?;
        members.only("norm_elementwise_affine", &[json!(false)])?;
        // Without attention to the text it would be null; the size is that of what comes out of it.
        if let Some(None) = members.nullable::<usize>("cross_attention_dim")? {
            return Err(members.wrong("cross_attention_dim", "null", "text has to be seen"));
        }
        if let Some(scale) = members.get::<f64>("interpolation_scale")? {
            let problem =
                "networks of more than 1024 pixels, whose latents have places, are not built";
            return Err(members.wrong("interpolation_scale", scale, problem));
        }
        // Of training; the size of a picture and the unit of time are the pipeline's.
        members.irrelevant(&["dropout", "sample_size", "timestep_scale"]);
        members.finish()?;
        Ok(config)
    }
}

pub(super) fn build(part: &Part, members: Members, network: &mut Network<'_>) -> Result<()> {
    if *part != Part::Denoiser {
        return Err(other_part(&members, part));
    }
    let config = Config::read(members)?;
    let [sample, time] = ports::sample_and_time(network, config.channels);
    let tokens = Dim::Of("sequence_length");
    let given = Given {
        sample,
        time,
        text: ports::states(network, "encoder_hidden_states", config.text),
        mask: network.input("encoder_attention_mask", PortType::Int64, &[ONE, tokens]),
        guidance: config
            .guidance
            .map(|factor| (network.input("guidance", PortType::Float32, &[ONE]), factor)),
    };
    let answer = network.root().sana(&given, &config)?;
    network.output(answer, "out_sample", &ports::planes(config.channels));
    Ok(())
}

struct Given {
    sample: Value,
    time: Value,
    text: Value,
    mask: Value,
    /// The guidance scale, and what it is multiplied with.
    guidance: Option<(Value, f32)>,
}

/// The text that tokens look at.
#[derive(Clone, Copy)]
struct Caption {
    rows: Value,
    mask: Value,
}

impl Scope<'_, '_> {
    fn sana(&mut self, given: &Given, config: &Config) -> Result<Value> {
        let width = config.width;
        let pixels = self.rows_of_planes(given.sample, config.channels);
        let mut embed = self.at("patch_embed.proj");
        let shape = [width, config.channels];
        let matrix = embed.weight_as("weight", &[shape[0], shape[1], 1, 1], &shape)?;
        let bias = embed.weight("bias", &[width])?;
        let mut rows = embed.product(pixels, matrix, Some(bias));
        let time = self.told(given, config)?;
        let active = self.activated(time, Activation::Silu);
        let steering =
            self.at("time_embed.linear")
                .linear(active, [width, STEERED * width], true)?;
        let steering = self.reshaped(steering, &[STEERED as i64, width as i64]);
        let words = self.rows(given.text, config.text);
        let mut projection = self.at("caption_projection");
        let inner = projection
            .at("linear_1")
            .linear(words, [config.text, width], true)?;
        let inner = projection.activated(inner, Activation::GeluTanh);
        let words = projection.at("linear_2").linear(inner, [width; 2], true)?;
        let caption = Caption {
            rows: self.at("caption_norm").rms_norm(words, width, EPSILON)?,
            mask: self.seen(given.mask),
        };
        // Of as many pixels, with the width of the rows.
        let sides = self.node(
            "Shape",
            &[given.sample],
            &[("start", 2.into()), ("end", 4.into())],
        );
        for layer in 0..config.layers {
            let mut block = self.at(format_args!("transformer_blocks.{layer}"));
            rows = block.sana_block(rows, caption, steering, sides, config)?;
        }
        let [shift, scale] = self.steered(time, width)?;
        let one = self.number(1.0);
        let scale = self.add(scale, one);
        let normal = self.modulated(rows, [scale, shift], EPSILON_OF_END);
        let answer = self
            .at("proj_out")
            .linear(normal, [width, config.channels], true)?;
        Ok(self.planes_of_rows(answer, config.channels, given.sample))
    }

    /// The time, and the guidance scale where it is told, through two layers each: `[1, width]`.
    fn told(&mut self, given: &Given, config: &Config) -> Result<Value> {
        let sizes = [WAVES.width, config.width];
        let time = self.reshaped(given.time, &[1, 1]);
        let waves = self.waves(time, WAVES);
        let Some((guidance, factor)) = given.guidance else {
            let mut module = self.at("time_embed.emb.timestep_embedder");
            return module.embedded(waves, sizes, Activation::Silu);
        };
        let mut module = self.at("time_embed.timestep_embedder");
        let time = module.embedded(waves, sizes, Activation::Silu)?;
        let factor = self.number(factor);
        let guidance = self.multiply(guidance, factor);
        let guidance = self.reshaped(guidance, &[1, 1]);
        let waves = self.waves(guidance, WAVES);
        let mut module = self.at("time_embed.guidance_embedder");
        let guidance = module.embedded(waves, sizes, Activation::Silu)?;
        Ok(self.add(time, guidance))
    }

    /// `N` vectors `[width]`: those of the table of this place, and what is added to each.
    fn steered<const N: usize>(&mut self, rows: Value, width: usize) -> Result<[Value; N]> {
        let table = self.weight("scale_shift_table", &[N, width])?;
        let sum = self.add(table, rows);
        let mut row = 0;
        Ok([(); N].map(|()| {
            let piece = self.slice(sum, 0, row, row + 1);
            row += 1;
            self.reshaped(piece, &[-1])
        }))
    }

    fn sana_block(
        &mut self,
        rows: Value,
        caption: Caption,
        steering: Value,
        sides: Value,
        config: &Config,
    ) -> Result<Value> {
        let width = config.width;
        let [
            shift,
            scale,
            gate,
            shift_of_layer,
            scale_of_layer,
            gate_of_layer,
        ] = self.steered::<STEERED>(steering, width)?;
        let one = self.number(1.0);
        let scale = self.add(scale, one);
        let normal = self.modulated(rows, [scale, shift], config.epsilon);
        let seen = self.at("attn1").sana_attention(normal, config)?;
        let seen = self.multiply(seen, gate);
        let rows = self.add(seen, rows);
        let read = self.at("attn2").sana_reading(rows, caption, config)?;
        let rows = self.add(read, rows);
        let scale = self.add(scale_of_layer, one);
        let normal = self.modulated(rows, [scale, shift_of_layer], config.epsilon);
        let flat = self.node("Transpose", &[normal], &[("perm", [1, 0].into())]);
        let lead = self.integers(&[1, width as i64]);
        let shape = self.node("Concat", &[lead, sides], &[("axis", 0.into())]);
        let planes = self.node("Reshape", &[flat, shape], &[]);
        let sizes = [width, config.inner, width];
        let planes = self.at("ff").gated_convolutions(planes, sizes)?;
        let out = self.rows_of_planes(planes, width);
        let out = self.multiply(out, gate_of_layer);
        Ok(self.add(out, rows))
    }

    /// Queries and keys, normed where the configuration says so.
    fn sana_norm(
        &mut self,
        name: &str,
        rows: Value,
        width: usize,
        config: &Config,
    ) -> Result<Value> {
        if !config.normed {
            return Ok(rows);
        }
        self.at(name).rms_norm(rows, width, EPSILON)
    }

    fn sana_attention(&mut self, rows: Value, config: &Config) -> Result<Value> {
        let Config {
            width, heads, bias, ..
        } = *config;
        let q = self.at("to_q").linear(rows, [width; 2], bias)?;
        let k = self.at("to_k").linear(rows, [width; 2], bias)?;
        let v = self.at("to_v").linear(rows, [width; 2], bias)?;
        let q = self.sana_norm("norm_q", q, width, config)?;
        let k = self.sana_norm("norm_k", k, width, config)?;
        let qkv = [q, k, v].map(|rows| {
            let columns = self.node("Transpose", &[rows], &[("perm", [1, 0].into())]);
            self.reshaped(columns, &[1, heads.count as i64, heads.size as i64, -1])
        });
        let seen = self.linear_attention(qkv);
        let columns = self.reshaped(seen, &[width as i64, -1]);
        let rows = self.node("Transpose", &[columns], &[("perm", [1, 0].into())]);
        self.at("to_out.0").linear(rows, [width; 2], true)
    }

    fn sana_reading(&mut self, rows: Value, caption: Caption, config: &Config) -> Result<Value> {
        let (width, heads) = (config.width, config.text_heads);
        let inner = heads.count * heads.size;
        let q = self.at("to_q").linear(rows, [width, inner], true)?;
        let k = self.at("to_k").linear(caption.rows, [width, inner], true)?;
        let v = self.at("to_v").linear(caption.rows, [width, inner], true)?;
        let q = self.sana_norm("norm_q", q, inner, config)?;
        let k = self.sana_norm("norm_k", k, inner, config)?;
        let [q, k] = [q, k].map(|rows| self.reshaped(rows, &[1, -1, inner as i64]));
        let seen = self.looked([q, k, v], Some(caption.mask), heads);
        self.at("to_out.0").linear(seen, [inner, width], true)
    }
}
