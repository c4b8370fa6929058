//! `SD3Transformer2DModel`, the denoiser of Stable Diffusion 3 and 3.5 (Esser et al., arXiv:2403.03206).
//!
//! Its text are the tokens of two CLIP encoders, side by side and filled up with zeros to the width of T5's, and behind them those of T5.

use serde_json::json;

use super::ports::ONE;
use super::{other_part, ports};
use crate::Part;
use crate::blocks::{Heads, Order, PATCH, WIDEST};
use crate::config::Members;
use crate::error::Result;
use crate::network::{Dim, Network, PortType, Scope, Value};

/// How much wider than a block its inner layer is.
const INNER: usize = 4;
const EPSILON: f32 = 1e-6;
/// How much longer than those of the training the sides of a picture may be.
const LARGER: usize = 2;

struct Config {
    channels: usize,
    layers: usize,
    heads: Heads,
    width: usize,
    text: usize,
    pooled: usize,
    /// Tokens down and across of the table of places.
    table: usize,
    /// Those of them, around its centre, that are used.
    used: usize,
    /// Layers in which the picture looks at itself once more.
    dual: Vec<usize>,
    normed: bool,
}

impl Config {
    fn read(mut members: Members) -> Result<Self> {
        let count = members.size_or("num_attention_heads", 18)?;
        let size = members.size_or("attention_head_dim", 64)?;
        let width = count * size;
        let channels = members.size_or("in_channels", 16)?;
        let answered = members.size("out_channels")?.unwrap_or(channels);
        let sample = members.size_or("sample_size", 128)?;
        let table = members.size_or("pos_embed_max_size", 96)?;
        let layers = members.count_or("num_layers", 18)?;
        let config = Self {
            channels,
            layers,
            heads: Heads::of(count, width),
            width,
            text: members.size_or("joint_attention_dim", 4096)?,
            pooled: members.size_or("pooled_projection_dim", 2048)?,
            table,
            used: table.min(LARGER * sample / PATCH).max(1),
            dual: members.or("dual_attention_layers", Vec::new())?,
            normed: members
                .get::<String>("qk_norm")?
                .map_or(Ok(false), |norm| {
                    let problem = "networks with rms_norm are built";
                    (norm == "rms_norm")
                        .then_some(true)
                        .ok_or_else(|| members.wrong("qk_norm", norm, problem))
                })?,
        };
        members.only("patch_size", &[json!(PATCH)])?;
        members.only("caption_projection_dim", &[json!(width)])?;
        if answered != channels {
            let problem = format!("as many as in_channels, {channels}, are wanted");
            return Err(members.wrong("out_channels", answered, problem));
        }
        if let Some(layer) = config.dual.iter().find(|&&layer| layer >= layers) {
            let problem = format!("there are {layers} layers");
            return Err(members.wrong("dual_attention_layers", layer, problem));
        }
        if table > 1 << 10 {
            return Err(members.wrong("pos_embed_max_size", table, "1 to 1024 can be built"));
        }
        // What the converters of the authors wrote by mistake, and nothing reads.
        members.irrelevant(&["add_attn2_layers"]);
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
    let shape = [ONE, Dim::Of("clip_length"), Dim::Of("clip_width")];
    let clip = network.input("encoder_hidden_states", PortType::Float32, &shape);
    let text = ports::states(network, "encoder_hidden_states_t5", config.text);
    let shape = [ONE, Dim::Is(config.pooled)];
    let pooled = network.input("pooled_projections", PortType::Float32, &shape);
    let answer = network
        .root()
        .sd3([sample, time, clip, text, pooled], &config)?;
    network.output(answer, "out_sample", &ports::planes(config.channels));
    Ok(())
}

impl Scope<'_, '_> {
    fn sd3(
        &mut self,
        [sample, time, clip, text, pooled]: [Value; 5],
        config: &Config,
    ) -> Result<Value> {
        let width = config.width;
        let grid = self.grid(sample);
        let numbers = PATCH * PATCH * config.channels;
        let pixels = self.packed(sample, grid, config.channels, Order::Channels);
        let mut embed = self.at("pos_embed");
        let mut layer = embed.at("proj");
        let shape = [width, config.channels, PATCH, PATCH];
        let matrix = layer.weight_as("weight", &shape, &[width, numbers])?;
        let bias = layer.weight("bias", &[width])?;
        let image = layer.product(pixels, matrix, Some(bias));
        let places = embed.places_of_sd3(grid, config)?;
        let mut image = self.add(image, places);

        let steered = self.at("time_text_embed").time_and_text(
            [time, pooled],
            None,
            [config.pooled, width],
        )?;
        let words = self.words_of_sd3(clip, text, config);
        let mut words = self
            .at("context_embedder")
            .linear(words, [config.text, width], true)?;
        for layer in 0..config.layers {
            let mut block = self.at(format_args!("transformer_blocks.{layer}"));
            [words, image] = block.sd3_block([words, image], steered, layer, config)?;
        }
        let [scale, shift] = self.at("norm_out").adaptive(steered, width)?;
        let normal = self.shifted(image, [shift, scale], EPSILON);
        let answer = self.at("proj_out").linear(normal, [width, numbers], true)?;
        Ok(self.unpacked(answer, grid, config.channels, Order::Places))
    }

