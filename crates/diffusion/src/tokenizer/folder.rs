//! `tokenizer` folders as transformers and diffusers keep them, made into one `tokenizer.json`.

use serde_json::Value;

use super::beside::Words;
use super::clip;
use super::words::{Word, with_words};
use crate::error::{Error, ErrorKind, Result};

/// Classes of transformers that `vocab.json` and `merges.txt` are read for.
const CLIP_CLASSES: [&str; 2] = ["CLIPTokenizer", "CLIPTokenizerFast"];

/// The files that can lie beside a vocabulary; null where one does not.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// `tokenizer_config.json`.
    pub config: Value,
    /// `special_tokens_map.json`.
    pub special: Value,
    /// `added_tokens.json`.
    pub added: Value,
}

/// A folder in one file.
#[derive(Clone, Debug)]
pub struct Folder {
    /// A `tokenizer.json` with every word that the folder adds.
    pub json: Vec<u8>,
    /// What texts are padded with, where a file says.
    pub pad_token: Option<String>,
    /// Most tokens of a text, where a file says.
    pub longest: Option<usize>,
    /// The words that the other files add.
    pub words: Vec<Word>,
}

/// Makes a folder of CLIP's `vocab.json` and `merges.txt`, with the ids of transformers' `CLIPTokenizer`; text is cleaned as
/// for [`clip::tokenizer_json`].
///
/// # Errors
/// [`ErrorKind::Tokenizer`] for files that are not what they should be or contradict each other, and for the files of
/// another class of tokenizer.
pub fn from_clip_files(vocab: &[u8], merges: &str, beside: &Beside) -> Result<Folder> {
    beside.require_clip()?;
    let words = beside.words()?;
    for (role, token) in [("bos_token", clip::START), ("eos_token", clip::END)] {
        if let Some(named) = words.named(role).filter(|named| *named != token) {
            return Err(fail(format!(
                "{role} is {named:?}; texts of CLIP are framed by {} and {}",
                clip::START,
                clip::END
            )));
        }
    }
    let json = clip::tokenizer_json(vocab, merges)?;
    beside.folder(&json, &words, words.all())
}

/// Makes a folder of a ready `tokenizer.json`, whose words keep their properties unless another file gives them an id. Text for
/// CLIP is cleaned, see [`clip::cleaning`].
///
/// # Errors
/// As [`from_clip_files`].
pub fn from_ready_file(json: &[u8], beside: &Beside) -> Result<Folder> {
    let file: Value = serde_json::from_slice(json)
        .map_err(|e| fail(format!("tokenizer.json is not readable: {e}")))?;
    let words = beside.words()?;
    beside.folder(&clip::cleaning(json)?, &words, words.beside(&file))
}

impl Beside {
    /// Whether `vocab.json` and `merges.txt` beside these files are read as CLIP's.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] naming another class.
    pub fn require_clip(&self) -> Result<()> {
        let class = self.config.get("tokenizer_class").and_then(Value::as_str);
        match class.filter(|class| !CLIP_CLASSES.contains(class)) {
            None => Ok(()),
            Some(class) => Err(fail(format!(
                "tokenizer_config.json names {class:?}; without a tokenizer.json, {} can be packed",
                CLIP_CLASSES.join(" and ")
            ))),
        }
    }

    fn words(&self) -> Result<Words> {
        Words::read(&self.config, &self.special, &self.added)
    }

    fn folder(&self, json: &[u8], named: &Words, words: Vec<Word>) -> Result<Folder> {
        let longest = self.config.get("model_max_length").and_then(Value::as_u64);
        Ok(Folder {
            json: with_words(json, &words)?,
            pad_token: named.named("pad_token").map(str::to_owned),
            longest: longest.and_then(|longest| usize::try_from(longest).ok()),
            words,
        })
    }
}

fn fail(detail: String) -> Error {
    Error::new(ErrorKind::Tokenizer, detail)
}
