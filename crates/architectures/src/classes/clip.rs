//! `CLIPTextModel` and `CLIPTextModelWithProjection` (Radford et al., arXiv:2103.00020), of Stable Diffusion and SDXL.

use serde_json::json;

use super::other_part;
use crate::blocks::{Activation, Heads};
use crate::config::Members;
use crate::error::{Error, Result};
use crate::network::{Dim, Network, PortType, Scope, Value};
use crate::{Part, States, Texts};

/// Symbols of the ports.
const ROWS: Dim = Dim::Of("batch_size");

/// The class whose pooled text is projected.
const PROJECTING: &str = "CLIPTextModelWithProjection";

struct Config {
    vocabulary: usize,
    width: usize,
    inner: usize,
    layers: usize,
    heads: usize,
    length: usize,
    activation: Activation,
    epsilon: f32,
    /// Width of the projected text, where it is projected.
    projected: usize,
    /// The id at whose first place a text is pooled; nothing for the place of the largest id, which an `eos_token_id` of 2 means in
    /// configurations of before transformers 4.32.
    end: Option<i64>,
}

impl Config {
    fn read(mut members: Members) -> Result<Self> {
        let projected = match members.class() {
            PROJECTING => members.size_or("projection_dim", 512)?,
            _ => {
                members.irrelevant(&["projection_dim"]);
                0
            }
        };
        let config = Self {
            vocabulary: members.size_or("vocab_size", 49408)?,
            width: members.size_or("hidden_size", 512)?,
            inner: members.size_or("intermediate_size", 2048)?,
            layers: members.count_or("num_hidden_layers", 12)?,
            heads: members.size_or("num_attention_heads", 8)?,
            length: members.size_or("max_position_embeddings", 77)?,
            activation: Activation::read(&mut members, "hidden_act", Activation::QuickGelu)?,
            epsilon: members.or("layer_norm_eps", 1e-5)?,
            projected,
            end: Some(members.or("eos_token_id", 49407)?).filter(|&id| id != 2),
        };
        if !config.width.is_multiple_of(config.heads) {
            let problem = format!("a width of {} does not divide into them", config.width);
            return Err(members.wrong("num_attention_heads", config.heads, problem));
        }
        members.only("is_decoder", &[json!(false)])?;
        members.only("add_cross_attention", &[json!(false)])?;
        // Of training and of generating text, which these models do not do, and of how tokens are made, which the tokenizer's files say.
        members.irrelevant(&[
            "attention_dropout",
            "bad_words_ids",
            "begin_suppress_tokens",
            "bos_token_id",
            "chunk_size_feed_forward",
            "cross_attention_hidden_size",
            "decoder_start_token_id",
            "diversity_penalty",
            "do_sample",
            "dropout",
            "early_stopping",
            "encoder_no_repeat_ngram_size",
            "exponential_decay_length_penalty",
            "finetuning_task",
            "forced_bos_token_id",
            "forced_eos_token_id",
            "id2label",
            "is_encoder_decoder",
            "label2id",
            "length_penalty",
            "max_length",
            "min_length",
            "no_repeat_ngram_size",
            "num_beam_groups",
            "num_beams",
            "num_return_sequences",
            "output_attentions",
            "output_hidden_states",
            "output_scores",
            "pad_token_id",
            "prefix",
            "problem_type",
            "pruned_heads",
            "remove_invalid_values",
            "repetition_penalty",
            "return_dict",
            "return_dict_in_generate",
            "sep_token_id",
            "suppress_tokens",
            "task_specific_params",
            "temperature",
            "tf_legacy_loss",
            "tie_encoder_decoder",
            "tie_word_embeddings",
            "tokenizer_class",
            "top_k",
            "top_p",
            "torchscript",
            "typical_p",
            "use_bfloat16",
        ]);
        members.finish()?;
        Ok(config)
    }
}

