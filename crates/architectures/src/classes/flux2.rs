//! `Flux2Transformer2DModel`, the denoiser of FLUX.2 (Black Forest Labs, 2025), in the form that was distilled to do without guidance.
//!
//! The latents `[1, channels, h, w]` are one token each, behind those of the text. Their places have four axes: of pictures, rows, columns
//! and words.

use serde_json::json;

use super::{other_part, ports};
use crate::Part;
use crate::blocks::{Activation, Angles, Gated, Heads, parts};
use crate::config::Members;
use crate::error::Result;
use crate::network::{Network, Scope, Value};

/// Axes of a token's place.
const AXES: usize = 4;
/// Shift, scale and gate of one sub-layer.
const TRIPLE: usize = 3;

struct Config {
    channels: usize,
    answered: usize,
    double: usize,
    single: usize,
    heads: Heads,
    width: usize,
    text: usize,
    times: usize,
    inner: usize,
    axes: Vec<usize>,
    theta: f64,
    epsilon: f32,
}

impl Config {
    fn read(mut members: Members) -> Result<Self> {
        let (count, size) = (
            members.size_or("num_attention_heads", 48)?,
            members.size_or("attention_head_dim", 128)?,
        );
        let width = count * size;
        let ratio = members.or("mlp_ratio", 3.0)?;
        let channels = members.size_or("in_channels", 128)?;
        let config = Self {
            channels,
            answered: members.size_or("out_channels", channels)?,
            double: members.count_or("num_layers", 8)?,
            single: members.count_or("num_single_layers", 48)?,
            heads: Heads::of(count, width),
            width,
            text: members.size_or("joint_attention_dim", 15_360)?,
            times: members.size_or("timestep_guidance_channels", 256)?,
            inner: (width as f64 * ratio) as usize,
            axes: members.axes("axes_dims_rope", &[32; AXES], size)?,
            theta: members.or("rope_theta", 2000.0)?,
            epsilon: members.or("eps", 1e-6)?,
        };
        members.only("patch_size", &[json!(1)])?;
        if members.or("guidance_embeds", true)? {
            return Err(members.wrong(
                "guidance_embeds",
                true,
                "networks that are told the guidance scale are not built",
            ));
        }
        if !config.times.is_multiple_of(2) {
            return Err(members.wrong(
                "timestep_guidance_channels",
                config.times,
                "an even number is wanted",
            ));
        }
        if config.inner == 0 || config.inner > 1 << 20 || config.double + config.single > 1 << 10 {
            return Err(members.wrong("mlp_ratio", ratio, "no such network is built"));
        }
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
    let answer = network.root().flux2([sample, time, text], &config)?;
    network.output(answer, "out_sample", &ports::planes(config.answered));
    Ok(())
}

/// Numbers `[width]` by which a sub-layer is steered: 1 + scale and shift of its norm, and the gate of what it gives.
#[derive(Clone, Copy)]
struct Steering {
    norm: [Value; 2],
    gate: Value,
}

impl Scope<'_, '_> {
    fn flux2(&mut self, [sample, time, text]: [Value; 3], config: &Config) -> Result<Value> {
        let width = config.width;
        let embedded = self.time_of_flux2(time, config)?;
        let steered = self.activated(embedded, Activation::Silu);
        let mut of_image = Vec::new();
        let mut of_text = Vec::new();
        for (name, into, sets) in [
            ("double_stream_modulation_img", &mut of_image, 2),
            ("double_stream_modulation_txt", &mut of_text, 2),
        ] {
            *into = self.at(name).steering(steered, width, sets)?;
        }
        let joint = self
            .at("single_stream_modulation")
            .steering(steered, width, 1)?;
        let pixels = self.reshaped(sample, &[config.channels as i64, -1]);
        let pixels = self.node("Transpose", &[pixels], &[("perm", [1, 0].into())]);
        let mut image = self
            .at("x_embedder")
            .linear(pixels, [config.channels, width], false)?;
        let words = self.rows(text, config.text);
        let mut words = self
            .at("context_embedder")
            .linear(words, [config.text, width], false)?;
        let tokens = self.size_of(text, 1);
        let angles = self.places_of_flux2(sample, text, config);
        for layer in 0..config.double {
            let mut block = self.at(format_args!("transformer_blocks.{layer}"));
            [words, image] = block.double_block(
                [words, image],
                [&of_text, &of_image],
                angles,
                tokens,
                config,
            )?;
        }
        let mut all = self.node("Concat", &[words, image], &[("axis", 0.into())]);
        for layer in 0..config.single {
            let mut block = self.at(format_args!("single_transformer_blocks.{layer}"));
            all = block.single_block(all, &joint, angles, config)?;
        }
        let image = self.behind(all, tokens);
        let ends = self
            .at("norm_out.linear")
            .linear(steered, [width, 2 * width], false)?;
        // Here the scale comes first.
        let [scale, shift] = self.pieces(ends, width);
        let one = self.number(1.0);
        let scale = self.add(scale, one);
        let normal = self.modulated(image, [scale, shift], config.epsilon);
        let answer = self
            .at("proj_out")
            .linear(normal, [width, config.answered], false)?;
        let planes = self.node("Transpose", &[answer], &[("perm", [1, 0].into())]);
        let sides = self.node(
            "Shape",
            &[sample],
            &[("start", 2.into()), ("end", 4.into())],
        );
        let channels = self.integers(&[1, config.answered as i64]);
        let shape = self.node("Concat", &[channels, sides], &[("axis", 0.into())]);
        Ok(self.node("Reshape", &[planes, shape], &[]))
    }

