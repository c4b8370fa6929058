//! `PixArtTransformer2DModel`, the denoiser of PixArt-α and PixArt-Σ (Chen et al., arXiv:2310.00426 and 2403.04692); older folders call it
//! `Transformer2DModel`.
//!
//! Half of what it answers is the variance, which its pipelines do not read.

use serde_json::json;

use super::ports::ONE;
use super::{other_part, ports};
use crate::Part;
use crate::blocks::{Activation, Heads, Order, PATCH, Waves};
use crate::config::Members;
use crate::error::Result;
use crate::network::{Dim, Network, PortType, Scope, Value};

/// Numbers of shift, scale and gate of the two sub-layers of a block.
const SIX: usize = 6;
/// How much wider than a block its inner layer is.
const INNER: usize = 4;
/// Of the last norm.
const EPSILON: f32 = 1e-6;
/// Numbers of an activation that fit into a binding of 128 MiB with room to spare.
const LARGEST: usize = 28 << 20;
const WAVES: Waves = Waves {
    width: 256,
    cosines_first: true,
    shift: 0.0,
};

struct Config {
    channels: usize,
    answered: usize,
    layers: usize,
    heads: Heads,
    width: usize,
    bias: bool,
    text: usize,
    projected: bool,
    /// Tokens down and across of the pictures that it was trained on.
    side: usize,
    interpolation: f64,
    sized: bool,
    epsilon: f32,
}

impl Config {
    fn read(mut members: Members) -> Result<Self> {
        let count = members.size_or("num_attention_heads", 16)?;
        let size = members.size_or("attention_head_dim", 72)?;
        let width = count * size;
        let sample = members.size_or("sample_size", 128)?;
        let channels = members.size_or("in_channels", 4)?;
        let answered = match members.nullable("out_channels")? {
            None => 8,
            Some(stated) => stated.unwrap_or(channels),
        };
        let captions = members.size("caption_channels")?;
        let cross = members.size_or("cross_attention_dim", 1152)?;
        let config = Self {
            channels,
            answered,
            layers: members.count_or("num_layers", 28)?,
            heads: Heads::of(count, width),
            width,
            bias: members.or("attention_bias", true)?,
            text: captions.unwrap_or(cross),
            projected: captions.is_some(),
            side: sample / PATCH,
            interpolation: members.or("interpolation_scale", (sample / 64).max(1) as f64)?,
            sized: members.or("use_additional_conditions", sample == 128)?,
            epsilon: members.or("norm_eps", 1e-6)?,
        };
        members.only("patch_size", &[json!(PATCH)])?;
        members.only("activation_fn", &[json!("gelu-approximate")])?;
        members.only("norm_elementwise_affine", &[json!(false)])?;
        members.only("attention_type", &[json!("default")])?;
        for name in [
            "double_self_attention",
            "only_cross_attention",
            "use_linear_projection",
        ] {
            members.only(name, &[json!(false)])?;
        }
        members.only("num_vector_embeds", &[])?;
        // The default of the older class is another one.
        match members.get::<String>("norm_type")?.as_deref() {
            Some("ada_norm_single") => {}
            None if members.class() == "PixArtTransformer2DModel" => {}
            other => {
                let stated = other.unwrap_or("layer_norm");
                let problem = "networks with ada_norm_single are built";
                return Err(members.wrong("norm_type", stated, problem));
            }
        }
        if config.projected && cross != width {
            let problem = format!("captions are projected to {width}");
            return Err(members.wrong("cross_attention_dim", cross, problem));
        }
        if !width.is_multiple_of(12) {
            let problem = format!("a width of {width} has no quarters and thirds");
            return Err(members.wrong("attention_head_dim", size, problem));
        }
        if answered != channels && answered != 2 * channels {
            let problem = format!("{channels} or their double are wanted");
            return Err(members.wrong("out_channels", answered, problem));
        }
        if config.side == 0 || !(config.interpolation.is_finite() && config.interpolation > 0.0) {
            let problem = "a number above 0 is wanted, and a sample_size of at least one token";
            return Err(members.wrong("interpolation_scale", config.interpolation, problem));
        }
        // Of training, of precision, and of forms that are refused above.
        members.irrelevant(&[
            "dropout",
            "norm_num_groups",
            "num_embeds_ada_norm",
            "upcast_attention",
        ]);
        members.finish()?;
        Ok(config)
    }
}

