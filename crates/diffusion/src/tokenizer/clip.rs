//! CLIP's tokenizer from the two files that diffusers keeps: `vocab.json` and `merges.txt`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};

/// Begins every text.
pub const START: &str = "<|startoftext|>";
/// Ends every text, and stands for what is unknown.
pub const END: &str = "<|endoftext|>";
/// What is one word before byte-pair encoding; a digit is a word of its own.
const WORD: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// The curled quotes, and what stands for them: the first steps of a normalizer that is to see text as CLIP's training did.
/// [`Tokenizer`](super::Tokenizer) does the rest of that cleaning where a `tokenizer.json` begins with them; other readers
/// of the file get the quotes right, which every phone types.
const STRAIGHT: [(&str, &str); 2] = [
    ("[\u{02bc}\u{2018}-\u{201b}]", "'"),
    ("[\u{201c}-\u{201f}]", "\""),
];

/// The `tokenizer.json` of a CLIP vocabulary: lower-cased, byte-level, words ending in `</w>`, between [`START`] and [`END`].
/// The same as `CLIPTokenizer` of transformers makes of the files, but for the cleaning of text, which is that of CLIP's
/// training.
///
/// # Errors
/// [`ErrorKind::Tokenizer`] when a file is not what it should be.
pub fn tokenizer_json(vocab: &[u8], merges: &str) -> Result<Vec<u8>> {
    let fail = |detail: String| Error::new(ErrorKind::Tokenizer, detail);
    let vocab: BTreeMap<String, u32> = serde_json::from_slice(vocab)
        .map_err(|e| fail(format!("vocab.json is no map of words to numbers: {e}")))?;
    let id = |token: &str| {
        let id = vocab.get(token).copied();
        id.ok_or_else(|| fail(format!("vocab.json has no {token}")))
    };
    let (start, end) = (id(START)?, id(END)?);
    let pairs = merges
        .lines()
        .enumerate()
        .filter(|(i, line)| !(line.is_empty() || *i == 0 && line.starts_with("#version")))
        .map(|(i, line)| {
            let pair = line
                .split_once(' ')
                .filter(|(_, second)| !second.contains(' '));
            pair.map(|(first, second)| json!([first, second]))
                .ok_or_else(|| fail(format!("line {} of merges.txt is no pair", i + 1)))
        })
        .collect::<Result<Vec<Value>>>()?;
    let special = |id: u32, content: &str| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true
        })
    };
    let plain = plain();
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [special(start, START), special(end, END)],
        "normalizer": {"type": "Sequence", "normalizers": [straight(0), straight(1), plain[0], plain[1], plain[2]]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": WORD}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
        ]},
        "post_processor": {
            "type": "RobertaProcessing", "sep": [END, end], "cls": [START, start], "trim_offsets": false,
            "add_prefix_space": false
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": END, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": pairs
        }
    });
    serde_json::to_vec(&tokenizer).map_err(|e| fail(e.to_string()))
}

/// A `tokenizer.json` whose text is cleaned as CLIP's training was, where it is CLIP's as transformers writes it; any
/// other stays as it is.
///
/// # Errors
/// [`ErrorKind::Tokenizer`] when it is not readable.
pub fn cleaning(tokenizer: &[u8]) -> Result<Vec<u8>> {
    let fail = |detail: String| Error::new(ErrorKind::Tokenizer, detail);
    let mut file: Value = serde_json::from_slice(tokenizer)
        .map_err(|e| fail(format!("tokenizer.json is not readable: {e}")))?;
    let is_clip = file
        .pointer("/model/end_of_word_suffix")
        .and_then(Value::as_str)
        == Some("</w>")
        && steps(&file).is_some_and(|steps| *steps == plain());
    if !is_clip {
        return Ok(tokenizer.to_owned());
    }
    if let Some(steps) = file
        .pointer_mut("/normalizer/normalizers")
        .and_then(Value::as_array_mut)
    {
        steps.splice(0..0, [straight(0), straight(1)]);
    }
    serde_json::to_vec(&file).map_err(|e| fail(e.to_string()))
}

/// Whether text for this `tokenizer.json` is cleaned as CLIP's training was.
pub(super) fn cleans(file: &Value) -> bool {
    steps(file).is_some_and(|steps| steps.starts_with(&[straight(0), straight(1)]))
}

fn steps(file: &Value) -> Option<&Vec<Value>> {
    file.pointer("/normalizer/normalizers")?.as_array()
}

fn straight(index: usize) -> Value {
    let (curled, straight) = STRAIGHT[index];
    json!({"type": "Replace", "pattern": {"Regex": curled}, "content": straight})
}

/// What transformers normalizes.
fn plain() -> [Value; 3] {
    [
        json!({"type": "NFC"}),
        json!({"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}),
        json!({"type": "Lowercase"}),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_none_are_named() {
        let vocab = br#"{"a": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}"#;
        let error =
            |vocab: &[u8], merges| tokenizer_json(vocab, merges).err().map(|e| e.to_string());
        assert_eq!(error(vocab, "#version: 0.2\na a\n"), None);
        assert!(error(vocab, "a a\na\n").is_some_and(|e| e.contains("line 2 of merges.txt")));
        assert!(error(b"[]", "").is_some_and(|e| e.contains("vocab.json")));
        assert!(error(br#"{"a": 0}"#, "").is_some_and(|e| e.contains("<|startoftext|>")));
    }
}
