//! `Gemma2Model` and `Gemma2ForCausalLM` (Gemma Team, arXiv:2408.00118) as text encoders of SANA and Lumina-2: hidden states behind the last
//! layer or before it. What writes words is left out.

use serde_json::json;

use super::other_part;
use super::states::Wanted;
use crate::Part;
use crate::blocks::{Activation, Angles, Gated, Heads, Scores, theta};
use crate::config::Members;
use crate::error::Result;
use crate::network::{Network, Scope, Value};

/// Most tokens of a text: a window as long hides nothing.
const LONGEST: usize = 4096;

/// What a token of a layer sees of those before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    All,
    /// The last ones, itself among them.
    Window,
}

struct Config {
    vocabulary: usize,
    width: usize,
    inner: usize,
    layers: Vec<Sight>,
    window: usize,
    heads: Heads,
    scores: Scores,
    activation: Activation,
    epsilon: f32,
    theta: f64,
    bias: bool,
}

impl Config {
    fn read(mut members: Members) -> Result<Self> {
        let count = members.size_or("num_attention_heads", 8)?;
        let shared = members.size_or("num_key_value_heads", 4)?;
        let size = members.size_or("head_dim", 256)?;
        let layers = members.count_or("num_hidden_layers", 26)?;
        let by_former_name = Activation::read(&mut members, "hidden_act", Activation::GeluTanh)?;
        let scale: f64 = members.or("query_pre_attn_scalar", 256.0)?;
        let config = Self {
            vocabulary: members.size_or("vocab_size", 256_000)?,
            width: members.size_or("hidden_size", 2304)?,
            inner: members.size_or("intermediate_size", 9216)?,
            layers: sights(&mut members, layers)?,
            window: members.size("sliding_window")?.unwrap_or(LONGEST),
            heads: Heads {
                count,
                shared,
                size,
                causal: true,
            },
            scores: Scores {
                scale: Some(scale.powf(-0.5) as f32),
                // Of the class; null is none.
                cap: match members.nullable("attn_logit_softcapping")? {
                    None => 50.0,
                    Some(cap) => cap.unwrap_or(0.0),
                },
            },
            activation: Activation::read(&mut members, "hidden_activation", by_former_name)?,
            epsilon: members.or("rms_norm_eps", 1e-6)?,
            theta: theta(&mut members)?,
            bias: members.or("attention_bias", false)?,
        };
        if !count.is_multiple_of(shared) {
            let problem = format!("{count} heads do not share them evenly");
            return Err(members.wrong("num_key_value_heads", shared, problem));
        }
        if !size.is_multiple_of(2) {
            return Err(members.wrong("head_dim", size, "halves of it are turned"));
        }
        if !(scale.is_finite() && scale > 0.0) {
            return Err(members.wrong(
                "query_pre_attn_scalar",
                scale,
                "a number above 0 is wanted",
            ));
        }
        if !(config.scores.cap.is_finite() && config.scores.cap >= 0.0) {
            let cap = config.scores.cap;
            return Err(members.wrong("attn_logit_softcapping", cap, "a number above 0 is wanted"));
        }
        members.only("use_bidirectional_attention", &[json!(false)])?;
        // Of training, of writing words, and ids that the tokenizer's files say.
        members.irrelevant(&[
            "attention_dropout",
            "bos_token_id",
            "cache_implementation",
            "chunk_size_feed_forward",
            "eos_token_id",
            "final_logit_softcapping",
            "id2label",
            "is_encoder_decoder",
            "label2id",
            "max_position_embeddings",
            "output_attentions",
            "output_hidden_states",
            "pad_token_id",
            "problem_type",
            "return_dict",
            "sliding_window_size",
            "tie_word_embeddings",
        ]);
        members.finish()?;
        Ok(config)
    }
}

/// What each layer sees; every second one, the first among them, has a window where nothing is said.
fn sights(members: &mut Members, layers: usize) -> Result<Vec<Sight>> {
    let Some(types) = members.get::<Vec<String>>("layer_types")? else {
        let of = |layer: usize| {
            if layer.is_multiple_of(2) {
                Sight::Window
            } else {
                Sight::All
            }
        };
        return Ok((0..layers).map(of).collect());
    };
    if types.len() != layers {
        let problem = format!("there are {layers} layers");
        return Err(members.wrong("layer_types", types.join(", "), problem));
    }
    let of = |kind: &String| match kind.as_str() {
        "full_attention" => Ok(Sight::All),
        "sliding_attention" => Ok(Sight::Window),
        other => Err(members.wrong("layer_types", other, "no such attention is built")),
    };
    types.iter().map(of).collect()
}

