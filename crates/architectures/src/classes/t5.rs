//! `T5EncoderModel` (Raffel et al., arXiv:1910.10683), in both forms: of 2019, and 1.1 with a gated layer.

use serde_json::json;

use super::other_part;
use crate::blocks::{Activation, Heads};
use crate::config::Members;
use crate::error::Result;
use crate::network::{Dim, Network, PortType, Scope, Value};
use crate::{Part, States};

/// Tokens of a prompt.
const TOKENS: Dim = Dim::Of("sequence_length");
/// Added to the score of a token that is not seen, far below every other.
const UNSEEN: f32 = -1e9;
/// Most distances that are told apart.
const MAX_DISTANCE: usize = 1 << 12;

struct Config {
    vocabulary: usize,
    width: usize,
    inner: usize,
    layers: usize,
    heads: Heads,
    buckets: usize,
    far: usize,
    epsilon: f32,
    activation: Activation,
    gated: bool,
}

impl Config {
    fn read(mut members: Members) -> Result<Self> {
        let count = members.size_or("num_heads", 8)?;
        let size = members.size_or("d_kv", 64)?;
        let form = members.or("feed_forward_proj", "relu".to_owned())?;
        let (gated, function) = match form.strip_prefix("gated-") {
            // What transformers calls so is the approximation.
            Some("gelu") => (true, "gelu_new"),
            Some(other) => (true, other),
            None => (false, &*form),
        };
        let activation = Activation::named(function).ok_or_else(|| {
            members.wrong("feed_forward_proj", &form, "no such function is built")
        })?;
        members.only("is_gated_act", &[json!(gated)])?;
        members.only("dense_act_fn", &[json!(function)])?;
        let config = Self {
            vocabulary: members.size_or("vocab_size", 32_128)?,
            width: members.size_or("d_model", 512)?,
            inner: members.size_or("d_ff", 2048)?,
            layers: members.count_or("num_layers", 6)?,
            heads: Heads {
                count,
                shared: count,
                size,
                causal: false,
            },
            buckets: members.size_or("relative_attention_num_buckets", 32)?,
            far: members.size_or("relative_attention_max_distance", 128)?,
            epsilon: members.or("layer_norm_epsilon", 1e-6)?,
            activation,
            gated,
        };
        if !config.buckets.is_multiple_of(4) {
            let problem = "a multiple of four is wanted";
            return Err(members.wrong("relative_attention_num_buckets", config.buckets, problem));
        }
        if !(config.buckets / 4 + 1..=MAX_DISTANCE).contains(&config.far) {
            let problem = format!("more than a quarter of the buckets and at most {MAX_DISTANCE}");
            return Err(members.wrong("relative_attention_max_distance", config.far, problem));
        }
        members.only("is_decoder", &[json!(false)])?;
        members.only("add_cross_attention", &[json!(false)])?;
        // Of the decoder, which these pipelines do not have, of training, and ids that the tokenizer's files say.
        members.irrelevant(&[
            "bos_token_id",
            "chunk_size_feed_forward",
            "classifier_dropout",
            "decoder_start_token_id",
            "dropout_rate",
            "eos_token_id",
            "id2label",
            "is_encoder_decoder",
            "label2id",
            "n_positions",
            "num_decoder_layers",
            "output_attentions",
            "output_hidden_states",
            "output_past",
            "pad_token_id",
            "problem_type",
            "return_dict",
            "scale_decoder_outputs",
            "task_specific_params",
            "tie_word_embeddings",
        ]);
        members.finish()?;
        Ok(config)
    }

    /// The bucket of a token so many places behind another one, or before it. Distances below a quarter of the buckets have one each,
    /// those above share them by their logarithm.
    fn bucket(&self, distance: i64) -> i64 {
        let half = self.buckets as i64 / 2;
        let exact = half / 2;
        let away = distance.abs();
        let side = if distance > 0 { half } else { 0 };
        if away < exact {
            return side + away;
        }
        let part = (away as f64 / exact as f64).ln() / (self.far as f64 / exact as f64).ln();
        // Of distances that lie on a boundary the logarithm may be a trifle short.
        let more = (part * (half - exact) as f64 + 1e-6) as i64;
        side + (exact + more).min(half - 1)
    }
}

