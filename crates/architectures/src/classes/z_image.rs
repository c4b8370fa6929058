//! `ZImageTransformer2DModel`, the denoiser of Z-Image (Tongyi-MAI, arXiv:2511.22699).
//!
//! Tokens of the picture, two latents down and across each, before those of the caption; both are filled up to multiples of 32 with tokens
//! of their own, which are seen. The time counts from noise to picture.

use serde_json::json;

use super::{other_part, ports};
use crate::Part;
use crate::blocks::{Activation, Angles, Gated, Heads, Order, PATCH};
use crate::config::Members;
use crate::error::Result;
use crate::network::{Network, Scope, Value};

/// Tokens are filled up to multiples of this.
const MULTIPLE: i64 = 32;
/// Widest embedded time, and its waves and inner layer.
const TIME: usize = 256;
const TIME_INNER: usize = 1024;
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
    normed: bool,
    text: usize,
    time: usize,
    thousand: f32,
    axes: Vec<usize>,
    theta: f64,
    epsilon: f32,
}

impl Config {
    fn read(mut members: Members) -> Result<Self> {
        let width = members.size_or("dim", 3840)?;
        let count = members.size_or("n_heads", 30)?;
        if !width.is_multiple_of(2 * count) {
            let problem = format!("a width of {width} does not divide into them by two");
            return Err(members.wrong("n_heads", count, problem));
        }
        let config = Self {
            channels: members.size_or("in_channels", 16)?,
            width,
            inner: (width as f64 / 3.0 * 8.0) as usize,
            layers: members.count_or("n_layers", 30)?,
            refiners: members.count_or("n_refiner_layers", 2)?,
            heads: Heads::of(count, width),
            normed: members.or("qk_norm", true)?,
            text: members.size_or("cap_feat_dim", 2560)?,
            time: width.min(TIME),
            thousand: members.or("t_scale", 1000.0)?,
            axes: members.axes("axes_dims", &[32, 48, 48], width / count)?,
            theta: members.or("rope_theta", 256.0)?,
            epsilon: members.or("norm_eps", 1e-5)?,
        };
        members.only("all_patch_size", &[json!([PATCH])])?;
        members.only("all_f_patch_size", &[json!([1])])?;
        members.only("siglip_feat_dim", &[])?;
        if config.layers + config.refiners > 1 << 10 {
            return Err(members.wrong("n_layers", config.layers, "no such network is built"));
        }
        // Keys have as many heads as queries whatever is said; the lengths of the axes are those of tables.
        members.irrelevant(&["axes_lens", "n_kv_heads"]);
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
    let text = ports::states(network, "encoder_hidden_states", config.text);
    let answer = network.root().z_image([sample, time, text], &config)?;
    network.output(answer, "out_sample", &ports::planes(config.channels));
    Ok(())
}

/// Sizes of a run, scalars of the graph and `[1]` each.
struct Grid {
    /// Tokens down and across.
    sides: [Value; 2],
    /// Of the picture, and with its filling.
    image: [Value; 2],
    /// Of the caption with its filling.
    text: Value,
}

impl Scope<'_, '_> {
    fn z_image(&mut self, [sample, time, text]: [Value; 3], config: &Config) -> Result<Value> {
        let width = config.width;
        let time = self.time_of_z_image(time, config)?;
        let grid = self.grid_of_z_image(sample, text);
        let [of_image, of_text, of_all] = self.places_of_z_image(&grid, config);

        let patches = self.packed(sample, grid.sides, config.channels, Order::Places);
        let from = PATCH * PATCH * config.channels;
        let image = self
            .at("all_x_embedder.2-1")
            .linear(patches, [from, width], true)?;
        let mut image = self.filled(image, "x_pad_token", grid.image[1], width)?;
        for layer in 0..config.refiners {
            image = self.at(format_args!("noise_refiner.{layer}")).z_block(
                image,
                Some(time),
                of_image,
                config,
            )?;
        }
        let words = self.rows(text, config.text);
        let words = self
            .at("cap_embedder.0")
            .rms_norm(words, config.text, config.epsilon)?;
        let words = self
            .at("cap_embedder.1")
            .linear(words, [config.text, width], true)?;
        let mut words = self.filled(words, "cap_pad_token", grid.text, width)?;
        for layer in 0..config.refiners {
            words = self
                .at(format_args!("context_refiner.{layer}"))
                .z_block(words, None, of_text, config)?;
        }
        let mut all = self.node("Concat", &[image, words], &[("axis", 0.into())]);
        for layer in 0..config.layers {
            all =
                self.at(format_args!("layers.{layer}"))
                    .z_block(all, Some(time), of_all, config)?;
        }
        let image = self.first_rows(all, grid.image[0]);
        let mut end = self.at("all_final_layer.2-1");
        let active = end.activated(time, Activation::Silu);
        let scale = end
            .at("adaLN_modulation.1")
            .linear(active, [config.time, width], true)?;
        let one = end.number(1.0);
        let scale = end.add(scale, one);
        let scale = end.reshaped(scale, &[-1]);
        let zeros = end.floats(&[width], &vec![0.0; width]);
        let normal = end.modulated(image, [scale, zeros], EPSILON_OF_END);
        let answer = end.at("linear").linear(normal, [width, from], true)?;
        Ok(self.unpacked(answer, grid.sides, config.channels, Order::Places))
    }

