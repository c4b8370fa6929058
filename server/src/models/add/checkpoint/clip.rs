//! CLIP's vocabulary: no checkpoint in one file has it, and all of the families use the same.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, ensure};
use diffusion::tokenizer::clip::{END, START};
use flate2::read::GzDecoder;
use serde_json::json;

/// The merges of OpenAI's `bpe_simple_vocab_16e6.txt` that CLIP uses, a line each.
const MERGES: &[u8] = include_bytes!("clip_merges.txt.gz");
/// How many there are.
const COUNT: usize = 49_152 - 256 - 2;
/// Most tokens of a text.
const LENGTH: usize = 77;
/// Ends a token that ends a word.
const END_OF_WORD: &str = "</w>";

/// Files of a `CLIPTokenizer` that fills texts up with `filler`.
///
/// # Errors
/// When the program's own data are damaged.
pub(super) fn files(filler: &str) -> anyhow::Result<[(&'static str, Vec<u8>); 3]> {
    let mut merges = String::new();
    GzDecoder::new(MERGES)
        .read_to_string(&mut merges)
        .context("the vocabulary of CLIP is damaged")?;
    let count = merges.lines().count();
    ensure!(count == COUNT, "the vocabulary of CLIP has {count} merges");
    let bytes = || byte_words().into_iter();
    let words = bytes()
        .map(String::from)
        .chain(bytes().map(|word| format!("{word}{END_OF_WORD}")))
        .chain(merges.lines().map(|pair| pair.replacen(' ', "", 1)))
        .chain([START, END].map(str::to_owned));
    let ids: BTreeMap<String, usize> = words.zip(0..).collect();
    let config = json!({
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": filler
    });
    Ok([
        ("vocab.json", serde_json::to_vec(&ids)?),
        (
            "merges.txt",
            format!("#version: 0.2\n{merges}").into_bytes(),
        ),
        ("tokenizer_config.json", serde_json::to_vec(&config)?),
    ])
}

/// Characters that stand for the 256 bytes, in CLIP's order: those that can be printed for themselves, then the others.
fn byte_words() -> Vec<char> {
    let printed = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let all = 0..=u8::MAX;
    let others = all.clone().filter(|byte| !printed(byte)).zip(256..);
    let others = others.filter_map(|(_, code)| char::from_u32(code));
    all.filter(printed).map(char::from).chain(others).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::fs;

    use diffusion::tokenizer::Tokenizer;

    use super::super::super::layout::Layout;
    use super::super::super::tokenizer::{self, Takes};
    use super::*;

    /// Ids of tests/models/clip_merges.py, which reads OpenCLIP's own file with transformers.
    #[test]
    fn texts_have_the_ids_of_transformers() {
        let texts = include_str!("../../../../tests/models/clip_merges.json");
        let texts: BTreeMap<String, Vec<i64>> = serde_json::from_str(texts).unwrap();
        assert!(texts.len() >= 12);
        for (filler, id) in [(END, 49_407), ("!", 0)] {
            let dir = tempfile::tempdir().unwrap();
            let files = files(filler).unwrap();
            for (name, bytes) in &files {
                fs::write(dir.path().join(name), bytes).unwrap();
            }
            let names = files.iter().map(|(name, _)| (*name).to_owned());
            let takes = Takes {
                length: Some(LENGTH),
                rows: Some(49_408),
            };
            let found =
                tokenizer::read(dir.path(), &Layout::new(names).tokenizer(0), takes).unwrap();
            assert_eq!(found.settings.padding.token, id);
            let reader = Tokenizer::from_bytes(&found.json, &found.settings).unwrap();
            for (text, ids) in &texts {
                let mut expected = ids.clone();
                expected.resize(LENGTH, i64::from(id));
                assert_eq!(reader.encode(text).unwrap().ids, expected, "{text:?}");
            }
        }
    }
}
