//! `FluxTransformer2DModel`, the denoiser of FLUX.1 (Black Forest Labs, 2024).
//!
//! Two latents down and across are one token, behind those of the text. Their places have three axes, of which the text uses none: of
//! pictures, rows and columns.

use serde_json::json;

use super::ports::ONE;
use super::{other_part, ports};
use crate::Part;
use crate::blocks::{Activation, Angles, Heads, Order, PATCH, WIDEST, parts};
use crate::config::Members;
use crate::error::Result;
use crate::network::{Dim, Network, PortType, Scope, Value};

/// How much wider than a block its inner layer is.
const INNER: usize = 4;
const EPSILON: f32 = 1e-6;
const THETA: f64 = 10_000.0;

struct Config {
    channels: usize,
    double: usize,
    single: usize,
    heads: Heads,
    width: usize,
    text: usize,
    pooled: usize,
    guided: bool,
    axes: Vec<usize>,
}

impl Config {
    fn read(mut members: Members) -> Result<Self> {
        let count = members.size_or("num_attention_heads", 24)?;
        let size = members.size_or("attention_head_dim", 128)?;
        let width = count * size;
        let numbers = members.size_or("in_channels", 64)?;
        let answered = members.size("out_channels")?.unwrap_or(numbers);
        let config = Self {
            channels: numbers / (PATCH * PATCH),
            double: members.count_or("num_layers", 19)?,
            single: members.count_or("num_single_layers", 38)?,
            heads: Heads::of(count, width),
            width,
            text: members.size_or("joint_attention_dim", 4096)?,
            pooled: members.size_or("pooled_projection_dim", 768)?,
            guided: members.or("guidance_embeds", false)?,
            axes: members.axes("axes_dims_rope", &[16, 56, 56], size)?,
        };
        members.only("patch_size", &[json!(1)])?;
        if answered != numbers {
            let problem = format!(
                "as many as in_channels, {numbers}, are wanted: networks that are given a picture are not built"
            );
            return Err(members.wrong("out_channels", answered, problem));
        }
        if !numbers.is_multiple_of(PATCH * PATCH) {
            return Err(members.wrong("in_channels", numbers, "four latents are one token"));
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
    let shape = [ONE, Dim::Is(config.pooled)];
    let pooled = network.input("pooled_projections", PortType::Float32, &shape);
    let guidance = config
        .guided
        .then(|| network.input("guidance", PortType::Float32, &[ONE]));
    let answer = network
        .root()
        .flux([sample, time, text, pooled], guidance, &config)?;
    network.output(answer, "out_sample", &ports::planes(config.channels));
    Ok(())
}

impl Scope<'_, '_> {
    fn flux(
        &mut self,
        [sample, time, text, pooled]: [Value; 4],
        guidance: Option<Value>,
        config: &Config,
    ) -> Result<Value> {
        let width = config.width;
        let grid = self.grid(sample);
        let numbers = PATCH * PATCH * config.channels;
        let guidance = guidance.map(|scale| {
            let thousand = self.number(1000.0);
            self.multiply(scale, thousand)
        });
        let steered = self.at("time_text_embed").time_and_text(
            [time, pooled],
            guidance,
            [config.pooled, width],
        )?;
        let pixels = self.packed(sample, grid, config.channels, Order::Channels);
        let mut image = self
            .at("x_embedder")
            .linear(pixels, [numbers, width], true)?;
        let words = self.rows(text, config.text);
        let mut words = self
            .at("context_embedder")
            .linear(words, [config.text, width], true)?;
        let tokens = self.size_of(text, 1);
        let angles = self.places_of_flux(grid, tokens, config);
        for layer in 0..config.double {
            let mut block = self.at(format_args!("transformer_blocks.{layer}"));
            [words, image] =
                block.double_block_of_flux([words, image], steered, angles, tokens, config)?;
        }
        let mut all = self.node("Concat", &[words, image], &[("axis", 0.into())]);
        for layer in 0..config.single {
            let mut block = self.at(format_args!("single_transformer_blocks.{layer}"));
            all = block.single_block_of_flux(all, steered, angles, config)?;
        }
        let image = self.behind(all, tokens);
        // Here the scale comes first.
        let [scale, shift] = self.at("norm_out").adaptive(steered, width)?;
        let normal = self.shifted(image, [shift, scale], EPSILON);
        let answer = self.at("proj_out").linear(normal, [width, numbers], true)?;
        Ok(self.unpacked(answer, grid, config.channels, Order::Channels))
    }

    /// Angles of the words, which are all at the origin, and of the picture's tokens, at `(0, row, column)`.
    fn places_of_flux(
        &mut self,
        [down, across]: [Value; 2],
        tokens: Value,
        config: &Config,
    ) -> Angles {
        let halves: Vec<i64> = config.axes.iter().map(|axis| *axis as i64 / 2).collect();
        let turns = [(down, 1), (across, 2)].map(|(side, axis)| {
            let count = self.scalar(side);
            let places = self.places(count);
            let frequencies = self.frequencies(config.axes[axis], THETA);
            self.multiply(places, frequencies)
        });
        let [rows, columns] = turns;
        // Sums with zeros repeat them: rows `[h, 1, half]` along the columns, columns `[1, w, half]` along the rows.
        let rows = self.reshaped(rows, &[-1, 1, halves[1]]);
        let columns = self.reshaped(columns, &[1, -1, halves[2]]);
        let (along_rows, along_columns) =
            (self.still(columns, halves[1]), self.still(rows, halves[2]));
        let rows = self.add(rows, along_rows);
        let columns = self.add(columns, along_columns);
        let first = self.still(rows, halves[0]);
        let image = [first, rows, columns];
        let image = self.node("Concat", &image, &[("axis", (-1).into())]);
        let all = halves.iter().sum();
        let image = self.reshaped(image, &[-1, all]);
        let words = self.places(tokens);
        let words = self.still(words, all);
        let both = self.node("Concat", &[words, image], &[("axis", 0.into())]);
        self.angles(both, true)
    }

    /// Text and picture by weights of their own, which see each other.
    fn double_block_of_flux(
        &mut self,
        [words, image]: [Value; 2],
        steered: Value,
        angles: Angles,
        tokens: Value,
        config: &Config,
    ) -> Result<[Value; 2]> {
        let Config { width, heads, .. } = *config;
        let square = [width; 2];
        let mut given = [words, image];
        let mut inside = [Value::NONE; 2];
        let mut steering = [[Value::NONE; 6]; 2];
        for (place, norm) in ["norm1_context", "norm1"].into_iter().enumerate() {
            let own: [Value; 6] = self.at(norm).adaptive(steered, width)?;
            inside[place] = self.shifted(given[place], [own[0], own[1]], EPSILON);
            steering[place] = own;
        }
        let [words_in, image_in] = inside;
        let mut module = self.at("attn");
        let mut both = [Value::NONE; 3];
        for (place, (to, add, norms)) in [
            ("to_q", "add_q_proj", Some(["norm_q", "norm_added_q"])),
            ("to_k", "add_k_proj", Some(["norm_k", "norm_added_k"])),
            ("to_v", "add_v_proj", None),
        ]
        .into_iter()
        .enumerate()
        {
            let mut own = module.at(to).linear(image_in, square, true)?;
            let mut other = module.at(add).linear(words_in, square, true)?;
            if let Some([norm, added]) = norms {
                let (count, size) = (heads.count, heads.size);
                own = module.at(norm).head_norm(own, count, size, EPSILON)?;
                other = module.at(added).head_norm(other, count, size, EPSILON)?;
            }
            let rows = module.node("Concat", &[other, own], &[("axis", 0.into())]);
            both[place] = match norms {
                Some(_) => module.turned(rows, angles, heads.count, heads.size),
                None => rows,
            };
        }
        let seen = module.looked(both, None, heads);
        let parts = [module.before(seen, tokens), module.behind(seen, tokens)];
        let columns = [width, INNER * width];
        for (place, (out, feed)) in [("attn.to_add_out", "ff_context"), ("attn.to_out.0", "ff")]
            .into_iter()
            .enumerate()
        {
            let [_, _, gate, shift, scale, gate_2] = steering[place];
            let seen = self.at(out).linear(parts[place], square, true)?;
            let rows = self.through(given[place], seen, gate);
            let normal = self.shifted(rows, [shift, scale], EPSILON);
            let fed = self.at(feed).feed_forward(normal, columns, WIDEST)?;
            given[place] = self.through(rows, fed, gate_2);
        }
        Ok(given)
    }

    /// Attention and the inner layer beside it, which one product brings back.
    fn single_block_of_flux(
        &mut self,
        rows: Value,
        steered: Value,
        angles: Angles,
        config: &Config,
    ) -> Result<Value> {
        let Config { width, heads, .. } = *config;
        let inner = INNER * width;
        let [shift, scale, gate] = self.at("norm").adaptive(steered, width)?;
        let normal = self.shifted(rows, [shift, scale], EPSILON);
        let mut module = self.at("attn");
        let mut own = [Value::NONE; 3];
        for (place, (to, norm)) in [
            ("to_q", Some("norm_q")),
            ("to_k", Some("norm_k")),
            ("to_v", None),
        ]
        .into_iter()
        .enumerate()
        {
            let rows = module.at(to).linear(normal, [width; 2], true)?;
            own[place] = match norm {
                Some(norm) => {
                    let (count, size) = (heads.count, heads.size);
                    let rows = module.at(norm).head_norm(rows, count, size, EPSILON)?;
                    module.turned(rows, angles, count, size)
                }
                None => rows,
            };
        }
        let seen = module.looked(own, None, heads);
        let (back, columns) = ("weight", [width, width + inner]);
        let mut layer = self.at("proj_out");
        let bias = layer.weight("bias", &[width])?;
        let matrix = layer.weight_columns(back, columns, 0, width)?;
        let mut out = layer.product(seen, matrix, Some(bias));
        for (start, size) in parts(inner) {
            let mut layer = self.at("proj_mlp");
            let hidden = layer.linear_part(normal, [width, inner], start..start + size)?;
            let hidden = layer.activated(hidden, Activation::GeluTanh);
            let mut layer = self.at("proj_out");
            let matrix = layer.weight_columns(back, columns, width + start, size)?;
            out = layer.product(hidden, matrix, Some(out));
        }
        Ok(self.through(rows, out, gate))
    }
}