pub(super) fn build(part: &Part, members: Members, network: &mut Network<'_>) -> Result<()> {
    if *part != Part::Denoiser {
        return Err(other_part(&members, part));
    }
    let config = Config::read(members)?;
    let words = Dim::Of("sequence_length");
    let [sample, time] = ports::sample_and_time(network, config.channels);
    let text = ports::states(network, "encoder_hidden_states", config.text);
    let mask = network.input("encoder_attention_mask", PortType::Int64, &[ONE, words]);
    let size = config
        .sized
        .then(|| network.input("resolution", PortType::Float32, &[ONE, Dim::Is(2)]));
    let answer = network
        .root()
        .pixart([sample, time, text, mask], size, &config)?;
    network.output(answer, "out_sample", &ports::planes(config.channels));
    Ok(())
}

impl Scope<'_, '_> {
    fn pixart(
        &mut self,
        [sample, time, text, mask]: [Value; 4],
        size: Option<Value>,
        config: &Config,
    ) -> Result<Value> {
        let width = config.width;
        let grid = self.grid(sample);
        let pixels = self.packed(sample, grid, config.channels, Order::Channels);
        let mut image = self.at("pos_embed").patch_product(pixels, config)?;
        let places = self.places_of_pixart(grid, config);
        image = self.add(image, places);
        let mut adaln = self.at("adaln_single");
        let embedded = adaln.at("emb").time_of_pixart(time, size, config)?;
        let active = adaln.activated(embedded, Activation::Silu);
        let mut steering: [Value; SIX] = adaln.adaptive(active, width)?;
        let one = self.number(1.0);
        for scale in [1, 4] {
            steering[scale] = self.add(steering[scale], one);
        }
        let words = self.rows(text, config.text);
        let words = if config.projected {
            self.at("caption_projection").embedded(
                words,
                [config.text, width],
                Activation::GeluTanh,
            )?
        } else {
            words
        };
        let mask = self.seen(mask);
        for layer in 0..config.layers {
            image = self
                .at(format_args!("transformer_blocks.{layer}"))
                .pixart_block(image, [words, mask], steering, config)?;
        }
        let embedded = self.reshaped(embedded, &[-1]);
        let mut ends = [Value::NONE; 2];
        for (place, end) in ends.iter_mut().enumerate() {
            let own = self.weight_rows("scale_shift_table", &[2, width], place..place + 1)?;
            let own = self.reshaped(own, &[-1]);
            *end = self.add(own, embedded);
        }
        let normal = self.shifted(image, ends, EPSILON);
        let numbers = PATCH * PATCH * config.answered;
        let answer = self.at("proj_out").linear(normal, [width, numbers], true)?;
        let planes = self.unpacked(answer, grid, config.answered, Order::Places);
        Ok(if config.answered == config.channels {
            planes
        } else {
            self.slice(planes, 1, 0, config.channels as i64)
        })
    }

    /// The convolution that makes tokens, as a product.
    fn patch_product(&mut self, pixels: Value, config: &Config) -> Result<Value> {
        let Config {
            channels, width, ..
        } = *config;
        let mut layer = self.at("proj");
        let shape = [width, channels, PATCH, PATCH];
        let numbers = PATCH * PATCH * channels;
        let matrix = layer.weight_as("weight", &shape, &[width, numbers])?;
        let bias = layer.weight("bias", &[width])?;
        Ok(layer.product(pixels, matrix, Some(bias)))
    }