pub(super) fn build(part: &Part, members: Members, network: &mut Network<'_>) -> Result<()> {
    let Part::TextEncoder(texts) = part else {
        return Err(other_part(&members, part));
    };
    if texts.pooled {
        return Err(other_part(&members, part));
    }
    let config = Config::read(members)?;
    let wanted = Wanted::of(&texts.states, config.layers.len())?;
    let [ids, mask] = Wanted::inputs(network);
    let mut root = network.root();
    let inside = root.has("model.embed_tokens.weight");
    root.leave_out("lm_head.");
    let mut model = root.at(if inside { "model" } else { "" });
    let states = model.layers_of_gemma2([ids, mask], &config, wanted.run)?;
    let mut end = None;
    if let (true, Some(&rows)) = (wanted.last, states.last()) {
        end = Some(model.at("norm").norm_of_gemma(rows, &config)?);
    }
    model.leave_out("norm.");
    wanted.give(network, &states, end, config.width);
    Ok(())
}

impl Scope<'_, '_> {
    /// Rows behind the embeddings and behind each of the first `count` layers.
    fn layers_of_gemma2(
        &mut self,
        [ids, mask]: [Value; 2],
        config: &Config,
        count: usize,
    ) -> Result<Vec<Value>> {
        let words = self
            .at("embed_tokens")
            .rows_of_table(ids, [config.vocabulary, config.width])?;
        let words = self.rows(words, config.width);
        let scale = self.number((config.width as f64).sqrt() as f32);
        let mut rows = self.multiply(words, scale);
        let tokens = self.size_of(ids, 1);
        let places = self.places(tokens);
        let frequencies = self.frequencies(config.heads.size, config.theta);
        let angles = self.multiply(places, frequencies);
        let angles = self.angles(angles, false);
        let all = self.seen(mask);
        let near = if config.window < LONGEST {
            self.near(places, all, config.window)
        } else {
            all
        };
        let mut states = vec![rows];
        for (layer, sight) in config.layers.iter().enumerate() {
            let mut module = self.at(format_args!("layers.{layer}"));
            if layer >= count {
                module.leave_out("");
                continue;
            }
            let mask = match sight {
                Sight::All => all,
                Sight::Window => near,
            };
            rows = module.layer_of_gemma2(rows, mask, angles, config)?;
            states.push(rows);
        }
        Ok(states)
    }

    /// A mask `[1, 1, tokens, tokens]` of what `seen` leaves within `window` tokens; `places` are `[tokens, 1]`.
    fn near(&mut self, places: Value, seen: Value, window: usize) -> Value {
        let across = self.reshaped(places, &[1, -1]);
        let back = self.node("Sub", &[places, across], &[]);
        let window = self.number(window as f32);
        let near = self.node("Less", &[back, window], &[]);
        self.node("And", &[near, seen], &[])
    }

    /// Root mean square, times 1 + `weight`.
    fn norm_of_gemma(&mut self, rows: Value, config: &Config) -> Result<Value> {
        let weight = self.weight("weight", &[config.width])?;
        let one = self.number(1.0);
        let factor = self.add(weight, one);
        let attributes = [("axis", (-1).into()), ("epsilon", config.epsilon.into())];
        Ok(self.node("RMSNormalization", &[rows, factor], &attributes))
    }

    /// Attention and a gated layer, each normed before and behind.
    fn layer_of_gemma2(
        &mut self,
        rows: Value,
        mask: Value,
        angles: Angles,
        config: &Config,
    ) -> Result<Value> {
        let Config {
            width,
            inner,
            heads,
            bias,
            ..
        } = *config;
        let (wide, narrow) = (heads.count * heads.size, heads.shared * heads.size);
        let normal = self.at("input_layernorm").norm_of_gemma(rows, config)?;
        let mut module = self.at("self_attn");
        let q = module.at("q_proj").linear(normal, [width, wide], bias)?;
        let k = module.at("k_proj").linear(normal, [width, narrow], bias)?;
        let v = module.at("v_proj").linear(normal, [width, narrow], bias)?;
        let q = module.turned(q, angles, heads.count, heads.size);
        let k = module.turned(k, angles, heads.shared, heads.size);
        let seen = module.looked_by([q, k, v], Some(mask), heads, config.scores);
        let seen = module.at("o_proj").linear(seen, [wide, width], bias)?;
        let seen = self
            .at("post_attention_layernorm")
            .norm_of_gemma(seen, config)?;
        let rows = self.add(seen, rows);
        let normal = self
            .at("pre_feedforward_layernorm")
            .norm_of_gemma(rows, config)?;
        let names = Gated::Apart(["gate_proj.weight", "up_proj.weight", "down_proj.weight"]);
        let sizes = [width, inner, width];
        let out = self
            .at("mlp")
            .gated(normal, names, config.activation, sizes)?;
        let out = self
            .at("post_feedforward_layernorm")
            .norm_of_gemma(out, config)?;
        Ok(self.add(out, rows))
    }
}