    /// The embeddings of the places around the centre of a table of `table` times `table`.
    fn places_of_sd3(&mut self, [down, across]: [Value; 2], config: &Config) -> Result<Value> {
        let Config {
            table, used, width, ..
        } = *config;
        // Whole lines of the table around its middle; where they begin does not depend on the picture.
        let first = (table - used) / 2;
        let [two, whole] = [2, table].map(|number| self.integers(&[number as i64]));
        let lines = [down, across].map(|side| {
            let rest = self.node("Sub", &[whole, side], &[]);
            let start = self.divide(rest, two);
            let count = self.scalar(side);
            let [zero, one] = [0, 1].map(|number| {
                let vector = self.integers(&[number]);
                self.scalar(vector)
            });
            let places = self.node("Range", &[zero, count, one], &[]);
            self.add(places, start)
        });
        let [rows, columns] = lines;
        let before = self.integers(&[first as i64]);
        let rows = self.node("Sub", &[rows, before], &[]);
        let rows = self.multiply(rows, whole);
        let rows = self.reshaped(rows, &[-1, 1]);
        let columns = self.reshaped(columns, &[1, -1]);
        let ids = self.add(rows, columns);
        let ids = self.reshaped(ids, &[1, -1]);
        let lines = first * table..(first + used) * table;
        let found = self.rows_among(ids, "pos_embed", &[1, table * table, width], lines)?;
        Ok(self.rows(found, width))
    }

    /// The tokens of both kinds of encoders, `[tokens, text]`.
    fn words_of_sd3(&mut self, clip: Value, text: Value, config: &Config) -> Value {
        let zeros = self.floats(&[1, 1, config.text], &vec![0.0; config.text]);
        let attributes = [("start", 2.into()), ("end", 3.into())];
        let wide = self.node("Shape", &[clip], &attributes);
        let [end, axis] = [config.text as i64, 2].map(|number| self.integers(&[number]));
        let filling = self.node("Slice", &[zeros, wide, end, axis], &[]);
        let first = self.slice(clip, 2, 0, 1);
        let zero = self.number(0.0);
        let nothing = self.multiply(first, zero);
        let filling = self.add(nothing, filling);
        let clip = self.node("Concat", &[clip, filling], &[("axis", 2.into())]);
        let both = self.node("Concat", &[clip, text], &[("axis", 1.into())]);
        self.rows(both, config.text)
    }

