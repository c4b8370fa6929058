//! `Lumina2Transformer2DModel`, the denoiser of Lumina-Image 2.0 (Qin et al., arXiv:2503.21758).
//!
//! Tokens of the caption before those of the picture, two latents down and across each, in one attention of which keys and values are shared
//! by several queries. The time counts from noise to picture.

use serde_json::json;

use super::{other_part, ports};
use crate::Part;
use crate::blocks::{Activation, Angles, Gated, Heads, Order, PATCH, Waves};
use crate::config::Members;
use crate::error::Result;
use crate::network::{Network, Scope, Value};

/// Base of the rotation's frequencies.
const THETA: f64 = 10_000.0;
/// Waves of the time.
const WAVES: Waves = Waves {
    width: 256,
    cosines_first: true,
    shift: 0.0,
};
/// Widest embedded time.
const TIME: usize = 1024;
/// How much wider than a block its gated layer is, before that is rounded.
const WIDER: usize = 4;
/// Of the norms of heads, and of the last one.
const EPSILON_OF_HEADS: f32 = 1e-5;
const EPSILON_OF_END: f32 = 1e-6;

struct Config {
    channels: usize,
    width: usize,
    inner: usize,
    layers: usize,
    refiners: usize,
    heads: Heads,
    text: usize,
    axes: Vec<usize>,
    epsilon: f32,
}

impl Config {
    fn read(mut members: Members) -> Result<Self> {
        let width = members.size_or("hidden_size", 2304)?;
        let count = members.size_or("num_attention_heads", 24)?;
        let shared = members.size("num_kv_heads")?.unwrap_or(count);
        if !width.is_multiple_of(2 * count) {
            let problem = format!("a width of {width} does not divide into them by two");
            return Err(members.wrong("num_attention_heads", count, problem));
        }
        if !count.is_multiple_of(shared) {
            let problem = format!("{count} heads do not share them evenly");
            return Err(members.wrong("num_kv_heads", shared, problem));
        }
        let multiple = members.size_or("multiple_of", 256)?;
        let factor = members.or("ffn_dim_multiplier", 1.0)?;
        let inner = (factor * (WIDER * width) as f64) as usize;
        if !(1..=1 << 20).contains(&inner) {
            return Err(members.wrong("ffn_dim_multiplier", factor, "no such network is built"));
        }
        let channels = members.size_or("in_channels", 16)?;
        let config = Self {
            channels,
            width,
            inner: inner.next_multiple_of(multiple),
            layers: members.count_or("num_layers", 26)?,
            refiners: members.count_or("num_refiner_layers", 2)?,
            heads: Heads {
                shared,
                ..Heads::of(count, width)
            },
            text: members.size_or("cap_feat_dim", 1024)?,
            axes: members.axes("axes_dim_rope", &[32; 3], width / count)?,
            epsilon: members.or("norm_eps", 1e-5)?,
        };
        members.only("patch_size", &[json!(PATCH)])?;
        members.only("out_channels", &[json!(channels)])?;
        // The lengths of the axes are those of tables, and no layer reads the factor; the size is the pipeline's.
        members.irrelevant(&["axes_lens", "sample_size", "scaling_factor"]);
        members.finish()?;
        Ok(config)
    }

    /// Width of the embedded time.
    fn time(&self) -> usize {
        self.width.min(TIME)
    }
}

pub(super) fn build(part: &Part, members: Members, network: &mut Network<'_>) -> Result<()> {
    if *part != Part::Denoiser {
        return Err(other_part(&members, part));
    }
    let config = Config::read(members)?;
    let [sample, time] = ports::sample_and_time(network, config.channels);
    let text = ports::states(network, "encoder_hidden_states", config.text);
    let answer = network.root().lumina2([sample, time, text], &config)?;
    network.output(answer, "out_sample", &ports::planes(config.channels));
    Ok(())
}