pub(super) fn build(part: &Part, members: Members, network: &mut Network<'_>) -> Result<()> {
    let Part::TextEncoder(texts) = part else {
        return Err(other_part(&members, part));
    };
    let projects = members.class() == PROJECTING;
    let config = Config::read(members)?;
    let outputs = outputs(texts, config.layers)?;
    let ids = network.input(
        "input_ids",
        PortType::Int64,
        &[ROWS, Dim::Is(config.length)],
    );
    let mut root = network.root();
    // transformers has put this module into another one, and taken it out again.
    let inside = root.has("text_model.embeddings.token_embedding.weight");
    let mut model = root.at(if inside { "text_model" } else { "" });
    let states = model.clip(ids, &config, outputs.layers)?;
    let last = (outputs.layers == config.layers)
        .then(|| states.last().copied())
        .flatten();
    let finished = match last {
        Some(last) if texts.pooled || texts.states == States::Last => Some(
            model
                .at("final_layer_norm")
                .layer_norm(last, config.width, config.epsilon)?,
        ),
        _ => None,
    };
    model.leave_out("final_layer_norm.");
    let pooled = match finished.filter(|_| texts.pooled) {
        Some(rows) => {
            let row = model.pooled(ids, rows, &config);
            Some(if projects {
                (
                    "text_embeds",
                    root.projected(row, [config.width, config.projected])?,
                )
            } else {
                ("pooler_output", row)
            })
        }
        None => None,
    };
    if projects {
        root.leave_out("text_projection");
    }
    let mut given = Vec::new();
    if let Some(rows) = finished.filter(|_| texts.states == States::Last) {
        given.push((
            "last_hidden_state".to_owned(),
            root.tokens(rows, config.width),
        ));
    }
    for &layers in &outputs.hidden {
        let rows = states[layers];
        given.push((
            format!("hidden_states.{layers}"),
            root.tokens(rows, config.width),
        ));
    }
    for skipped in 1..=texts.skips {
        let Some(name) = texts.states.skipped(config.layers, skipped) else {
            break;
        };
        let rows = if texts.states == States::Last {
            // diffusers norms whatever layer it reads in place of the last one, and no other.
            let rows = states[config.layers - skipped];
            let mut norm = root.at(if inside { "text_model" } else { "" });
            norm.at("final_layer_norm")
                .layer_norm(rows, config.width, config.epsilon)?
        } else {
            states[config.layers - 1 - skipped]
        };
        given.push((name, root.tokens(rows, config.width)));
    }
    for (name, value) in given {
        network.output(
            value,
            &name,
            &[ROWS, Dim::Is(config.length), Dim::Is(config.width)],
        );
    }
    if let Some((name, pooled)) = pooled {
        let wide = if projects {
            config.projected
        } else {
            config.width
        };
        network.output(pooled, name, &[ROWS, Dim::Is(wide)]);
    }
    Ok(())
}

/// What is to be computed.
struct Outputs {
    /// Layers before each of the hidden states that are read.
    hidden: Vec<usize>,
    /// Layers that are run.
    layers: usize,
}

fn outputs(texts: &Texts, layers: usize) -> Result<Outputs> {
    let hidden = match &texts.states {
        States::Last => Vec::new(),
        States::BeforeLast => vec![layers - 1],
        States::Behind(layers) => layers.clone(),
    };
    if let Some(&wanted) = hidden.iter().find(|&&wanted| wanted > layers) {
        return Err(Error::Layer { wanted, layers });
    }
    let all = texts.pooled || texts.states == States::Last;
    Ok(Outputs {
        layers: if all {
            layers
        } else {
            hidden.iter().copied().max().unwrap_or(layers)
        },
        hidden,
    })
}

impl Scope<'_, '_> {
    /// Rows behind the embeddings and behind each of the first `count` layers.
    fn clip(&mut self, ids: Value, config: &Config, count: usize) -> Result<Vec<Value>> {
        let mut embeddings = self.at("embeddings");
        let words =
            embeddings.weight("token_embedding.weight", &[config.vocabulary, config.width])?;
        let places =
            embeddings.weight("position_embedding.weight", &[config.length, config.width])?;
        let word = embeddings.node("Gather", &[words, ids], &[]);
        let tokens = embeddings.add(word, places);
        let mut rows = embeddings.rows(tokens, config.width);
        // Numbers from zero on, which old files keep.
        embeddings.leave_out("position_ids");
        let mut states = vec![rows];
        for layer in 0..count {
            rows = self
                .at(format_args!("encoder.layers.{layer}"))
                .clip_layer(rows, config)?;
            states.push(rows);
        }
        for layer in count..config.layers {
            self.leave_out(&format!("encoder.layers.{layer}."));
        }
        Ok(states)
    }

    fn clip_layer(&mut self, rows: Value, config: &Config) -> Result<Value> {
        let square = [config.width; 2];
        let normal = self
            .at("layer_norm1")
            .layer_norm(rows, config.width, config.epsilon)?;
        let q = self.at("self_attn.q_proj").linear(normal, square, true)?;
        let k = self.at("self_attn.k_proj").linear(normal, square, true)?;
        let v = self.at("self_attn.v_proj").linear(normal, square, true)?;
        let heads = Heads {
            causal: true,
            ..Heads::of(config.heads, config.width)
        };
        let seen = self.attention([q, k, v], heads);
        let seen = self.at("self_attn.out_proj").linear(seen, square, true)?;
        let rows = self.add(seen, rows);
        let normal = self
            .at("layer_norm2")
            .layer_norm(rows, config.width, config.epsilon)?;
        let inner = self
            .at("mlp.fc1")
            .linear(normal, [config.width, config.inner], true)?;
        let inner = self.activated(inner, config.activation);
        let out = self
            .at("mlp.fc2")
            .linear(inner, [config.inner, config.width], true)?;
        Ok(self.add(out, rows))
    }

