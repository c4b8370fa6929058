//! `name: value` pairs, separated by commas.
//!
//! A value may be a JSON string (`quote` in A1111's `infotext_utils.py`; before version 1.6 it left line breaks in it as
//! they are), or a JSON list or object (`Hashes` and `Civitai resources`).

use serde_json::Value;

/// A name as the text has it, and its value without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) value: String,
}

/// The pairs of a line, which may go on in quotes, and what follows it.
pub(super) fn line(text: &str) -> (Vec<Pair>, &str) {
    let mut pairs = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', ',']);
        let Some(end) = rest.find([':', ',', '\n']) else {
            return (pairs, "");
        };
        let (before, after) = rest.split_at(end);
        let after_sign = &after[1..];
        match after.as_bytes()[0] {
            b'\n' => return (pairs, after_sign),
            // A word alone: A1111 writes a name that equals its value once.
            b',' => rest = after_sign,
            _ => {
                let (value, next) = value(after_sign.trim_start_matches([' ', '\t']));
                if is_name(before.trim()) {
                    pairs.push(Pair {
                        name: before.trim().to_owned(),
                        value,
                    });
                }
                rest = next;
            }
        }
    }
}

/// `\w[\w \-/]+` in A1111; some extensions have brackets and dots in theirs. Nothing of a prompt's syntax: `<lora:x:1>`
/// is not the name `lora`.
fn is_name(name: &str) -> bool {
    let of_name = |c: char| c.is_alphanumeric() || "_ -/.#+".contains(c);
    name.chars().count() >= 2
        && name.starts_with(|c: char| c.is_alphanumeric())
        && name.chars().all(of_name)
}

/// A value and what follows it, from its comma or line break on.
fn value(text: &str) -> (String, &str) {
    string(text).or_else(|| json(text)).unwrap_or_else(|| {
        let (value, next) = text.split_at(text.find([',', '\n']).unwrap_or(text.len()));
        (value.trim().to_owned(), next)
    })
}

/// Whether a value may end here.
fn is_end(next: &str) -> bool {
    let next = next.trim_start_matches([' ', '\t', '\r']);
    next.is_empty() || next.starts_with([',', '\n'])
}

fn string(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = inside.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let (quoted, next) = text.split_at(end + 2);
    if !is_end(next) {
        return None;
    }
    let value = serde_json::from_str(quoted)
        .unwrap_or_else(|_| inside[..end].replace("\\\"", "\"").replace("\\\\", "\\"));
    Some((value, next))
}

fn json(text: &str) -> Option<(String, &str)> {
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    values.next()?.ok()?;
    let (json, next) = text.split_at(values.byte_offset());
    is_end(next).then(|| (json.to_owned(), next))
}