pub(super) fn build(part: &Part, members: Members, network: &mut Network<'_>) -> Result<()> {
    let Part::TextEncoder(texts) = part else {
        return Err(other_part(&members, part));
    };
    if texts.pooled || texts.states != States::Last {
        return Err(other_part(&members, part));
    }
    let config = Config::read(members)?;
    let shape = [Dim::Is(1), TOKENS];
    let ids = network.input("input_ids", PortType::Int64, &shape);
    let mask = network.input("attention_mask", PortType::Int64, &shape);
    let rows = network.root().t5(ids, mask, &config)?;
    let tokens = network.root().tokens(rows, config.width);
    let shape = [Dim::Is(1), TOKENS, Dim::Is(config.width)];
    network.output(tokens, "last_hidden_state", &shape);
    Ok(())
}

impl Scope<'_, '_> {
    fn t5(&mut self, ids: Value, mask: Value, config: &Config) -> Result<Value> {
        let table = self.named(&["shared.weight", "encoder.embed_tokens.weight"])?;
        let module = table.trim_end_matches(".weight");
        let words = self
            .at(module)
            .rows_of_table(ids, [config.vocabulary, config.width])?;
        // The table's other name.
        self.leave_out("shared.weight");
        self.leave_out("encoder.embed_tokens.weight");
        let mut rows = self.rows(words, config.width);
        let mut encoder = self.at("encoder");
        let scores = encoder
            .at("block.0.layer.0.SelfAttention")
            .scores_of_places(ids, mask, config)?;
        for layer in 0..config.layers {
            let mut block = encoder.at(format_args!("block.{layer}"));
            rows = block.at("layer.0").t5_attention(rows, scores, config)?;
            rows = block.at("layer.1").t5_feed(rows, config)?;
        }
        encoder
            .at("final_layer_norm")
            .rms_norm(rows, config.width, config.epsilon)
    }

    /// What is added to the scores of every layer, `[1, heads, tokens, tokens]`: by how far two tokens are apart, and whether the second is
    /// seen.
    fn scores_of_places(&mut self, ids: Value, mask: Value, config: &Config) -> Result<Value> {
        let far = config.far as i64;
        let shape = [config.buckets, config.heads.count];
        let weight = self.weight("relative_attention_bias.weight", &shape)?;
        let buckets: Vec<i64> = (-far..=far).map(|away| config.bucket(away)).collect();
        let buckets = self.integers(&buckets);
        let by_distance = self.node("Gather", &[weight, buckets], &[]);
        let by_head = self.node("Transpose", &[by_distance], &[("perm", [1, 0].into())]);
        let tokens = self.size_of(ids, 1);
        let [zero, one] = [0, 1].map(|number| {
            let vector = self.integers(&[number]);
            self.scalar(vector)
        });
        let places = self.node("Range", &[zero, tokens, one], &[]);
        let [down, across] = [[-1, 1], [1, -1]].map(|shape| self.reshaped(places, &shape));
        let [least, most] = [-far, far].map(|number| self.integers(&[number]));
        let away = self.node("Sub", &[across, down], &[]);
        let away = self.node("Max", &[away, least], &[]);
        let away = self.node("Min", &[away, most], &[]);
        let index = self.add(away, most);
        let scores = self.node("Gather", &[by_head, index], &[("axis", 1.into())]);
        let first = self.integers(&[0]);
        let scores = self.node("Unsqueeze", &[scores, first], &[]);
        let seen = self.node("Cast", &[mask], &[("to", 1.into())]);
        let [one, unseen] = [1.0, UNSEEN].map(|number| self.number(number));
        let hidden = self.node("Sub", &[one, seen], &[]);
        let hidden = self.multiply(hidden, unseen);
        let hidden = self.reshaped(hidden, &[1, 1, 1, -1]);
        Ok(self.add(scores, hidden))
    }

