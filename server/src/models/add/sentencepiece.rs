//! `spiece.model` of T5, a model of sentencepiece (Kudo & Richardson, arXiv:1808.06226), as the `tokenizer.json` that transformers makes of it.

use std::collections::HashMap;

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::{Value, json};

/// Stands for the space before a word.
const SPACE: &str = "\u{2581}";
/// Classes of transformers that such files are read for.
const CLASSES: [&str; 2] = ["T5Tokenizer", "T5TokenizerFast"];
/// What ends a text, pads it, and stands for what is in no piece.
const END: &str = "</s>";
pub(super) const PAD: &str = "<pad>";
const UNKNOWN: &str = "<unk>";
/// Words that stand for what is left out of a text, where the configuration gives no number of them.
const EXTRA: u64 = 100;
/// Most of them.
const MAX_EXTRA: u64 = 10_000;
/// Pieces of which each has a probability of its own.
const UNIGRAM: i32 = 1;

/// The messages, by the field numbers of sentencepiece's `sentencepiece_model.proto`, as far as they are read.
#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<Trainer>,
    #[prost(message, optional, tag = "3")]
    normalizer: Option<Normalizer>,
}

#[derive(Clone, PartialEq, Message)]
struct Piece {
    #[prost(string, optional, tag = "1")]
    piece: Option<String>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct Trainer {
    #[prost(int32, optional, tag = "3")]
    model_type: Option<i32>,
    #[prost(bool, optional, tag = "35")]
    byte_fallback: Option<bool>,
    #[prost(int32, optional, tag = "40")]
    unk_id: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Normalizer {
    #[prost(bytes = "vec", optional, tag = "2")]
    precompiled_charsmap: Option<Vec<u8>>,
}

/// The `tokenizer.json` of a `spiece.model`; `config` is `tokenizer_config.json`.
///
/// # Errors
/// For files of other models and tokenizers, by name.
pub(super) fn tokenizer_json(model: &[u8], config: &Value) -> anyhow::Result<Vec<u8>> {
    let class = config.get("tokenizer_class").and_then(Value::as_str);
    if let Some(class) = class.filter(|class| !CLASSES.contains(class)) {
        bail!(
            "tokenizer_config.json names {class:?}; of spiece.model, {} can be packed: a tokenizer.json, which transformers writes, can be \
             packed of every class",
            CLASSES.join(" and ")
        );
    }
    let model = Model::decode(model).context("spiece.model is no model of sentencepiece")?;
    let trainer = model.trainer.unwrap_or_default();
    let kind = trainer.model_type.unwrap_or(UNIGRAM);
    ensure!(
        kind == UNIGRAM,
        "spiece.model is of the type {kind} of sentencepiece; unigrams, {UNIGRAM}, can be packed"
    );
    ensure!(
        !trainer.byte_fallback(),
        "spiece.model has byte_fallback, which T5's do not have"
    );
    let extra = config.get("extra_ids").and_then(Value::as_u64);
    let extra = extra.unwrap_or(EXTRA);
    ensure!(
        extra <= MAX_EXTRA,
        "tokenizer_config.json has {extra} extra_ids"
    );
    let mut vocabulary: Vec<(String, f32)> = Vec::with_capacity(model.pieces.len());
    for (id, piece) in model.pieces.into_iter().enumerate() {
        let score = piece.score.unwrap_or_default();
        ensure!(score.is_finite(), "piece {id} of spiece.model has no score");
        let text = piece.piece.unwrap_or_default();
        vocabulary.push((text, score));
    }
    let extras = (0..extra)
        .rev()
        .map(|number| format!("<extra_id_{number}>"));
    vocabulary.extend(extras.clone().map(|word| (word, 0.0)));
    let unknown = trainer.unk_id.unwrap_or_default();
    let unknown = usize::try_from(unknown).ok();
    let unknown = unknown.filter(|&id| vocabulary.get(id).is_some_and(|(text, _)| text == UNKNOWN));
    let unknown =
        unknown.with_context(|| format!("spiece.model has no piece {UNKNOWN} where it says"))?;
    let mut ids = HashMap::with_capacity(vocabulary.len());
    for (id, (text, _)) in vocabulary.iter().enumerate() {
        ids.entry(&**text).or_insert(id);
    }
    let mut added = Vec::new();
    let frame = [PAD, END, UNKNOWN].map(str::to_owned);
    for word in frame.into_iter().chain(extras) {
        let id = ids.get(&*word);
        let id = id.with_context(|| format!("spiece.model has no piece {word}"))?;
        added.push(json!({"id": id, "content": word, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true}));
    }
    added.sort_by_key(|word| word["id"].as_u64());
    let map = model.normalizer.and_then(|own| own.precompiled_charsmap);
    let normalizer = map
        .filter(|map| !map.is_empty())
        .map(|map| json!({"type": "Precompiled", "precompiled_charsmap": STANDARD.encode(map)}));
    let words = json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": true});
    let end = ids.get(END);
    let behind = json!({"SpecialToken": {"id": END, "type_id": 0}});
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, words]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, behind],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, behind, {"Sequence": {"id": "B", "type_id": 0}}, behind],
            "special_tokens": {END: {"id": END, "ids": [end], "tokens": [END]}},
        },
        "decoder": words,
        "model": {"type": "Unigram", "unk_id": unknown, "vocab": vocabulary, "byte_fallback": false},
    });
    Ok(serde_json::to_vec(&json)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn model() -> Model {
        let pieces = [
            (PAD, 0.0),
            (END, 0.0),
            (UNKNOWN, 0.0),
            ("\u{2581}a", -1.0),
            ("b", -2.0),
            (SPACE, -3.0),
        ];
        let piece = |(text, score): (&str, f32)| Piece {
            piece: Some(text.to_owned()),
            score: Some(score),
        };
        Model {
            pieces: pieces.map(piece).to_vec(),
            trainer: Some(Trainer {
                model_type: Some(UNIGRAM),
                byte_fallback: None,
                unk_id: Some(2),
            }),
            normalizer: None,
        }
    }

    fn said(model: &Model, config: Value) -> String {
        let made = tokenizer_json(&model.encode_to_vec(), &config);
        made.err().map(|e| format!("{e:#}")).unwrap_or_default()
    }

    #[test]
    fn what_is_no_model_of_t5_is_refused_by_name() {
        assert_eq!(said(&model(), json!({"extra_ids": 3})), "");
        let class = json!({"tokenizer_class": "LlamaTokenizer"});
        assert!(said(&model(), class).contains("LlamaTokenizer"));
        let changed = |change: fn(&mut Model)| {
            let mut other = model();
            change(&mut other);
            said(&other, Value::Null)
        };
        for (change, word) in [
            (
                (|m| m.trainer.as_mut().unwrap().model_type = Some(2)) as fn(&mut Model),
                "type 2",
            ),
            (
                |m| m.trainer.as_mut().unwrap().byte_fallback = Some(true),
                "byte_fallback",
            ),
            (|m| m.trainer.as_mut().unwrap().unk_id = Some(-1), UNKNOWN),
            (|m| m.trainer.as_mut().unwrap().unk_id = Some(3), UNKNOWN),
            (|m| m.pieces[1].piece = None, END),
            (|m| m.pieces[4].score = Some(f32::NAN), "score"),
        ] {
            let said = changed(change);
            assert!(said.contains(word), "{word}: {said}");
        }
        assert!(said(&model(), json!({"extra_ids": 1u64 << 40})).contains("extra_ids"));
        let broken = tokenizer_json(b"\x0a\xff\xff", &Value::Null).unwrap_err();
        assert!(broken.to_string().contains("sentencepiece"), "{broken}");
    }

    #[test]
    fn words_for_what_is_left_out_count_down_behind_the_pieces() {
        let made = tokenizer_json(&model().encode_to_vec(), &json!({"extra_ids": 2})).unwrap();
        let made: Value = serde_json::from_slice(&made).unwrap();
        let last = &made["model"]["vocab"].as_array().unwrap()[6..];
        assert_eq!(last[0][0], "<extra_id_1>");
        assert_eq!(last[1][0], "<extra_id_0>");
        assert_eq!(made["model"]["unk_id"], 2);
    }
}
