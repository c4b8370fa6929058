//! Words that a tokenizer takes whole: special tokens, and learned words with embeddings of their own (textual inversion,
//! Gal et al., arXiv:2208.01618).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorKind, Result};

/// A word that is taken whole, in the terms of Hugging Face's `AddedToken`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub content: String,
    /// Its id; left open, that of the vocabulary, else the next one.
    pub id: Option<u32>,
    /// Not taken out of the middle of another word.
    pub single_word: bool,
    /// Swallows white space before it.
    pub lstrip: bool,
    /// Swallows white space behind it.
    pub rstrip: bool,
    /// Looked for in the text after normalization: for CLIP, whatever its case.
    pub normalized: bool,
    /// Part of the tokenizer's frame rather than of the text.
    pub special: bool,
}

impl Word {
    /// A word of the text.
    pub fn learned(content: impl Into<String>, id: u32) -> Self {
        Self {
            id: Some(id),
            normalized: true,
            special: false,
            ..Self::special(content)
        }
    }

    /// A special token whose id is the vocabulary's, or the next one.
    pub fn special(content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            id: None,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: true,
        }
    }

    fn entry(&self, id: u32) -> Value {
        json!({
            "id": id, "content": self.content, "single_word": self.single_word, "lstrip": self.lstrip, "rstrip": self.rstrip,
            "normalized": self.normalized, "special": self.special
        })
    }
}

/// A `tokenizer.json` that takes `words` whole, too; a word that it has already gets the properties given here.
///
/// # Errors
/// [`ErrorKind::Tokenizer`] when the file is none, or when a word has two ids or an id two words.
pub fn with_words(tokenizer: &[u8], words: &[Word]) -> Result<Vec<u8>> {
    let mut tokenizer: Value = serde_json::from_slice(tokenizer)
        .map_err(|e| fail(format!("tokenizer.json is not readable: {e}")))?;
    let mut added = entries(&tokenizer)?;
    let mut ids = vocabulary(&tokenizer);
    ids.extend(added.iter().map(|(id, entry)| (content(entry), *id)));
    let mut taken: BTreeMap<u32, String> =
        ids.iter().map(|(word, id)| (*id, word.clone())).collect();
    let (stated, open): (Vec<&Word>, Vec<&Word>) = words.iter().partition(|word| word.id.is_some());
    for word in stated.into_iter().chain(open) {
        let known = ids.get(&word.content).copied();
        if let (Some(known), Some(id)) = (known, word.id)
            && known != id
        {
            let word = &word.content;
            return Err(fail(format!(
                "the word {word:?} has the ids {known} and {id}"
            )));
        }
        let next = taken.last_key_value().map_or(0, |(last, _)| last + 1);
        let id = word.id.or(known).unwrap_or(next);
        let other = taken.insert(id, word.content.clone());
        if let Some(other) = other.filter(|other| *other != word.content) {
            let word = &word.content;
            return Err(fail(format!(
                "the words {other:?} and {word:?} have the id {id}"
            )));
        }
        ids.insert(word.content.clone(), id);
        added.insert(id, word.entry(id));
    }
    settle(&mut tokenizer, &added);
    tokenizer["added_tokens"] = added.into_values().collect();
    serde_json::to_vec(&tokenizer).map_err(|e| fail(e.to_string()))
}

/// The words that `tokenizer` takes whole, with their ids.
pub(super) fn declared(tokenizer: &Value) -> Result<Vec<(String, u32)>> {
    let entries = entries(tokenizer)?;
    Ok(entries
        .iter()
        .map(|(id, entry)| (content(entry), *id))
        .collect())
}

/// Readers number words that the vocabulary does not have in their order, after it. Where that gives other ids, the
/// vocabulary names the words.
fn settle(tokenizer: &mut Value, added: &BTreeMap<u32, Value>) {
    let Some(vocab) = tokenizer
        .pointer_mut("/model/vocab")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let outside = |vocab: &Map<String, Value>| -> Vec<(u32, String)> {
        let new = added.iter().map(|(id, entry)| (*id, content(entry)));
        new.filter(|(_, word)| !vocab.contains_key(word)).collect()
    };
    let new = outside(vocab);
    let in_order = new
        .iter()
        .zip(vocab.len()..)
        .all(|((id, _), next)| *id as usize == next);
    if !in_order {
        vocab.extend(new.into_iter().map(|(id, word)| (word, json!(id))));
    }
}

fn entries(tokenizer: &Value) -> Result<BTreeMap<u32, Value>> {
    let list = tokenizer.get("added_tokens").and_then(Value::as_array);
    let entry = |entry: &Value| {
        let id = entry
            .get("id")?
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())?;
        entry.get("content")?.as_str()?;
        Some((id, entry.clone()))
    };
    let read = list.into_iter().flatten().map(|value| {
        entry(value).ok_or_else(|| fail(format!("tokenizer.json adds {value}, which is no token")))
    });
    read.collect()
}

/// Ids of the words: a table of them, or of unigrams a list of words and scores in their order.
fn vocabulary(tokenizer: &Value) -> BTreeMap<String, u32> {
    let number = |id: u64| u32::try_from(id).ok();
    match tokenizer.pointer("/model/vocab") {
        Some(Value::Object(table)) => {
            let pairs = table.iter();
            let pairs = pairs.filter_map(|(word, id)| Some((word.clone(), number(id.as_u64()?)?)));
            pairs.collect()
        }
        Some(Value::Array(list)) => {
            let pairs = (0u64..).zip(list);
            let pairs = pairs
                .filter_map(|(id, entry)| Some((entry.get(0)?.as_str()?.to_owned(), number(id)?)));
            pairs.collect()
        }
        _ => BTreeMap::new(),
    }
}

fn content(entry: &Value) -> String {
    let content = entry.get("content").and_then(Value::as_str);
    content.unwrap_or_default().to_owned()
}

fn fail(detail: String) -> Error {
    Error::new(ErrorKind::Tokenizer, detail)
}
