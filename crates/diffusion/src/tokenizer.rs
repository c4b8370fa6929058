//! Text to token ids.

mod clean;
pub mod clip;
pub mod words;

use serde_json::Value;
use tokenizers::{PaddingDirection, PaddingParams, PaddingStrategy, TruncationParams};

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::TokenizerSettings;

/// A Hugging Face tokenizer set to the package's fixed length.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Whether text is cleaned first, see [`clip::cleans`].
    cleans: bool,
}

/// Token ids and mask of a text, both `max_length` long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids.
    pub ids: Vec<i64>,
    /// 1 where a token is, 0 where padding is.
    pub mask: Vec<i64>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`; the settings replace its own padding and truncation.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] when it cannot be read, or when a word would not have the id that the file gives it.
    pub fn from_bytes(json: &[u8], settings: &TokenizerSettings) -> Result<Self> {
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
        tokenizer
            .with_truncation(Some(TruncationParams {
                max_length: settings.max_length,
                ..TruncationParams::default()
            }))
            .map_err(fail)?;
        tokenizer.with_padding(Some(PaddingParams {
            strategy: PaddingStrategy::Fixed(settings.max_length),
            direction: PaddingDirection::Right,
            pad_id: settings.pad_id,
            pad_token: settings.pad_token.clone(),
            ..PaddingParams::default()
        }));
        Ok(Self {
            cleans: clip::cleans(&file),
            inner: tokenizer,
        })
    }

    /// Id of a token of the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The largest id that a text can have.
    pub fn largest_id(&self) -> Option<u32> {
        self.inner.get_vocab(true).into_values().max()
    }

    /// Ids and mask of `text`, special tokens added.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] when the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Tokens> {
        let cleaned = self.cleans.then(|| clean::clean(text));
        let text = cleaned.as_deref().unwrap_or(text);
        let encoding = self.inner.encode(text, true).map_err(fail)?;
        let widen = |values: &[u32]| values.iter().map(|&x| i64::from(x)).collect();
        Ok(Tokens {
            ids: widen(encoding.get_ids()),
            mask: widen(encoding.get_attention_mask()),
        })
    }
}

fn fail(error: tokenizers::Error) -> Error {
    Error::new(
        ErrorKind::Tokenizer,
        format!("the tokenizer failed: {error}"),
    )
}
