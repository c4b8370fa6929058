//! CLIP's tokenizer against transformers' (data/clip.py).

#![allow(clippy::unwrap_used)]

use diffusion::tokenizer::words::{Word, with_words};
use diffusion::tokenizer::{TextSettings, Tokenizer, clip};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<i64>,
    mask: Vec<i64>,
}

#[derive(Deserialize)]
struct Cleaned {
    text: String,
    ids: Vec<i64>,
}

fn json() -> Vec<u8> {
    let vocab = include_bytes!("data/clip/vocab.json");
    clip::tokenizer_json(vocab, include_str!("data/clip/merges.txt")).unwrap()
}

fn tokenizer(json: &[u8], max_length: usize) -> Tokenizer {
    let settings = TextSettings::fixed("tokenizer.json", max_length, 537);
    Tokenizer::from_bytes(json, &settings).unwrap()
}

#[test]
fn ids_are_those_of_transformers() {
    let tokenizer = tokenizer(&json(), 60);
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/clip/tokens.json")).unwrap();
    assert_eq!(cases.len(), 22);
    for case in cases {
        let tokens = tokenizer.encode(&case.text).unwrap();
        assert_eq!(tokens.ids, case.ids, "{:?}", case.text);
        assert_eq!(tokens.mask, case.mask, "{:?}", case.text);
    }
}

/// What was written is cleaned as OpenAI cleaned it, by the file's own declaration: without its first two steps, which any
/// tokenizer.json of transformers lacks, text is taken as it is until the file is declared anew.
#[test]
fn text_is_cleaned_as_for_the_training() {
    let cases: Vec<Cleaned> = serde_json::from_str(include_str!("data/clip/cleaned.json")).unwrap();
    assert!(cases.len() >= 20);
    let declared = json();
    let mut plain: Value = serde_json::from_slice(&declared).unwrap();
    let steps = plain["normalizer"]["normalizers"].as_array_mut().unwrap();
    steps.drain(..2);
    let plain = serde_json::to_vec(&plain).unwrap();
    let redeclared = clip::cleaning(&plain).unwrap();
    let mut changed = 0;
    for case in cases {
        for json in [&declared, &redeclared] {
            let tokens = tokenizer(json, 200).encode(&case.text).unwrap();
            let length = tokens.mask.iter().sum::<i64>() as usize;
            assert_eq!(tokens.ids[..length], case.ids, "{:?}", case.text);
        }
        let as_written = tokenizer(&plain, 200).encode(&case.text).unwrap();
        changed += usize::from(!as_written.ids.starts_with(&case.ids));
    }
    assert!(changed >= 12, "{changed} texts need cleaning");
    // What is not CLIP's stays byte for byte what it is.
    let other = br#"{"model": {"type": "WordLevel", "vocab": {}}}"#;
    assert_eq!(clip::cleaning(other).unwrap(), other);
}

/// Learned words keep the ids of their embeddings, in order behind the vocabulary or not.
#[test]
fn words_have_the_ids_that_they_are_given() {
    for ids in [[538, 539], [700, 650], [1000, 538]] {
        let words = [
            Word::learned("<toy>", ids[0]),
            Word::learned("<toy>_1", ids[1]),
        ];
        let json = with_words(&json(), &words).unwrap();
        let tokenizer = tokenizer(&json, 8);
        let text = tokenizer.encode("the <Toy>_1 <toy>dog").unwrap();
        let [toy, first] = ids.map(i64::from);
        assert_eq!(
            text.ids,
            [536, 523, first, toy, 521, 537, 537, 537],
            "{ids:?}"
        );
        assert_eq!(tokenizer.largest_id(), ids.into_iter().max());
        // Adding them again changes nothing, and the last word on their properties counts.
        assert_eq!(with_words(&json, &words).unwrap(), json);
        let exact = Word {
            normalized: false,
            ..words[0].clone()
        };
        let exact = with_words(&json, &[exact]).unwrap();
        let text = self::tokenizer(&exact, 8)
            .encode("<toy> <Toy>")
            .unwrap()
            .ids;
        assert_eq!(text.iter().filter(|&&id| id == toy).count(), 1);
    }
    let error = |words: &[Word]| with_words(&json(), words).unwrap_err().to_string();
    assert!(error(&[Word::learned("a", 600)]).contains("\"a\" has the ids 64 and 600"));
    assert!(error(&[Word::learned("<x>", 64)]).contains("have the id 64"));
    assert!(error(&[Word::learned("<x>", 600), Word::learned("<y>", 600)]).contains("<y>"));
}

#[test]
fn a_file_that_contradicts_its_vocabulary_is_refused() {
    let mut file: Value = serde_json::from_slice(&json()).unwrap();
    file["added_tokens"][0]["id"] = 12.into();
    let settings = TextSettings::fixed("tokenizer.json", 8, 537);
    let error = Tokenizer::from_bytes(file.to_string().as_bytes(), &settings)
        .err()
        .unwrap();
    assert!(error.to_string().contains(clip::START), "{error}");
}