    /// Cosines and sines of the time, a thousandfold of the level, through two layers: `[1, width]`.
    fn time_of_flux2(&mut self, time: Value, config: &Config) -> Result<Value> {
        let half = config.times / 2;
        let step = 10_000f32.ln() / half as f32;
        let frequencies: Vec<f32> = (0..half).map(|i| (-step * i as f32).exp()).collect();
        let frequencies = self.floats(&[1, half], &frequencies);
        let time = self.reshaped(time, &[1, 1]);
        let angles = self.multiply(time, frequencies);
        let cos = self.node("Cos", &[angles], &[]);
        let sin = self.node("Sin", &[angles], &[]);
        let waves = self.node("Concat", &[cos, sin], &[("axis", 1.into())]);
        let mut module = self.at("time_guidance_embed.timestep_embedder");
        let inner = module
            .at("linear_1")
            .linear(waves, [config.times, config.width], false)?;
        let inner = module.activated(inner, Activation::Silu);
        module
            .at("linear_2")
            .linear(inner, [config.width; 2], false)
    }

    fn steering(&mut self, steered: Value, width: usize, sets: usize) -> Result<Vec<Steering>> {
        let all = self
            .at("linear")
            .linear(steered, [width, TRIPLE * width * sets], false)?;
        let one = self.number(1.0);
        let mut found = Vec::with_capacity(sets);
        for set in 0..sets {
            let start = (set * TRIPLE * width) as i64;
            let own = self.slice(all, 1, start, start + (TRIPLE * width) as i64);
            let [shift, scale, gate] = self.pieces(own, width);
            let scale = self.add(scale, one);
            found.push(Steering {
                norm: [scale, shift],
                gate,
            });
        }
        Ok(found)
    }

    /// Angles of the words, which are at `(0, 0, 0, word)`, and of the latents, at `(0, row, column, 0)`.
    fn places_of_flux2(&mut self, sample: Value, text: Value, config: &Config) -> Angles {
        let [height, width, tokens] =
            [(sample, 2), (sample, 3), (text, 1)].map(|(x, axis)| self.size_of(x, axis));
        let halves: Vec<i64> = config.axes.iter().map(|axis| *axis as i64 / 2).collect();
        let turns = |this: &mut Self, count, axis: usize| {
            let places = this.places(count);
            let frequencies = this.frequencies(config.axes[axis], config.theta);
            this.multiply(places, frequencies)
        };
        let (rows, columns, words) = (
            turns(self, height, 1),
            turns(self, width, 2),
            turns(self, tokens, 3),
        );
        // Sums with zeros repeat them: rows `[h, 1, half]` along the columns, columns `[1, w, half]` along the rows.
        let rows = self.reshaped(rows, &[-1, 1, halves[1]]);
        let columns = self.reshaped(columns, &[1, -1, halves[2]]);
        let across = self.still(columns, halves[1]);
        let down = self.still(rows, halves[2]);
        let rows = self.add(rows, across);
        let columns = self.add(columns, down);
        let first = self.still(rows, halves[0]);
        let last = self.still(rows, halves[3]);
        let image = self.node(
            "Concat",
            &[first, rows, columns, last],
            &[("axis", (-1).into())],
        );
        let image = self.reshaped(image, &[-1, halves.iter().sum()]);
        let before = self.still(words, halves[0] + halves[1] + halves[2]);
        let text = self.node("Concat", &[before, words], &[("axis", (-1).into())]);
        let all = self.node("Concat", &[text, image], &[("axis", 0.into())]);
        self.angles(all, true)
    }