impl Scope<'_, '_> {
    fn lumina2(&mut self, [sample, time, text]: [Value; 3], config: &Config) -> Result<Value> {
        let width = config.width;
        let mut both = self.at("time_caption_embed");
        let time = both.reshaped(time, &[1, 1]);
        let waves = both.waves(time, WAVES);
        let sizes = [WAVES.width, config.time()];
        let time = both
            .at("timestep_embedder")
            .embedded(waves, sizes, Activation::Silu)?;
        let words = both.rows(text, config.text);
        let words = both
            .at("caption_embedder.0")
            .rms_norm(words, config.text, config.epsilon)?;
        let mut words = both
            .at("caption_embedder.1")
            .linear(words, [config.text, width], true)?;
        let tokens = self.size_of(text, 1);
        let grid = self.grid(sample);
        let [of_words, of_image, of_all] = self.places_of_lumina2(tokens, grid, &config.axes);
        for layer in 0..config.refiners {
            let mut block = self.at(format_args!("context_refiner.{layer}"));
            words = block.lumina_block(words, None, of_words, config)?;
        }
        let patches = self.packed(sample, grid, config.channels, Order::Places);
        let from = PATCH * PATCH * config.channels;
        let mut image = self.at("x_embedder").linear(patches, [from, width], true)?;
        for layer in 0..config.refiners {
            let mut block = self.at(format_args!("noise_refiner.{layer}"));
            image = block.lumina_block(image, Some(time), of_image, config)?;
        }
        let mut all = self.node("Concat", &[words, image], &[("axis", 0.into())]);
        for layer in 0..config.layers {
            let mut block = self.at(format_args!("layers.{layer}"));
            all = block.lumina_block(all, Some(time), of_all, config)?;
        }
        let image = self.behind(all, tokens);
        let mut end = self.at("norm_out");
        let active = end.activated(time, Activation::Silu);
        let scale = end
            .at("linear_1")
            .linear(active, [config.time(), width], true)?;
        let scale = end.reshaped(scale, &[-1]);
        let zeros = end.floats(&[width], &vec![0.0; width]);
        let normal = end.shifted(image, [zeros, scale], EPSILON_OF_END);
        let answer = end.at("linear_2").linear(normal, [width, from], true)?;
        Ok(self.unpacked(answer, grid, config.channels, Order::Places))
    }

    /// Angles of the caption, of the picture, and of both. A word is at `(its place, 0, 0)`, a patch at `(words, row, column)`.
    fn places_of_lumina2(
        &mut self,
        tokens: Value,
        grid: [Value; 2],
        axes: &[usize],
    ) -> [Angles; 3] {
        let places = self.places(tokens);
        let words = self.along_first(places, axes, THETA);
        let behind = self.node("Cast", &[tokens], &[("to", 1.into())]);
        let image = self.across_grid(behind, grid, axes, THETA);
        let both = self.node("Concat", &[words, image], &[("axis", 0.into())]);
        [words, image, both].map(|angles| self.angles(angles, true))
    }

    /// One block; steered by the time, unless there is none.
    fn lumina_block(
        &mut self,
        rows: Value,
        time: Option<Value>,
        angles: Angles,
        config: &Config,
    ) -> Result<Value> {
        let Config {
            width,
            inner,
            epsilon,
            ..
        } = *config;
        // Factors of the norms before and behind attention, and before and behind the gated layer.
        let mut factors = [None; WIDER];
        let mut first = "norm1";
        if let Some(time) = time {
            first = "norm1.norm";
            let mut layer = self.at("norm1");
            let active = layer.activated(time, Activation::Silu);
            let all = layer
                .at("linear")
                .linear(active, [config.time(), WIDER * width], true)?;
            let [before, behind, before_layer, behind_layer] = layer.pieces::<WIDER>(all, width);
            let one = layer.number(1.0);
            factors = [
                Some(layer.add(before, one)),
                Some(layer.node("Tanh", &[behind], &[])),
                Some(layer.add(before_layer, one)),
                Some(layer.node("Tanh", &[behind_layer], &[])),
            ];
        }
        let normal = self
            .at(first)
            .scaled_norm(rows, factors[0], width, epsilon)?;
        let seen = self.at("attn").lumina_attention(normal, angles, config)?;
        let seen = self
            .at("norm2")
            .scaled_norm(seen, factors[1], width, epsilon)?;
        let rows = self.add(seen, rows);
        let normal = self
            .at("ffn_norm1")
            .scaled_norm(rows, factors[2], width, epsilon)?;
        let names = Gated::Apart(["linear_1.weight", "linear_3.weight", "linear_2.weight"]);
        let out = self.at("feed_forward").gated(
            normal,
            names,
            Activation::Silu,
            [width, inner, width],
        )?;
        let out = self
            .at("ffn_norm2")
            .scaled_norm(out, factors[3], width, epsilon)?;
        Ok(self.add(out, rows))
    }

    fn lumina_attention(&mut self, rows: Value, angles: Angles, config: &Config) -> Result<Value> {
        let (width, heads) = (config.width, config.heads);
        let narrow = heads.shared * heads.size;
        let q = self.at("to_q").linear(rows, [width; 2], false)?;
        let k = self.at("to_k").linear(rows, [width, narrow], false)?;
        let v = self.at("to_v").linear(rows, [width, narrow], false)?;
        let q = self
            .at("norm_q")
            .head_norm(q, heads.count, heads.size, EPSILON_OF_HEADS)?;
        let k = self
            .at("norm_k")
            .head_norm(k, heads.shared, heads.size, EPSILON_OF_HEADS)?;
        let q = self.turned(q, angles, heads.count, heads.size);
        let k = self.turned(k, angles, heads.shared, heads.size);
        let seen = self.looked([q, k, v], None, heads);
        self.at("to_out.0").linear(seen, [width; 2], false)
    }
}
