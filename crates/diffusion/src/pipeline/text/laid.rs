//! Prompts as token ids, in texts of the length that an encoder takes.

use std::collections::BTreeMap;

use protocol::PromptSyntax;

use super::Prompts;
use crate::error::Result;
use crate::prompt::{self, Chunks};
use crate::tokenizer::{Tokenizer, Tokens};

/// A prompt for one tokenizer.
pub(super) struct Laid {
    /// One, or as many as a long prompt takes.
    pub chunks: Vec<Tokens>,
    /// The weights of their tokens; none where the prompt is plain text.
    pub weights: Vec<Vec<f32>>,
}

impl Laid {
    /// 1 where a token is, 0 where padding is, of all chunks.
    pub fn mask(&self) -> impl Iterator<Item = i64> {
        self.chunks.iter().flat_map(|chunk| &chunk.mask).copied()
    }

    /// Whether what an encoder gives of it is taken as it is.
    pub fn is_one_plain_text(&self) -> bool {
        self.chunks.len() == 1 && self.weights.is_empty()
    }

    fn plain(tokens: Tokens) -> Self {
        Self {
            chunks: vec![tokens],
            weights: Vec::new(),
        }
    }

    fn weighted(chunks: Chunks) -> Self {
        let tokens = |ids: Vec<i64>| Tokens {
            mask: vec![1; ids.len()],
            ids,
        };
        Self {
            chunks: chunks.ids.into_iter().map(tokens).collect(),
            weights: chunks.weights,
        }
    }
}

/// Prompt and negative prompt for each tokenizer. Read with weights, all of them have the same number of chunks.
pub(super) fn lay_out<'t>(
    tokenizers: &'t BTreeMap<String, Tokenizer>,
    prompts: &Prompts,
) -> Result<BTreeMap<&'t str, [Laid; 2]>> {
    let negative = prompts.negative.as_deref().unwrap_or_default();
    let names = tokenizers.keys().map(String::as_str);
    if prompts.syntax == PromptSyntax::Plain {
        let plain = |tokenizer: &Tokenizer| -> Result<[Laid; 2]> {
            Ok([
                Laid::plain(tokenizer.encode(&prompts.prompt)?),
                Laid::plain(tokenizer.encode_negative(negative)?),
            ])
        };
        return names
            .zip(tokenizers.values())
            .map(|(name, tokenizer)| Ok((name, plain(tokenizer)?)))
            .collect();
    }
    let spans = [prompt::parse(&prompts.prompt)?, prompt::parse(negative)?];
    let mut all: Vec<Chunks> = Vec::with_capacity(2 * tokenizers.len());
    for tokenizer in tokenizers.values() {
        for spans in &spans {
            all.push(prompt::chunks(spans, tokenizer)?);
        }
    }
    prompt::even(&mut all);
    let mut all = all.into_iter().map(Laid::weighted);
    let pairs = std::iter::from_fn(|| Some([all.next()?, all.next()?]));
    Ok(names.zip(pairs).collect())
}
