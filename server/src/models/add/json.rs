//! JSON files of a folder, read within bounds.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::de::DeserializeOwned;

/// Largest JSON file that is read, in bytes.
const MAX_JSON_BYTES: u64 = 64 << 20;
/// Numbers that Python writes and JSON does not have; they become text. A name comes before its end.
const NO_NUMBERS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// Reads a JSON file of bounded size, as Python writes it.
pub(super) fn json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let bytes = bytes(path)?;
    serde_json::from_slice(&bytes)
        .or_else(|error| serde_json::from_slice(&standard(&bytes)).map_err(|_| error))
        .with_context(|| format!("{} is not readable", path.display()))
}

/// Reads a file of bounded size.
pub(super) fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let Ok(meta) = fs::metadata(path) else {
        bail!("{} is missing", path.display());
    };
    ensure!(
        meta.len() <= MAX_JSON_BYTES,
        "{} has {} bytes, more than {MAX_JSON_BYTES}",
        path.display(),
        meta.len()
    );
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// JSON with text in place of what is no number.
fn standard(python: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(python.len());
    let (mut rest, mut in_text) = (python, false);
    while let Some((&byte, tail)) = rest.split_first() {
        let word = NO_NUMBERS
            .iter()
            .find(|word| !in_text && rest.starts_with(word));
        let length = match (word, byte) {
            (Some(word), _) => {
                out.push(b'"');
                out.extend_from_slice(word);
                out.push(b'"');
                word.len()
            }
            (None, b'\\') if in_text => {
                out.extend(rest.iter().take(2));
                2.min(1 + tail.len())
            }
            (None, _) => {
                in_text ^= byte == b'"';
                out.push(byte);
                1
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn python_writes_numbers_that_json_lacks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            json::<Value>(&path).map_err(|error| format!("{error:#}"))
        };
        let text = r#"{"a": -Infinity, "b": [NaN, Infinity], "c\"NaN": "-Infinity \\", "d": NaN}"#;
        let expected = json!({"a": "-Infinity", "b": ["NaN", "Infinity"], "c\"NaN": "-Infinity \\", "d": "NaN"});
        assert_eq!(read(text).unwrap(), expected);
        for text in ["{\"a\": -Infinit}", "NaNa", "\"\\", ""] {
            assert!(read(text).unwrap_err().contains("a.json"), "{text}");
        }
    }
}
