//! `Qwen3ForCausalLM` and `Qwen3Model` (Qwen Team, arXiv:2505.09388) as text encoders of FLUX.2 klein and Z-Image: hidden states behind some
//! of the layers. What writes words is left out.

use serde_json::json;

use super::other_part;
use super::states::Wanted;
use crate::Part;
use crate::blocks::{Activation, Angles, Gated, Heads, theta};
use crate::config::Members;
use crate::error::Result;
use crate::network::{Network, Scope, Value};

struct Config {
    vocabulary: usize,
    width: usize,
    inner: usize,
    layers: usize,
    heads: Heads,
    epsilon: f32,
    theta: f64,
    bias: bool,
}

impl Config {
    fn read(mut members: Members) -> Result<Self> {
        let count = members.size_or("num_attention_heads", 32)?;
        let shared = members.size_or("num_key_value_heads", count)?;
        let size = members.size_or("head_dim", 128)?;
        let layers = members.count_or("num_hidden_layers", 32)?;
        let config = Self {
            vocabulary: members.size_or("vocab_size", 151_936)?,
            width: members.size_or("hidden_size", 4096)?,
            inner: members.size_or("intermediate_size", 22_016)?,
            layers,
            heads: Heads {
                count,
                shared,
                size,
                causal: true,
            },
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
        members.only("hidden_act", &[json!("silu")])?;
        members.only("use_sliding_window", &[json!(false)])?;
        let types: Option<Vec<String>> = members.get("layer_types")?;
        let windowed = types
            .into_iter()
            .flatten()
            .find(|kind| kind != "full_attention");
        if let Some(other) = windowed {
            return Err(members.wrong(
                "layer_types",
                other,
                "networks of full_attention are built",
            ));
        }
        // Of windows that are not used, of training, of writing words, and ids that the tokenizer's files say.
        members.irrelevant(&[
            "attention_dropout",
            "bos_token_id",
            "eos_token_id",
            "id2label",
            "is_encoder_decoder",
            "label2id",
            "max_position_embeddings",
            "max_window_layers",
            "output_attentions",
            "output_hidden_states",
            "pad_token_id",
            "problem_type",
            "return_dict",
            "chunk_size_feed_forward",
            "sliding_window",
            "tie_word_embeddings",
        ]);
        members.finish()?;
        Ok(config)
    }
}

pub(super) fn build(part: &Part, members: Members, network: &mut Network<'_>) -> Result<()> {
    let Part::TextEncoder(texts) = part else {
        return Err(other_part(&members, part));
    };
    if texts.pooled {
        return Err(other_part(&members, part));
    }
    let config = Config::read(members)?;
    let wanted = Wanted::of(&texts.states, config.layers)?;
    let [ids, mask] = Wanted::inputs(network);
    let mut root = network.root();
    let inside = root.has("model.embed_tokens.weight");
    root.leave_out("lm_head.");
    let mut model = root.at(if inside { "model" } else { "" });
    let states = model.layers_of_qwen3(ids, mask, &config, wanted.run)?;
    let mut end = None;
    if let (true, Some(&rows)) = (wanted.last, states.last()) {
        let mut norm = model.at("norm");
        end = Some(norm.rms_norm(rows, config.width, config.epsilon)?);
    }
    model.leave_out("norm.");
    wanted.give(network, &states, end, config.width);
    Ok(())
}

impl Scope<'_, '_> {
    /// Rows behind the embeddings and behind each of the first `count` layers.
    fn layers_of_qwen3(
        &mut self,
        ids: Value,
        mask: Value,
        config: &Config,
        count: usize,
    ) -> Result<Vec<Value>> {
        let words = self
            .at("embed_tokens")
            .rows_of_table(ids, [config.vocabulary, config.width])?;
        let mut rows = self.rows(words, config.width);
        let tokens = self.size_of(ids, 1);
        let places = self.places(tokens);
        let frequencies = self.frequencies(config.heads.size, config.theta);
        let angles = self.multiply(places, frequencies);
        let angles = self.angles(angles, false);
        let mask = self.seen(mask);
        let mut states = vec![rows];
        for layer in 0..count {
            rows = self
                .at(format_args!("layers.{layer}"))
                .layer_of_qwen3(rows, mask, angles, config)?;
            states.push(rows);
        }
        for layer in count..config.layers {
            self.leave_out(&format!("layers.{layer}."));
        }
        Ok(states)
    }

    fn layer_of_qwen3(
        &mut self,
        rows: Value,
        mask: Value,
        angles: Angles,
        config: &Config,
    ) -> Result<Value> {
        let Config {
            width,
            inner,
            epsilon,
            heads,
            bias,
            ..
        } = *config;
        let (wide, narrow) = (heads.count * heads.size, heads.shared * heads.size);
        let normal = self.at("input_layernorm").rms_norm(rows, width, epsilon)?;
        let mut module = self.at("self_attn");
        let q = module.at("q_proj").linear(normal, [width, wide], bias)?;
        let k = module.at("k_proj").linear(normal, [width, narrow], bias)?;
        let v = module.at("v_proj").linear(normal, [width, narrow], bias)?;
        let q = module
            .at("q_norm")
            .head_norm(q, heads.count, heads.size, epsilon)?;
        let k = module
            .at("k_norm")
            .head_norm(k, heads.shared, heads.size, epsilon)?;
        let q = module.turned(q, angles, heads.count, heads.size);
        let k = module.turned(k, angles, heads.shared, heads.size);
        let seen = module.looked([q, k, v], Some(mask), heads);
        let seen = module.at("o_proj").linear(seen, [wide, width], bias)?;
        let rows = self.add(seen, rows);
        let normal = self
            .at("post_attention_layernorm")
            .rms_norm(rows, width, epsilon)?;
        let names = Gated::Apart(["gate_proj.weight", "up_proj.weight", "down_proj.weight"]);
        let out = self
            .at("mlp")
            .gated(normal, names, Activation::Silu, [width, inner, width])?;
        Ok(self.add(out, rows))
    }
}
