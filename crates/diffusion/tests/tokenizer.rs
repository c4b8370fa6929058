//! The tokenizer against the Python library's ids (`data/golden.py`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use diffusion::manifest::Manifest;
use diffusion::tokenizer::{TextSettings, Tokenizer, Tokens};
use diffusion::{ErrorKind, Package};
use serde::Deserialize;

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/glyph");

fn settings() -> TextSettings {
    let json = std::fs::read(format!("{PACKAGE}/manifest.json")).unwrap();
    Manifest::parse(&json).unwrap().texts["prompt"].clone()
}

#[test]
fn ids_and_masks_are_those_of_python() {
    let json = std::fs::read(format!("{PACKAGE}/tokenizer.json")).unwrap();
    let tokenizer = Tokenizer::from_bytes(&json, &settings()).unwrap();
    let golden: Vec<(String, Vec<i64>, Vec<i64>)> =
        serde_json::from_str(include_str!("data/tokens.json")).unwrap();
    assert_eq!(golden.len(), 10);
    for (text, ids, mask) in golden {
        let tokens = tokenizer.encode(&text).unwrap();
        assert_eq!(tokens.ids, ids, "{text:?}");
        assert_eq!(tokens.mask, mask, "{text:?}");
    }
}

#[derive(Deserialize)]
struct Family {
    settings: TextSettings,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    prompt: Row,
    negative: Row,
}

#[derive(Deserialize)]
struct Row {
    ids: Vec<i64>,
    mask: Vec<i64>,
}

impl From<Row> for Tokens {
    fn from(Row { ids, mask }: Row) -> Self {
        Self { ids, mask }
    }
}

/// Prompts and negative prompts as the pipelines of diffusers treat them (data/texts.py).
#[test]
fn every_familys_texts_have_the_ids_of_transformers() {
    let families: Vec<Family> =
        serde_json::from_str(include_str!("data/texts/golden.json")).unwrap();
    assert_eq!(families.len(), 6);
    for Family { settings, cases } in families {
        assert!(cases.len() >= 11);
        let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/texts");
        let json = std::fs::read(format!("{data}/{}", settings.file)).unwrap();
        let tokenizer = Tokenizer::from_bytes(&json, &settings).unwrap();
        for Case {
            text,
            prompt,
            negative,
        } in cases
        {
            let ours = [
                tokenizer.encode(&text).unwrap(),
                tokenizer.encode_negative(&text).unwrap(),
            ];
            let theirs = [prompt, negative].map(Tokens::from);
            assert_eq!(ours, theirs, "{}: {text:?}", settings.file);
        }
    }
}

#[test]
fn settings_that_leave_no_room_are_refused() {
    let json = include_bytes!("data/texts/t5.json");
    let read = |length| Tokenizer::from_bytes(json, &TextSettings::fixed("t5.json", length, 0));
    // The end of the text is one token.
    assert_eq!(read(1).unwrap().encode("a cat").unwrap().ids, [1]);
    let error = |length| read(length).err().unwrap();
    assert_eq!(*error(0).kind(), ErrorKind::InvalidPackage);
    let json = std::fs::read(format!("{PACKAGE}/tokenizer.json")).unwrap();
    let framed = TextSettings::fixed("tokenizer.json", 1, 0);
    let error = Tokenizer::from_bytes(&json, &framed).err().unwrap();
    assert!(error.to_string().contains("2 tokens around"), "{error}");
}

#[test]
fn a_broken_tokenizer_file_is_named_as_such() {
    let error = Tokenizer::from_bytes(b"{\"model\":", &settings())
        .err()
        .unwrap();
    assert_eq!(*error.kind(), ErrorKind::Tokenizer);
}

#[test]
fn the_built_in_package_is_whole() {
    let package = Package::from_dir(PACKAGE.as_ref()).unwrap();
    assert_eq!(package.manifest.id, "demo-hub/glyph");
}
