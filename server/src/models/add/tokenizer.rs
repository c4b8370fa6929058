//! The `tokenizer` folder.

use std::path::Path;

use anyhow::{Context, ensure};
use diffusion::manifest::TokenizerSettings;
use diffusion::tokenizer::{Tokenizer, clip};
use serde_json::Value;

use super::source::{bytes, json};

/// A `tokenizer.json` and how it is used.
pub(super) struct Vocabulary {
    pub json: Vec<u8>,
    pub settings: TokenizerSettings,
}

/// Reads a `tokenizer.json`, or makes one of CLIP's files; `length` is what the text encoder takes.
pub(super) fn read(folder: &Path, length: Option<usize>) -> anyhow::Result<Vocabulary> {
    let ready = folder.join("tokenizer.json");
    let tokenizer = if ready.is_file() {
        bytes(&ready)?
    } else {
        let merges = String::from_utf8(bytes(&folder.join("merges.txt"))?)
            .context("merges.txt is no UTF-8")?;
        clip::tokenizer_json(&bytes(&folder.join("vocab.json"))?, &merges)?
    };
    let optional = |name: &str| {
        let path = folder.join(name);
        path.is_file().then(|| json::<Value>(&path)).transpose()
    };
    let config = optional("tokenizer_config.json")?.unwrap_or_default();
    let special = optional("special_tokens_map.json")?.unwrap_or_default();
    let longest = config.get("model_max_length").and_then(Value::as_u64);
    let length = length
        .or(longest.and_then(|n| usize::try_from(n).ok()))
        .context(
            "neither the text encoder nor tokenizer_config.json says how many tokens there are",
        )?;
    ensure!(
        (2..=4096).contains(&length),
        "{length} tokens cannot be used"
    );
    let pad = [&config, &special]
        .into_iter()
        .find_map(|file| token(file.get("pad_token")?))
        .unwrap_or_else(|| clip::END.to_owned());
    let mut settings = TokenizerSettings {
        file: "tokenizer.json".to_owned(),
        max_length: length,
        pad_id: 0,
        pad_token: pad,
    };
    let reader = Tokenizer::from_bytes(&tokenizer, &settings)?;
    settings.pad_id = reader
        .id(&settings.pad_token)
        .with_context(|| format!("the vocabulary has no {:?} to pad with", settings.pad_token))?;
    Ok(Vocabulary {
        json: tokenizer,
        settings,
    })
}

/// A token is its text, or an object with it.
fn token(value: &Value) -> Option<String> {
    let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
    Some(text.to_owned())
}