    /// Pooled rows, projected.
    fn projected(&mut self, row: Value, columns: [usize; 2]) -> Result<Value> {
        // OpenCLIP keeps no layer but the matrix that rows are multiplied by.
        if self.has("text_projection") {
            let matrix = self.weight("text_projection", &columns)?;
            return Ok(self.node("Gemm", &[row, matrix], &[]));
        }
        self.at("text_projection").linear(row, columns, false)
    }

    /// The row of each text at its end.
    fn pooled(&mut self, ids: Value, rows: Value, config: &Config) -> Value {
        let ends = match config.end {
            None => ids,
            Some(id) => {
                let id = self.integers(&[id]);
                let found = self.node("Equal", &[ids, id], &[]);
                self.node("Cast", &[found], &[("to", 7.into())])
            }
        };
        // Of equal ones the first, also where an engine would take the last.
        let length = config.length as i64;
        let factor = self.integers(&[length]);
        let order: Vec<i64> = (0..length).rev().collect();
        let order = self.integers(&order);
        let ends = self.multiply(ends, factor);
        let ends = self.add(ends, order);
        let attributes = [("axis", 1.into()), ("keepdims", 1.into())];
        let place = self.node("ArgMax", &[ends], &attributes);
        let place = self.batched(place, &[1, 1]);
        let place = self.expanded(place, &[1, config.width as i64]);
        let tokens = self.tokens(rows, config.width);
        let row = self.node("GatherElements", &[tokens, place], &[("axis", 1.into())]);
        self.rows(row, config.width)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use onnx_gpu::proto::{Contents, Model, Storage};
    use serde_json::Value;

    use super::*;
    use crate::weights::{Header, Weights};
    use crate::{Built, build};

    fn config() -> Value {
        json!({"architectures": ["CLIPTextModel"], "vocab_size": 30, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2,
            "num_attention_heads": 2, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "eos_token_id": 29, "projection_dim": 6})
    }

    /// Names and shapes as transformers saves them.
    fn names(prefix: &str) -> Vec<(String, Vec<usize>)> {
        let mut all = vec![
            ("embeddings.token_embedding.weight".to_owned(), vec![30, 8]),
            (
                "embeddings.position_embedding.weight".to_owned(),
                vec![77, 8],
            ),
        ];
        for layer in 0..2 {
            for (module, to, from) in [
                ("self_attn.q_proj", 8, 8),
                ("self_attn.k_proj", 8, 8),
                ("self_attn.v_proj", 8, 8),
                ("self_attn.out_proj", 8, 8),
                ("mlp.fc1", 16, 8),
                ("mlp.fc2", 8, 16),
            ] {
                all.push((
                    format!("encoder.layers.{layer}.{module}.weight"),
                    vec![to, from],
                ));
                all.push((format!("encoder.layers.{layer}.{module}.bias"), vec![to]));
            }
            for norm in ["layer_norm1", "layer_norm2"] {
                for kind in ["weight", "bias"] {
                    all.push((format!("encoder.layers.{layer}.{norm}.{kind}"), vec![8]));
                }
            }
        }
        all.extend([
            ("final_layer_norm.weight".to_owned(), vec![8]),
            ("final_layer_norm.bias".to_owned(), vec![8]),
        ]);
        all.into_iter()
            .map(|(name, shape)| (format!("{prefix}{name}"), shape))
            .collect()
    }

    fn weights(names: &[(String, Vec<usize>)], dtype: &str) -> Weights {
        let bytes = if dtype == "F32" { 4 } else { 2 };
        let mut at = 0;
        let entries = names.iter().map(|(name, shape)| {
            let end = at + bytes * shape.iter().product::<usize>();
            let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [at, end]});
            at = end;
            (name.clone(), entry)
        });
        let json = Value::Object(entries.collect()).to_string();
        let start = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
        Weights::one(
            "model.safetensors",
            &Header::parse("model.safetensors", &start).unwrap(),
        )
    }

    fn texts(states: States, pooled: bool) -> Part {
        Part::TextEncoder(Texts {
            states,
            pooled,
            skips: 0,
        })
    }

    fn built(part: &Part, config: &Value, weights: &Weights) -> Result<Built> {
        build("text_encoder", part, config, weights)
    }

    #[test]
    fn weights_stay_where_they_are() {
        for (prefix, dtype, storage) in [
            ("", "F32", Storage::F32),
            ("text_model.", "F16", Storage::F16),
        ] {
            let weights = weights(&names(prefix), dtype);
            let made = built(&texts(States::Last, false), &config(), &weights).unwrap();
            assert_eq!(made.external["text_encoder.data"], "model.safetensors");
            let graph = Model::parse(&made.graph).unwrap().graph;
            let ports: Vec<&str> = graph
                .inputs
                .iter()
                .chain(&graph.outputs)
                .map(|port| &*port.name)
                .collect();
            assert_eq!(ports, ["input_ids", "last_hidden_state"]);
            let mut found = 0;
            for weight in &graph.initializers {
                let Contents::Stored(location) = &weight.contents else {
                    continue;
                };
                let Some((_, stored)) = weights.get(&weight.name) else {
                    continue;
                };
                assert_eq!(
                    location.file.as_deref(),
                    Some("text_encoder.data"),
                    "{}",
                    weight.name
                );
                assert_eq!(
                    (location.offset, location.length),
                    (stored.offset, stored.length)
                );
                assert_eq!((weight.storage, &weight.shape), (storage, &stored.shape));
                found += 1;
            }
            assert_eq!(found, names(prefix).len());
        }
    }

    #[test]
    fn layers_that_nobody_reads_are_left_out() {
        let weights = weights(&names(""), "F32");
        let made = built(&texts(States::BeforeLast, false), &config(), &weights).unwrap();
        let graph = Model::parse(&made.graph).unwrap().graph;
        assert_eq!(graph.outputs[0].name, "hidden_states.1");
        let has = |name: &str| {
            graph
                .initializers
                .iter()
                .any(|weight| weight.name.starts_with(name))
        };
        assert!(has("encoder.layers.0.") && !has("encoder.layers.1.") && !has("final_layer_norm"));
        let error = built(&texts(States::Behind(vec![3]), false), &config(), &weights).unwrap_err();
        assert_eq!(
            error,
            Error::Layer {
                wanted: 3,
                layers: 2
            }
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let part = texts(States::Last, false);
        let all = names("");
        let fails = |config: &Value, names: &[(String, Vec<usize>)], dtype: &str, said: &str| {
            let error = built(&part, config, &weights(names, dtype))
                .unwrap_err()
                .to_string();
            assert!(error.contains(said), "{error}");
        };
        let changed = |name: &str, value: Value| {
            let mut config = config();
            config[name] = value;
            config
        };
        let without = |name: &str| -> Vec<_> {
            all.iter()
                .filter(|(other, _)| other != name)
                .cloned()
                .collect()
        };
        fails(
            &config(),
            &without("encoder.layers.1.mlp.fc2.bias"),
            "F32",
            "encoder.layers.1.mlp.fc2.bias",
        );
        let more = [
            &all[..],
            &[("encoder.layers.2.mlp.fc1.bias".to_owned(), vec![16])],
        ]
        .concat();
        fails(
            &config(),
            &more,
            "F32",
            "nothing reads encoder.layers.2.mlp.fc1.bias",
        );
        fails(
            &changed("num_hidden_layers", json!(1)),
            &all,
            "F32",
            "nothing reads encoder.layers.1",
        );
        fails(
            &changed("intermediate_size", json!(12)),
            &all,
            "F32",
            "mlp.fc1.weight has the shape [16, 8]",
        );
        fails(
            &changed("num_attention_heads", json!(3)),
            &all,
            "F32",
            "num_attention_heads",
        );
        fails(
            &changed("hidden_act", json!("sine")),
            &all,
            "F32",
            "hidden_act",
        );
        fails(&changed("rotary", json!(true)), &all, "F32", "rotary");
        fails(
            &changed("architectures", json!(["CLIPModel"])),
            &all,
            "F32",
            "CLIPModel",
        );
        fails(
            &changed("architectures", json!([])),
            &all,
            "F32",
            "names no class",
        );
        fails(&config(), &all, "I16", "is stored as I16");
        // A buffer of old files.
        let buffered = [
            &all[..],
            &[("embeddings.position_ids".to_owned(), vec![1, 77])],
        ]
        .concat();
        built(&part, &config(), &weights(&buffered, "F32")).unwrap();
        assert!(built(&Part::Decoder, &config(), &weights(&all, "F32")).is_err());
    }

    /// The pooled text of a class that projects nothing is the row itself, under another name; layers are run to the last one for it.
    #[test]
    fn pooled_text_that_is_not_projected_has_a_name_of_its_own() {
        let all = weights(&names(""), "F32");
        let one = built(&texts(States::Behind(Vec::new()), true), &config(), &all).unwrap();
        let graph = Model::parse(&one.graph).unwrap().graph;
        let outputs: Vec<&str> = graph.outputs.iter().map(|port| &*port.name).collect();
        assert_eq!(outputs, ["pooler_output"]);
        let read = |name: &str| graph.initializers.iter().any(|weight| weight.name == name);
        assert!(read("encoder.layers.1.mlp.fc2.weight") && read("final_layer_norm.weight"));
    }
}