    fn sd3_block(
        &mut self,
        [words, image]: [Value; 2],
        steered: Value,
        layer: usize,
        config: &Config,
    ) -> Result<[Value; 2]> {
        let width = config.width;
        let dual = config.dual.contains(&layer);
        let last = layer + 1 == config.layers;
        let mut again = None;
        let [shift, scale, gate, shift_2, scale_2, gate_2] = if dual {
            let [a, b, c, d, e, f, shift, scale, gate] =
                self.at("norm1").adaptive(steered, width)?;
            again = Some([shift, scale, gate]);
            [a, b, c, d, e, f]
        } else {
            self.at("norm1").adaptive(steered, width)?
        };
        let image_in = self.shifted(image, [shift, scale], EPSILON);
        // The last block reads the text and says nothing about it.
        let mut of_words = None;
        let words_in = if last {
            let [scale, shift] = self.at("norm1_context").adaptive(steered, width)?;
            self.shifted(words, [shift, scale], EPSILON)
        } else {
            let [shift, scale, gate, shift_2, scale_2, gate_2] =
                self.at("norm1_context").adaptive(steered, width)?;
            of_words = Some([gate, shift_2, scale_2, gate_2]);
            self.shifted(words, [shift, scale], EPSILON)
        };
        let tokens = self.size_of(image, 0);
        let mut module = self.at("attn");
        let seen = module.sd3_attention(image_in, Some(words_in), config)?;
        let seen_image = module.before(seen, tokens);
        let out = module.at("to_out.0").linear(seen_image, [width; 2], true)?;
        let mut rows = self.through(image, out, gate);
        if let Some([shift, scale, gate]) = again {
            let normal = self.shifted(image, [shift, scale], EPSILON);
            let mut module = self.at("attn2");
            let seen = module.sd3_attention(normal, None, config)?;
            let out = module.at("to_out.0").linear(seen, [width; 2], true)?;
            rows = self.through(rows, out, gate);
        }
        let columns = [width, INNER * width];
        let normal = self.shifted(rows, [shift_2, scale_2], EPSILON);
        let out = self.at("ff").feed_forward(normal, columns, WIDEST)?;
        let image = self.through(rows, out, gate_2);
        let Some([gate, shift_2, scale_2, gate_2]) = of_words else {
            return Ok([words, image]);
        };
        let seen_words = self.behind(seen, tokens);
        let out = self
            .at("attn.to_add_out")
            .linear(seen_words, [width; 2], true)?;
        let words = self.through(words, out, gate);
        let normal = self.shifted(words, [shift_2, scale_2], EPSILON);
        let out = self
            .at("ff_context")
            .feed_forward(normal, columns, WIDEST)?;
        Ok([self.through(words, out, gate_2), image])
    }

    /// Attention of the picture's rows, and behind them the text's, to each other.
    fn sd3_attention(
        &mut self,
        image: Value,
        words: Option<Value>,
        config: &Config,
    ) -> Result<Value> {
        let Config { width, heads, .. } = *config;
        let mut own = [image; 3];
        for (place, (to, add, norms)) in [
            ("to_q", "add_q_proj", Some(["norm_q", "norm_added_q"])),
            ("to_k", "add_k_proj", Some(["norm_k", "norm_added_k"])),
            ("to_v", "add_v_proj", None),
        ]
        .into_iter()
        .enumerate()
        {
            let norms = norms.filter(|_| config.normed);
            let mut rows = self.at(to).linear(image, [width; 2], true)?;
            if let Some([norm, _]) = norms {
                rows = self
                    .at(norm)
                    .head_norm(rows, heads.count, heads.size, EPSILON)?;
            }
            if let Some(words) = words {
                let mut more = self.at(add).linear(words, [width; 2], true)?;
                if let Some([_, norm]) = norms {
                    more = self
                        .at(norm)
                        .head_norm(more, heads.count, heads.size, EPSILON)?;
                }
                rows = self.node("Concat", &[rows, more], &[("axis", 0.into())]);
            }
            own[place] = rows;
        }
        let [q, k, v] = own;
        let [q, k] = [q, k].map(|rows| self.reshaped(rows, &[1, -1, width as i64]));
        Ok(self.looked([q, k, v], None, heads))
    }
}