    /// Text and picture by weights of their own, which see each other.
    fn double_block(
        &mut self,
        [words, image]: [Value; 2],
        [of_text, of_image]: [&[Steering]; 2],
        angles: Angles,
        tokens: Value,
        config: &Config,
    ) -> Result<[Value; 2]> {
        let Config {
            width,
            inner,
            epsilon,
            heads,
            ..
        } = *config;
        let square = [width; 2];
        let image_in = self.modulated(image, of_image[0].norm, epsilon);
        let words_in = self.modulated(words, of_text[0].norm, epsilon);
        let mut module = self.at("attn");
        let mut both = Vec::with_capacity(3);
        for (to, add, norms) in [
            ("to_q", "add_q_proj", Some(["norm_q", "norm_added_q"])),
            ("to_k", "add_k_proj", Some(["norm_k", "norm_added_k"])),
            ("to_v", "add_v_proj", None),
        ] {
            let mut own = module.at(to).linear(image_in, square, false)?;
            let mut other = module.at(add).linear(words_in, square, false)?;
            if let Some([norm, added]) = norms {
                own = module
                    .at(norm)
                    .head_norm(own, heads.count, heads.size, epsilon)?;
                other = module
                    .at(added)
                    .head_norm(other, heads.count, heads.size, epsilon)?;
            }
            let rows = module.node("Concat", &[other, own], &[("axis", 0.into())]);
            both.push(match norms {
                Some(_) => module.turned(rows, angles, heads.count, heads.size),
                None => rows,
            });
        }
        let seen = module.looked([both[0], both[1], both[2]], None, heads);
        let [seen_words, seen_image] = [module.before(seen, tokens), module.behind(seen, tokens)];
        let seen_image = module.at("to_out.0").linear(seen_image, square, false)?;
        let seen_words = module.at("to_add_out").linear(seen_words, square, false)?;
        let mut given = [words, image];
        for (index, (seen, steering, feed)) in [
            (seen_words, of_text, "ff_context"),
            (seen_image, of_image, "ff"),
        ]
        .into_iter()
        .enumerate()
        {
            let rows = self.through(given[index], seen, steering[0].gate);
            let normal = self.modulated(rows, steering[1].norm, epsilon);
            let names = Gated::Joined(["linear_in.weight", "linear_out.weight"]);
            let out =
                self.at(feed)
                    .gated(normal, names, Activation::Silu, [width, inner, width])?;
            given[index] = self.through(rows, out, steering[1].gate);
        }
        Ok(given)
    }

    /// Attention and the gated layer beside it, whose matrices lie in one: queries, keys, values, gate, factor; and back again.
    fn single_block(
        &mut self,
        rows: Value,
        steering: &[Steering],
        angles: Angles,
        config: &Config,
    ) -> Result<Value> {
        let Config {
            width,
            inner,
            epsilon,
            heads,
            ..
        } = *config;
        let [steering] = steering else {
            return Ok(rows);
        };
        let normal = self.modulated(rows, steering.norm, epsilon);
        let mut module = self.at("attn");
        let (into, rows_of) = ("to_qkv_mlp_proj.weight", [3 * width + 2 * inner, width]);
        let (back, columns_of) = ("to_out.weight", [width, width + inner]);
        let mut own = Vec::with_capacity(3);
        for (index, norm) in [Some("norm_q"), Some("norm_k"), None]
            .into_iter()
            .enumerate()
        {
            let matrix = module.weight_rows(into, &rows_of, index * width..(index + 1) * width)?;
            let rows = module.product(normal, matrix, None);
            own.push(match norm {
                Some(norm) => {
                    let normal =
                        module
                            .at(norm)
                            .head_norm(rows, heads.count, heads.size, epsilon)?;
                    module.turned(normal, angles, heads.count, heads.size)
                }
                None => rows,
            });
        }
        let seen = module.looked([own[0], own[1], own[2]], None, heads);
        let matrix = module.weight_columns(back, columns_of, 0, width)?;
        let mut out = module.product(seen, matrix, None);
        for (start, size) in parts(inner) {
            let first = 3 * width + start;
            let gate = module.weight_rows(into, &rows_of, first..first + size)?;
            let first = first + inner;
            let up = module.weight_rows(into, &rows_of, first..first + size)?;
            let hidden = module.through_gate(normal, gate, up, Activation::Silu);
            let matrix = module.weight_columns(back, columns_of, width + start, size)?;
            out = module.product(hidden, matrix, Some(out));
        }
        Ok(self.through(rows, out, steering.gate))
    }
}
