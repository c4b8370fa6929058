//! Prompts against the web UI's own modules (data/prompts.py).

#![allow(clippy::unwrap_used)]

use diffusion::ErrorKind;
use diffusion::prompt::{Chunks, MAX_CHUNKS, Span, chunks, even, parse, weigh};
use diffusion::tokenizer::{TextSettings, Tokenizer, clip};
use serde::Deserialize;

/// Text and its weight, in order.
type Parts = Vec<(String, f64)>;

#[derive(Deserialize)]
struct Golden {
    spans: Vec<(String, Option<Parts>)>,
    chunks: Vec<Laid>,
    states: Vec<Weighed>,
}

#[derive(Deserialize)]
struct Laid {
    pad: u32,
    texts: Vec<String>,
    chunks: Vec<Chunk>,
}

#[derive(Deserialize)]
struct Chunk {
    ids: Vec<Vec<i64>>,
    weights: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Weighed {
    weights: Vec<f32>,
    before: Vec<f32>,
    after: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("data/prompts.json")).unwrap()
}

fn tokenizer(length: usize, pad: u32) -> Tokenizer {
    let vocab = include_bytes!("data/clip/vocab.json");
    let json = clip::tokenizer_json(vocab, include_str!("data/clip/merges.txt")).unwrap();
    Tokenizer::from_bytes(&json, &TextSettings::fixed("tokenizer.json", length, pad)).unwrap()
}

fn laid(text: &str, tokenizer: &Tokenizer) -> Chunks {
    chunks(&parse(text).unwrap(), tokenizer).unwrap()
}