    fn time_of_z_image(&mut self, time: Value, config: &Config) -> Result<Value> {
        let half = TIME / 2;
        let scale = -(10_000f64.ln() as f32);
        let of = |i: usize| (scale * i as f32 / half as f32).exp();
        let frequencies: Vec<f32> = (0..half).map(of).collect();
        let frequencies = self.floats(&[1, half], &frequencies);
        let time = self.reshaped(time, &[1, 1]);
        let thousand = self.number(config.thousand);
        let time = self.multiply(time, thousand);
        let angles = self.multiply(time, frequencies);
        let cosines = self.node("Cos", &[angles], &[]);
        let sines = self.node("Sin", &[angles], &[]);
        let waves = self.node("Concat", &[cosines, sines], &[("axis", 1.into())]);
        let mut module = self.at("t_embedder.mlp");
        let inner = module.at("0").linear(waves, [TIME, TIME_INNER], true)?;
        let inner = module.activated(inner, Activation::Silu);
        module
            .at("2")
            .linear(inner, [TIME_INNER, config.time], true)
    }

    fn grid_of_z_image(&mut self, sample: Value, text: Value) -> Grid {
        let sides = self.grid(sample);
        let image = self.multiply(sides[0], sides[1]);
        let words = self.node("Shape", &[text], &[("start", 1.into()), ("end", 2.into())]);
        Grid {
            sides,
            image: [image, self.multiple(image)],
            text: self.multiple(words),
        }
    }

    /// The next multiple of [`MULTIPLE`].
    fn multiple(&mut self, count: Value) -> Value {
        let [more, multiple] = [MULTIPLE - 1, MULTIPLE].map(|number| self.integers(&[number]));
        let up = self.add(count, more);
        let whole = self.divide(up, multiple);
        self.multiply(whole, multiple)
    }

    /// Rows filled up to `count` with a token that was learned for it.
    fn filled(&mut self, rows: Value, name: &str, count: Value, width: usize) -> Result<Value> {
        let token = self.weight(name, &[1, width])?;
        let most = self.integers(&[MULTIPLE, width as i64]);
        let filling = self.node("Expand", &[token, most], &[]);
        let more = self.node("Concat", &[rows, filling], &[("axis", 0.into())]);
        Ok(self.first_rows(more, count))
    }

    /// The first `count` rows, `[1]`.
    fn first_rows(&mut self, rows: Value, count: Value) -> Value {
        let zero = self.integers(&[0]);
        self.node("Slice", &[rows, zero, count, zero], &[])
    }

