//! CLIP's tokenizer against transformers' (data/clip.py).

#![allow(clippy::unwrap_used)]

use diffusion::manifest::TokenizerSettings;
use diffusion::tokenizer::{Tokenizer, clip};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<i64>,
    mask: Vec<i64>,
}

#[test]
fn ids_are_those_of_transformers() {
    let vocab = include_bytes!("data/clip/vocab.json");
    let json = clip::tokenizer_json(vocab, include_str!("data/clip/merges.txt")).unwrap();
    let settings = TokenizerSettings {
        file: "tokenizer.json".into(),
        max_length: 20,
        pad_id: 537,
        pad_token: clip::END.into(),
    };
    let tokenizer = Tokenizer::from_bytes(&json, &settings).unwrap();
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/clip/tokens.json")).unwrap();
    assert_eq!(cases.len(), 11);
    for case in cases {
        let tokens = tokenizer.encode(&case.text).unwrap();
        assert_eq!(tokens.ids, case.ids, "{:?}", case.text);
        assert_eq!(tokens.mask, case.mask, "{:?}", case.text);
    }
}