#[test]
fn spans_are_those_of_the_web_ui() {
    let golden = golden().spans;
    assert!(golden.len() > 200);
    for (text, expected) in golden {
        let read = parse(&text);
        let Some(expected) = expected else {
            let error = read.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::InvalidRequest, "{text:?}");
            continue;
        };
        let read = read.unwrap();
        assert_eq!(read.len(), expected.len(), "{text:?}");
        for (ours, (theirs, expected)) in read.into_iter().zip(expected) {
            let is_break = theirs == "BREAK" && expected == -1.0;
            match ours {
                Span::Break => assert!(is_break, "{text:?}"),
                Span::Text { text: ours, weight } => {
                    assert!(!is_break && ours == theirs, "{text:?}: {ours:?}");
                    // serde_json reads some numbers one unit in the last place off.
                    let near = (weight - expected).abs() <= 1e-12 * expected.abs();
                    assert!(near, "{text:?}: {weight} for {expected}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_read_is_named() {
    for (text, named) in [
        ("a cat <lora:ink wash:0.8>", "<lora:ink wash:0.8>"),
        ("<lyco:a:1>, <b", "<lyco:a:1>"),
        ("<hypernet:a>", "<hypernet:a>"),
        ("a cat AND a dog", "AND"),
        ("AND", "AND"),
        ("a [cat:dog:0.5]", "[a:b:0.5]"),
        ("a ([cat:10])", "[a:b:0.5]"),
        ("a [cat|dog]", "[a|b]"),
        ("(a:1.2.3)", "1.2.3"),
        ("(a:.)", "\".\""),
        // Python takes the digits of every script for digits.
        ("(a:\u{ff11})", "\u{ff11}"),
        (&format!("(a:{})", "9".repeat(400)), "too large"),
        (&format!("{}a", "(".repeat(950)), "too large"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidRequest);
        assert!(error.to_string().contains(named), "{error}");
    }
    for text in [
        "a < b: c > d",
        "<3",
        "<:a>",
        "<a:>",
        "<a: b",
        "SAND, ANDY, and, _AND",
        r"a \[cat:dog:0.5\]",
        "a (cat|dog)",
    ] {
        assert!(parse(text).is_ok(), "{text:?}");
    }
}

#[test]
fn chunks_are_those_of_the_web_ui() {
    let golden = golden().chunks;
    assert!(golden.len() >= 20);
    for case in golden {
        let tokenizer = tokenizer(77, case.pad);
        let texts = case.texts.iter();
        let mut ours: Vec<Chunks> = texts.map(|text| laid(text, &tokenizer)).collect();
        even(&mut ours);
        assert_eq!(ours.len(), case.chunks.len());
        for (ours, theirs) in ours.iter().zip(&case.chunks) {
            assert_eq!(ours.ids, theirs.ids, "{:?}", case.texts);
            assert_eq!(ours.weights, theirs.weights, "{:?}", case.texts);
        }
    }
}

/// Where nothing is asked for, the ids are those of a prompt that is not read for brackets.
#[test]
fn a_plain_prompt_is_one_chunk_of_the_same_ids() {
    for pad in [537, 0] {
        let tokenizer = tokenizer(77, pad);
        for text in [
            "",
            "a photo of an apple",
            "the dog's cat, 12 apples",
            "café 北京",
        ] {
            let ours = laid(text, &tokenizer);
            assert_eq!(ours.ids, [tokenizer.encode(text).unwrap().ids]);
            assert_eq!(ours.weights, [[1.0; 77]]);
        }
    }
}

#[test]
fn a_prompt_has_an_end() {
    let tokenizer = tokenizer(77, 537);
    let most = |text: &str| chunks(&parse(text).unwrap(), &tokenizer);
    let (fits, beyond) = (
        "a ".repeat(75 * MAX_CHUNKS),
        "a ".repeat(75 * MAX_CHUNKS + 1),
    );
    assert_eq!(most(&fits).unwrap().count(), MAX_CHUNKS);
    for text in [&*beyond, &"BREAK ".repeat(MAX_CHUNKS + 1)] {
        let error = most(text).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidRequest);
        assert!(error.to_string().contains("17 chunks"), "{error}");
    }
}

#[test]
fn short_encoders_have_short_chunks() {
    let short = tokenizer(5, 0);
    let ours = laid("a b (the dog:1.5)", &short);
    assert_eq!(ours.ids, [[536, 320, 321, 523, 537], [536, 521, 537, 0, 0]]);
    assert_eq!(
        ours.weights,
        [[1.0, 1.0, 1.0, 1.5, 1.0], [1.0, 1.5, 1.0, 1.0, 1.0]]
    );
    let error = chunks(&parse("a").unwrap(), &tokenizer(2, 0)).unwrap_err();
    assert!(error.to_string().contains("no room"), "{error}");
}

#[test]
fn weights_keep_the_mean() {
    for case in golden().states {
        let mut states = case.before.clone();
        weigh(&mut states, &case.weights).unwrap();
        let largest = case.after.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        for (ours, theirs) in states.iter().zip(&case.after) {
            assert!(
                (f64::from(*ours) - theirs).abs() <= 1e-6 * largest,
                "{ours} {theirs}"
            );
        }
        let changed = case.weights.iter().any(|&weight| weight != 1.0);
        assert_eq!(states != case.before, changed);
    }
}

#[test]
fn weights_that_leave_nothing_are_refused() {
    let refused = |states: &mut [f32], weights: &[f32]| {
        let error = weigh(states, weights).unwrap_err();
        error.kind().clone()
    };
    assert_eq!(
        refused(&mut [1.0, 2.0, 3.0], &[1.0, 2.0]),
        ErrorKind::Engine
    );
    assert_eq!(refused(&mut [], &[2.0]), ErrorKind::Engine);
    assert_eq!(refused(&mut [1.0], &[]), ErrorKind::Engine);
    assert_eq!(refused(&mut [1.0], &[1.0, 1.0]), ErrorKind::Engine);
    // 1 × 3 + 3 × -1 = 0
    assert_eq!(
        refused(&mut [1.0, 3.0], &[3.0, -1.0]),
        ErrorKind::InvalidRequest
    );
    assert_eq!(
        refused(&mut [1.0, 3.0], &[3e38, 3e38]),
        ErrorKind::InvalidRequest
    );
    assert_eq!(
        refused(&mut [1.0, 3.0], &[0.0, 0.0]),
        ErrorKind::InvalidRequest
    );
    assert!(weigh(&mut [], &[]).is_ok());
}