    /// Angles of the picture, of the caption, and of both. A word is at `(1 + its place, 0, 0)`, fillings count on; a patch is at `(words
    /// with filling + 1, row, column)`, fillings are at the origin.
    fn places_of_z_image(&mut self, grid: &Grid, config: &Config) -> [Angles; 3] {
        let (axes, theta) = (&config.axes, config.theta);
        let all: i64 = axes.iter().map(|axis| *axis as i64 / 2).sum();
        let one = self.number(1.0);
        let words = self.scalar(grid.text);
        let words = self.places(words);
        let words = self.add(words, one);
        let words = self.along_first(words, axes, theta);
        let behind = self.node("Cast", &[grid.text], &[("to", 1.into())]);
        let behind = self.add(behind, one);
        let image = self.across_grid(behind, grid.sides, axes, theta);
        let filling = self.floats(
            &[MULTIPLE as usize, all as usize],
            &vec![0.0; (MULTIPLE * all) as usize],
        );
        let image = self.node("Concat", &[image, filling], &[("axis", 0.into())]);
        let image = self.first_rows(image, grid.image[1]);
        let both = self.node("Concat", &[image, words], &[("axis", 0.into())]);
        [image, words, both].map(|angles| self.angles(angles, true))
    }

    /// One block; steered by the time, unless there is none.
    fn z_block(
        &mut self,
        rows: Value,
        time: Option<Value>,
        angles: Angles,
        config: &Config,
    ) -> Result<Value> {
        let width = config.width;
        let [mut before, mut behind] = [[None; 2]; 2];
        if let Some(time) = time {
            let all = self
                .at("adaLN_modulation.0")
                .linear(time, [config.time, 4 * width], true)?;
            let one = self.number(1.0);
            for half in 0..2 {
                let piece = |this: &mut Self, index: usize| {
                    let start = (index * width) as i64;
                    let piece = this.slice(all, 1, start, start + width as i64);
                    this.reshaped(piece, &[-1])
                };
                let scale = piece(self, 2 * half);
                before[half] = Some(self.add(scale, one));
                let gate = piece(self, 2 * half + 1);
                behind[half] = Some(self.node("Tanh", &[gate], &[]));
            }
        }
        let normal =
            self.at("attention_norm1")
                .scaled_norm(rows, before[0], width, config.epsilon)?;
        let seen = self.at("attention").z_attention(normal, angles, config)?;
        let seen =
            self.at("attention_norm2")
                .scaled_norm(seen, behind[0], width, config.epsilon)?;
        let rows = self.add(seen, rows);
        let normal = self
            .at("ffn_norm1")
            .scaled_norm(rows, before[1], width, config.epsilon)?;
        let names = Gated::Apart(["w1.weight", "w3.weight", "w2.weight"]);
        let sizes = [width, config.inner, width];
        let out = self
            .at("feed_forward")
            .gated(normal, names, Activation::Silu, sizes)?;
        let out = self
            .at("ffn_norm2")
            .scaled_norm(out, behind[1], width, config.epsilon)?;
        Ok(self.add(out, rows))
    }

    fn z_attention(&mut self, rows: Value, angles: Angles, config: &Config) -> Result<Value> {
        let (square, heads) = ([config.width; 2], config.heads);
        let mut turned = [Value::NONE; 2];
        for (place, (to, norm)) in [("to_q", "norm_q"), ("to_k", "norm_k")]
            .into_iter()
            .enumerate()
        {
            let mut own = self.at(to).linear(rows, square, false)?;
            if config.normed {
                own = self
                    .at(norm)
                    .head_norm(own, heads.count, heads.size, EPSILON_OF_HEADS)?;
            }
            turned[place] = self.turned(own, angles, heads.count, heads.size);
        }
        let v = self.at("to_v").linear(rows, square, false)?;
        let [q, k] = turned;
        let seen = self.looked([q, k, v], None, heads);
        self.at("to_out.0").linear(seen, square, false)
    }
}