    /// Sines and cosines of a token's column, then of its row, which are counted as in pictures of the size that it was trained on.
    fn places_of_pixart(&mut self, [down, across]: [Value; 2], config: &Config) -> Value {
        let half = config.width / 2;
        let count = half / 2;
        let of = |i: usize| 10_000f64.powf(-(i as f64) / count as f64) as f32;
        let frequencies: Vec<f32> = (0..count).map(of).collect();
        let frequencies = self.floats(&[1, count], &frequencies);
        let waves = [down, across].map(|side| {
            let scalar = self.scalar(side);
            let places = self.places(scalar);
            let base = self.number(config.side as f32);
            let places = self.multiply(places, base);
            let side = self.node("Cast", &[side], &[("to", 1.into())]);
            let places = self.divide(places, side);
            let interpolation = self.number(config.interpolation as f32);
            let places = self.divide(places, interpolation);
            let angles = self.multiply(places, frequencies);
            let sines = self.node("Sin", &[angles], &[]);
            let cosines = self.node("Cos", &[angles], &[]);
            self.node("Concat", &[sines, cosines], &[("axis", 1.into())])
        });
        let [rows, columns] = waves;
        let still = self.still(rows, half as i64);
        let rows = self.node("Concat", &[still, rows], &[("axis", 1.into())]);
        let rows = self.reshaped(rows, &[-1, 1, config.width as i64]);
        let still = self.still(columns, half as i64);
        let columns = self.node("Concat", &[columns, still], &[("axis", 1.into())]);
        let columns = self.reshaped(columns, &[1, -1, config.width as i64]);
        let all = self.add(rows, columns);
        self.rows(all, config.width)
    }

    /// The time, and of some the picture's height, width and their ratio: `[1, width]`.
    fn time_of_pixart(
        &mut self,
        time: Value,
        size: Option<Value>,
        config: &Config,
    ) -> Result<Value> {
        let time = self.reshaped(time, &[1, 1]);
        let waves = self.waves(time, WAVES);
        let columns = [WAVES.width, config.width];
        let mut embedded =
            self.at("timestep_embedder")
                .embedded(waves, columns, Activation::Silu)?;
        if let Some(size) = size {
            let columns = [WAVES.width, config.width / 3];
            let sides = self.reshaped(size, &[2, 1]);
            let waves = self.waves(sides, WAVES);
            let both = self
                .at("resolution_embedder")
                .embedded(waves, columns, Activation::Silu)?;
            let both = self.reshaped(both, &[1, -1]);
            let [height, width] = [0, 1].map(|side| self.slice(size, 1, side, side + 1));
            let ratio = self.divide(height, width);
            let waves = self.waves(ratio, WAVES);
            let ratio =
                self.at("aspect_ratio_embedder")
                    .embedded(waves, columns, Activation::Silu)?;
            let all = self.node("Concat", &[both, ratio], &[("axis", 1.into())]);
            embedded = self.add(embedded, all);
        }
        Ok(embedded)
    }

    fn pixart_block(
        &mut self,
        rows: Value,
        [words, mask]: [Value; 2],
        steering: [Value; SIX],
        config: &Config,
    ) -> Result<Value> {
        let Config { width, epsilon, .. } = *config;
        let mut own = steering;
        for (place, number) in own.iter_mut().enumerate() {
            let table = self.weight_rows("scale_shift_table", &[SIX, width], place..place + 1)?;
            let table = self.reshaped(table, &[-1]);
            *number = self.add(table, *number);
        }
        let [shift, scale, gate, shift_2, scale_2, gate_2] = own;
        let normal = self.modulated(rows, [scale, shift], epsilon);
        let seen = self
            .at("attn1")
            .pixart_attention([normal; 2], None, config)?;
        let rows = self.through(rows, seen, gate);
        // No norm before the text is looked at.
        let seen = self
            .at("attn2")
            .pixart_attention([rows, words], Some(mask), config)?;
        let rows = self.add(seen, rows);
        let normal = self.modulated(rows, [scale_2, shift_2], epsilon);
        let widest = LARGEST / (config.side * config.side);
        let out = self
            .at("ff")
            .feed_forward(normal, [width, INNER * width], widest)?;
        Ok(self.through(rows, out, gate_2))
    }

    fn pixart_attention(
        &mut self,
        [rows, other]: [Value; 2],
        mask: Option<Value>,
        config: &Config,
    ) -> Result<Value> {
        let width = config.width;
        let from = if mask.is_some() && !config.projected {
            config.text
        } else {
            width
        };
        let q = self.at("to_q").linear(rows, [width; 2], config.bias)?;
        let k = self.at("to_k").linear(other, [from, width], config.bias)?;
        let v = self.at("to_v").linear(other, [from, width], config.bias)?;
        let [q, k] = [q, k].map(|rows| self.reshaped(rows, &[1, -1, width as i64]));
        let seen = self.looked([q, k, v], mask, config.heads);
        self.at("to_out.0").linear(seen, [width; 2], true)
    }
}
