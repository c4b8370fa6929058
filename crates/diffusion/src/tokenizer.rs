//! Text to token ids.

mod beside;
mod clean;
pub mod clip;
mod folder;
mod settings;
pub mod words;

use serde_json::Value;
use tokenizers::{Encoding, PostProcessor, TruncationDirection};

pub use self::folder::{Beside, Folder, from_clip_files, from_ready_file};
pub use self::settings::{
    Blank, Cleaning, Emphasis, Keep, NegativeSettings, PadTo, Padding, Side, TextSettings,
};
use crate::error::{Error, ErrorKind, Result};

/// A Hugging Face tokenizer with a package's settings.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    settings: TextSettings,
    /// Whether text is cleaned first, see [`clip::cleans`].
    cleans: bool,
    /// Special tokens that stand around every text.
    special: usize,
}

/// Token ids and mask of a text, equally long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids.
    pub ids: Vec<i64>,
    /// 1 where a token is, 0 where padding is; 1 throughout where the settings ask for no masks.
    pub mask: Vec<i64>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`; the settings replace its own padding and truncation.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidPackage`] for settings with a [fault](TextSettings::fault); [`ErrorKind::Tokenizer`] when the file
    /// cannot be read, when a word would not have the id that the file gives it, or when special tokens alone are longer
    /// than a text may be.
    pub fn from_bytes(json: &[u8], settings: &TextSettings) -> Result<Self> {
        if let Some(fault) = settings.fault() {
            return Err(Error::package(fault));
        }
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(json).map_err(fail)?;
        let file: Value = serde_json::from_slice(json).map_err(|e| fail(e.into()))?;
        for (word, id) in words::declared(&file)? {
            if tokenizer.token_to_id(&word) != Some(id) {
                return Err(Error::new(
                    ErrorKind::Tokenizer,
                    format!("tokenizer.json cannot give the word {word:?} the id {id}"),
                ));
            }
        }
        tokenizer.with_truncation(None).map_err(fail)?;
        tokenizer.with_padding(None);
        let framing = tokenizer.get_post_processor();
        let special = framing.map_or(0, |framing| framing.added_tokens(false));
        let length = settings.length.min(settings.negative_length());
        if special > length {
            return Err(Error::new(
                ErrorKind::Tokenizer,
                format!(
                    "tokenizer.json puts {special} tokens around a text of at most {length} tokens"
                ),
            ));
        }
        Ok(Self {
            cleans: clip::cleans(&file),
            inner: tokenizer,
            settings: settings.clone(),
            special,
        })
    }

    /// The settings that it works by.
    pub fn settings(&self) -> &TextSettings {
        &self.settings
    }

    /// Id of a token of the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The largest id that a text can have.
    pub fn largest_id(&self) -> Option<u32> {
        self.inner.get_vocab(true).into_values().max()
    }

    /// Ids and mask of a prompt, with prefix, suffix and special tokens.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] when the tokenizer refuses the text.
    pub fn encode(&self, prompt: &str) -> Result<Tokens> {
        self.framed(prompt, true, self.settings.length)
    }

    /// Ids and mask of a negative prompt that is encoded, see [`NegativeSettings::blank`].
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_negative(&self, negative: &str) -> Result<Tokens> {
        let length = self.settings.negative_length();
        self.framed(negative, self.settings.negative.framed, length)
    }

    /// Ids of a piece of a text: nothing is added to it, and nothing cut off.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_piece(&self, piece: &str) -> Result<Vec<i64>> {
        let encoding = self.encoding(&self.settings.cleaning.clean(piece))?;
        Ok(widen(encoding.get_ids()))
    }

    /// The two tokens that stand around every text; nothing where it has others.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn ends(&self) -> Result<Option<[i64; 2]>> {
        let encoding = self.inner.encode("", true).map_err(fail)?;
        Ok(widen(encoding.get_ids()).try_into().ok())
    }

    fn framed(&self, text: &str, framed: bool, length: usize) -> Result<Tokens> {
        let TextSettings {
            cleaning,
            prefix,
            suffix,
            padding,
            masks,
            ..
        } = &self.settings;
        let text = cleaning.clean(text);
        let text = if framed {
            [prefix, &*text, suffix].concat()
        } else {
            text
        };
        let mut encoding = self.encoding(&text)?;
        encoding.truncate(length - self.special, 0, TruncationDirection::Right);
        let encoding = self
            .inner
            .post_process(encoding, None, true)
            .map_err(fail)?;
        let ids = widen(encoding.get_ids());
        let mask = vec![1; ids.len()];
        let missing = padding.target(ids.len(), length).saturating_sub(ids.len());
        let pad = |values: Vec<i64>, with: i64| match padding.side {
            Side::Left => [vec![with; missing], values].concat(),
            Side::Right => [values, vec![with; missing]].concat(),
        };
        Ok(Tokens {
            ids: pad(ids, i64::from(padding.token)),
            mask: pad(mask, i64::from(!masks)),
        })
    }

    fn encoding(&self, text: &str) -> Result<Encoding> {
        let cleaned = self.cleans.then(|| clean::clean(text));
        let text = cleaned.as_deref().unwrap_or(text);
        self.inner.encode(text, false).map_err(fail)
    }
}

fn widen(ids: &[u32]) -> Vec<i64> {
    ids.iter().map(|&id| i64::from(id)).collect()
}

fn fail(error: tokenizers::Error) -> Error {
    Error::new(
        ErrorKind::Tokenizer,
        format!("the tokenizer failed: {error}"),
    )
}
