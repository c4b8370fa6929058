//! Special and learned words in the files beside a vocabulary, read as transformers does.

use serde_json::Value;

use super::words::Word;
use crate::error::{Error, ErrorKind, Result};

/// Roles that a special token can have.
const ROLES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];
/// Lists of further special tokens.
const LISTS: [&str; 2] = ["additional_special_tokens", "extra_special_tokens"];

/// The words that a tokenizer takes whole.
pub(super) struct Words {
    /// With the ids that a file gives them.
    stated: Vec<Word>,
    /// Special tokens by their role.
    roles: Vec<(&'static str, Word)>,
    /// Special tokens without one.
    further: Vec<Word>,
}

impl Words {
    /// Reads `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`; null where there is none.
    ///
    /// The table `added_tokens_decoder` of the first comes before the other two files, which are older; without it,
    /// `special_tokens_map.json` comes first.
    pub fn read(config: &Value, special: &Value, added: &Value) -> Result<Self> {
        let table = config
            .get("added_tokens_decoder")
            .filter(|table| !table.is_null());
        let files: [&Value; 2] = if table.is_some() {
            [config, special]
        } else {
            [special, config]
        };
        let stated = |key: &str| {
            let mut values = files.iter().filter_map(|file| file.get(key));
            values.find(|value| !value.is_null())
        };
        let mut roles = Vec::new();
        for role in ROLES {
            if let Some(value) = stated(role) {
                let word =
                    token(value).ok_or_else(|| fail(format!("{role} is {value}, no token")))?;
                roles.push((
                    role,
                    Word {
                        special: true,
                        ..word
                    },
                ));
            }
        }
        let mut further = Vec::new();
        // transformers asks these alone whether a word of added_tokens.json is special.
        let mut framing = Vec::new();
        for list in LISTS {
            for file in files {
                let Some(value) = file.get(list).filter(|value| !value.is_null()) else {
                    continue;
                };
                let counts = std::ptr::eq(file, config) || list == LISTS[1];
                for value in members(list, value)? {
                    let word = token(value)
                        .ok_or_else(|| fail(format!("{list} has {value}, no token")))?;
                    let word = Word {
                        special: true,
                        ..word
                    };
                    framing.extend(counts.then(|| word.clone()));
                    further.push(word);
                }
            }
        }
        let mut stated = Vec::new();
        if let Some(table) = table {
            let table = table
                .as_object()
                .ok_or_else(|| fail("added_tokens_decoder is no table".to_owned()))?;
            for (id, value) in table {
                let word = token(value).filter(|_| value.is_object());
                let word = word.ok_or_else(|| {
                    fail(format!(
                        "added_tokens_decoder has {value} for {id}, no token"
                    ))
                })?;
                let id = id
                    .parse()
                    .map_err(|_| fail(format!("{id:?} in added_tokens_decoder is no id")))?;
                stated.push(Word {
                    id: Some(id),
                    ..word
                });
            }
        }
        if !added.is_null() {
            let table = added
                .as_object()
                .ok_or_else(|| fail("added_tokens.json is no table of words and ids".to_owned()))?;
            for (content, id) in table {
                let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
                let id =
                    id.ok_or_else(|| fail(format!("added_tokens.json gives {content:?} no id")))?;
                let mut same = stated
                    .iter()
                    .filter(|word: &&Word| word.content == *content);
                if same.any(|word| word.id == Some(id)) {
                    continue;
                }
                let mut specials = roles.iter().map(|(_, word)| word).chain(&framing);
                let special = specials.any(|word| word.content == *content);
                stated.push(Word {
                    special,
                    normalized: !special,
                    ..Word::learned(content, id)
                });
            }
        }
        stated.sort_by_key(|word| word.id);
        Ok(Self {
            stated,
            roles,
            further,
        })
    }

    /// The special token of a role.
    pub fn named(&self, role: &str) -> Option<&str> {
        let found = self.roles.iter().find(|(name, _)| *name == role);
        found.map(|(_, word)| &*word.content)
    }

    /// All of them, each once: what a file gives an id comes before what is only named.
    pub fn all(&self) -> Vec<Word> {
        let mut words = self.stated.clone();
        let named = self.roles.iter().map(|(_, word)| word);
        for word in named.chain(&self.further) {
            if words.iter().all(|known| known.content != word.content) {
                words.push(word.clone());
            }
        }
        words
    }

    /// Those that are new beside a `tokenizer.json`, whose own words keep their properties unless a file gives them an id.
    pub fn beside(&self, tokenizer: &Value) -> Vec<Word> {
        let list = tokenizer.get("added_tokens").and_then(Value::as_array);
        let known: Vec<&str> = list
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.get("content")?.as_str())
            .collect();
        let mut words = self.all();
        words.retain(|word| word.id.is_some() || !known.contains(&&*word.content));
        words
    }
}

/// A token is its text, or an object with it.
fn token(value: &Value) -> Option<Word> {
    if let Some(content) = value.as_str() {
        return Some(Word::special(content));
    }
    let flag = |name: &str| value.get(name).and_then(Value::as_bool);
    let special = flag("special").unwrap_or_default();
    Some(Word {
        content: value.get("content")?.as_str()?.to_owned(),
        id: None,
        single_word: flag("single_word").unwrap_or_default(),
        lstrip: flag("lstrip").unwrap_or_default(),
        rstrip: flag("rstrip").unwrap_or_default(),
        normalized: flag("normalized").unwrap_or(!special),
        special,
    })
}

/// The tokens of a list, or of a table of names and tokens.
fn members<'a>(list: &str, value: &'a Value) -> Result<Vec<&'a Value>> {
    match value {
        Value::Array(list) => Ok(list.iter().collect()),
        Value::Object(table) => Ok(table.values().collect()),
        other => Err(fail(format!("{list} is no list: it is {other}"))),
    }
}

fn fail(detail: String) -> Error {
    Error::new(ErrorKind::Tokenizer, detail)
}