    fn t5_attention(&mut self, rows: Value, scores: Value, config: &Config) -> Result<Value> {
        let Config { width, heads, .. } = *config;
        let wide = heads.count * heads.size;
        let normal = self
            .at("layer_norm")
            .rms_norm(rows, width, config.epsilon)?;
        let mut module = self.at("SelfAttention");
        let mut own = [scores; 4];
        for (place, name) in ["q", "k", "v"].into_iter().enumerate() {
            let rows = module.at(name).linear(normal, [width, wide], false)?;
            own[place] = module.reshaped(rows, &[1, -1, wide as i64]);
        }
        let attributes = [
            ("q_num_heads", (heads.count as i64).into()),
            ("kv_num_heads", (heads.count as i64).into()),
            // Weights were trained so that products need no scale.
            ("scale", 1.0.into()),
        ];
        let seen = module.node("Attention", &own, &attributes);
        let seen = module.rows(seen, wide);
        let out = module.at("o").linear(seen, [wide, width], false)?;
        Ok(self.add(out, rows))
    }

    fn t5_feed(&mut self, rows: Value, config: &Config) -> Result<Value> {
        let Config { width, inner, .. } = *config;
        let normal = self
            .at("layer_norm")
            .rms_norm(rows, width, config.epsilon)?;
        let mut module = self.at("DenseReluDense");
        let first = if config.gated { "wi_0" } else { "wi" };
        let hidden = module.at(first).linear(normal, [width, inner], false)?;
        let mut hidden = module.activated(hidden, config.activation);
        if config.gated {
            let factor = module.at("wi_1").linear(normal, [width, inner], false)?;
            hidden = module.multiply(hidden, factor);
        }
        let out = module.at("wo").linear(hidden, [inner, width], false)?;
        Ok(self.add(out, rows))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `T5Attention._relative_position_bucket` of transformers 5.23: where each bucket begins, before and behind a token.
    #[test]
    fn distances_share_buckets_as_in_transformers() {
        let of = |buckets: usize, far: usize| {
            let config = json!({"relative_attention_num_buckets": buckets, "relative_attention_max_distance": far});
            Config::read(Members::new("T5EncoderModel", &config).unwrap()).unwrap()
        };
        for (config, begins) in [
            (
                of(32, 128),
                &[0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91][..],
            ),
            (of(8, 20), &[0, 1, 2, 7][..]),
        ] {
            for away in 0..140i64 {
                let bucket = begins.iter().rposition(|&begin| begin <= away).unwrap() as i64;
                let half = begins.len() as i64;
                assert_eq!(config.bucket(-away), bucket, "{away} before");
                let behind = if away == 0 { 0 } else { half + bucket };
                assert_eq!(config.bucket(away), behind, "{away} behind");
            }
        }
    }

    #[test]
    fn forms_that_contradict_each_other_are_refused_by_name() {
        for (config, said) in [
            (
                json!({"feed_forward_proj": "gated-swirl"}),
                "feed_forward_proj",
            ),
            (
                json!({"feed_forward_proj": "gated-gelu", "dense_act_fn": "relu"}),
                "dense_act_fn",
            ),
            (json!({"is_gated_act": true}), "is_gated_act"),
            (json!({"relative_attention_num_buckets": 30}), "num_buckets"),
            (
                json!({"relative_attention_max_distance": 8}),
                "max_distance",
            ),
            (json!({"is_decoder": true}), "is_decoder"),
            (json!({"window": 3}), "window"),
        ] {
            let members = Members::new("T5EncoderModel", &config).unwrap();
            let error = Config::read(members).err().unwrap().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
