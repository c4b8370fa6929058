//! The files of a tokenizer.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use diffusion::tokenizer::{
    Beside, Folder, TextSettings, Tokenizer, clip, from_clip_files, from_ready_file,
};
use serde_json::Value;

use super::json::{bytes, json};
use super::sentencepiece;

/// A `tokenizer.json` and how it is used.
pub(super) struct Vocabulary {
    pub json: Vec<u8>,
    pub settings: TextSettings,
}

/// What the text encoder takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Takes {
    /// Tokens of a text, where the graphs say.
    pub length: Option<usize>,
    /// Rows of its table of embeddings, where graph or configuration say.
    pub rows: Option<usize>,
}

/// Reads a `tokenizer.json`, or makes one of T5's file or CLIP's, with every word that the other files add. `files` are their paths
/// below `folder` by their plain names.
pub(super) fn read(
    folder: &Path,
    files: &[(&'static str, String)],
    takes: Takes,
) -> anyhow::Result<Vocabulary> {
    let path = |name: &str| -> Option<PathBuf> {
        let (_, path) = files.iter().find(|(known, _)| *known == name)?;
        Some(folder.join(path))
    };
    let needed = |name: &str| {
        path(name).with_context(|| format!("the tokenizer has neither tokenizer.json nor {name}"))
    };
    let optional = |name: &str| {
        let value = path(name).map(|path| json::<Value>(&path)).transpose();
        anyhow::Ok(value?.unwrap_or_default())
    };
    let beside = Beside {
        config: optional("tokenizer_config.json")?,
        special: optional("special_tokens_map.json")?,
        added: optional("added_tokens.json")?,
    };
    let Folder {
        json: tokenizer,
        pad_token,
        longest,
        words,
    } = if let Some(ready) = path("tokenizer.json") {
        from_ready_file(&bytes(&ready)?, &beside)?
    } else if let Some(pieces) = path("spiece.model") {
        let json = sentencepiece::tokenizer_json(&bytes(&pieces)?, &beside.config)?;
        let made = from_ready_file(&json, &beside)?;
        Folder {
            pad_token: made
                .pad_token
                .or_else(|| Some(sentencepiece::PAD.to_owned())),
            ..made
        }
    } else {
        beside.require_clip()?;
        let merges =
            String::from_utf8(bytes(&needed("merges.txt")?)?).context("merges.txt is no UTF-8")?;
        from_clip_files(&bytes(&needed("vocab.json")?)?, &merges, &beside)?
    };
    let length = takes.length.or(longest).context(
        "neither the text encoder nor tokenizer_config.json says how many tokens there are",
    )?;
    ensure!(
        (2..=4096).contains(&length),
        "{length} tokens cannot be used"
    );
    let pad_token = pad_token.unwrap_or_else(|| clip::END.to_owned());
    let mut settings = TextSettings::fixed("tokenizer.json", length, 0);
    let reader = Tokenizer::from_bytes(&tokenizer, &settings)?;
    settings.padding.token = reader
        .id(&pad_token)
        .with_context(|| format!("the vocabulary has no {pad_token:?} to pad with"))?;
    if let (Some(rows), Some(largest)) = (takes.rows, reader.largest_id()) {
        let beyond = |id: u32| usize::try_from(id).is_ok_and(|id| id >= rows);
        if let Some(word) = words
            .iter()
            .find(|word| reader.id(&word.content).is_some_and(beyond))
        {
            let id = reader.id(&word.content).unwrap_or_default();
            anyhow::bail!(
                "the word {:?} has the id {id}, but the text encoder knows only the ids below {rows}: it was exported without \
                 this word's embedding",
                word.content
            );
        }
        ensure!(
            !beyond(largest),
            "the vocabulary has the id {largest}, but the text encoder knows only the ids below {rows}"
        );
    }
    Ok(Vocabulary {
        json: tokenizer,
        settings,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::fs;

    use serde::Deserialize;

    use super::super::layout::Layout;
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        name: String,
        files: BTreeMap<String, Value>,
        ids: BTreeMap<String, Vec<i64>>,
    }

    const LENGTH: usize = 16;

    fn folder(files: &BTreeMap<String, Value>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let clip =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/diffusion/tests/data/clip");
        for name in ["vocab.json", "merges.txt"] {
            fs::copy(clip.join(name), dir.path().join(name)).unwrap();
        }
        for (name, content) in files {
            fs::write(dir.path().join(name), content.to_string()).unwrap();
        }
        dir
    }

    fn of(folder: &Path, takes: Takes) -> anyhow::Result<Vocabulary> {
        let names = fs::read_dir(folder).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        read(folder, &Layout::new(names).tokenizer(0), takes)
    }

    fn takes(rows: Option<usize>) -> Takes {
        Takes {
            length: Some(LENGTH),
            rows,
        }
    }

    /// Folders and ids of tests/models/clip_words.py.
    #[test]
    fn words_of_every_file_have_the_ids_of_transformers() {
        let cases = include_str!("../../../tests/models/clip_words.json");
        let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
        assert!(cases.len() >= 10);
        for case in cases {
            let dir = folder(&case.files);
            let vocabulary = of(dir.path(), takes(None)).unwrap();
            let settings = &vocabulary.settings;
            let tokenizer = Tokenizer::from_bytes(&vocabulary.json, settings).unwrap();
            for (text, ids) in case.ids {
                let ours = tokenizer.encode(&text).unwrap().ids;
                assert_eq!(ours, ids, "{}: {text:?}", case.name);
            }
        }
    }

    #[test]
    fn words_without_an_embedding_are_refused_by_name() {
        let added = |words: &str| {
            let words = serde_json::from_str(words).unwrap();
            folder(&BTreeMap::from([("added_tokens.json".to_owned(), words)]))
        };
        let two = added(r#"{"<cat-toy>": 538, "<cat-toy>_1": 539}"#);
        assert!(of(two.path(), takes(Some(540))).is_ok());
        let error = of(two.path(), takes(Some(539))).err().unwrap().to_string();
        assert!(
            error.contains("<cat-toy>_1") && error.contains("539"),
            "{error}"
        );
        // Without words of its own, too: a vocabulary of another model.
        let none = folder(&BTreeMap::new());
        assert!(of(none.path(), takes(Some(538))).is_ok());
        let error = of(none.path(), takes(Some(500))).err().unwrap().to_string();
        assert!(error.contains("537"), "{error}");
    }

    #[test]
    fn files_that_contradict_each_other_are_refused_by_name() {
        let read = |files: &[(&str, &str)]| {
            let files = files.iter().map(|(name, content)| {
                ((*name).to_owned(), serde_json::from_str(content).unwrap())
            });
            let dir = folder(&files.collect());
            of(dir.path(), takes(None)).err().map(|e| format!("{e:#}"))
        };
        let config = r#"{"added_tokens_decoder": {"538": {"content": "<x>"}}}"#;
        let refused = |files: &[(&str, &str)], word: &str| {
            let error = read(files).unwrap();
            assert!(error.contains(word), "{error}");
        };
        assert_eq!(read(&[("tokenizer_config.json", config)]), None);
        for (added, word) in [
            (r#"{"<x>": 539}"#, "<x>"),
            (r#"{"<y>": 538}"#, "<y>"),
            (r#"{"<y>": 320}"#, "<y>"),
            (r#"{"<y>": "many"}"#, "<y>"),
            (r#"["<y>"]"#, "added_tokens.json"),
        ] {
            refused(
                &[
                    ("tokenizer_config.json", config),
                    ("added_tokens.json", added),
                ],
                word,
            );
        }
        refused(
            &[("tokenizer_config.json", r#"{"bos_token": "<s>"}"#)],
            "<s>",
        );
        refused(
            &[(
                "tokenizer_config.json",
                r#"{"tokenizer_class": "BertTokenizer"}"#,
            )],
            "BertTokenizer",
        );
        refused(
            &[(
                "tokenizer_config.json",
                r#"{"added_tokens_decoder": {"538": {"contents": "<x>"}}}"#,
            )],
            "538",
        );
        refused(
            &[(
                "special_tokens_map.json",
                r#"{"additional_special_tokens": [7]}"#,
            )],
            "additional_special_tokens",
        );
    }
}
