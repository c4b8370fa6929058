//! The tokenizer against the Python library's ids (`data/golden.py`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use diffusion::manifest::Manifest;
use diffusion::tokenizer::{TextSettings, Tokenizer};
use diffusion::{ErrorKind, Package};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/glyph");

fn settings() -> TextSettings {
    let json = std::fs::read(format!("{PACKAGE}/manifest.json")).unwrap();
    TextSettings::from(&Manifest::parse(&json).unwrap().tokenizer)
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
