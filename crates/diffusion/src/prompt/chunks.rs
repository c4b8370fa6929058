//! Tokens with their weights, in texts of the encoder's length.

use super::{Span, invalid};
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::Tokenizer;

/// Most chunks of a prompt.
pub const MAX_CHUNKS: usize = 16;
/// How far back from the end of a full chunk a comma is looked for; what follows it moves into the next chunk.
const BACK_TO_COMMA: usize = 20;
/// The token of a comma between words in CLIP's vocabulary.
const COMMA: &str = ",</w>";

/// What the text encoder is given, one run a chunk; the hidden states of all chunks follow one another.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunks {
    /// Token ids of each chunk: as many as the tokenizer's settings say, between its begin and its end.
    pub ids: Vec<Vec<i64>>,
    /// The weight of each token; 1 for begin, end and padding.
    pub weights: Vec<Vec<f32>>,
    empty: Vec<i64>,
}

impl Chunks {
    /// How many there are; one at least.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// Adds chunks of nothing up to `count`.
    fn fill(&mut self, count: usize) {
        while self.count() < count {
            self.weights.push(vec![1.0; self.empty.len()]);
            self.ids.push(self.empty.clone());
        }
    }
}

/// Adds empty chunks to the prompt that has fewer.
pub fn even(prompts: &mut [Chunks]) {
    let most = prompts.iter().map(Chunks::count).max().unwrap_or_default();
    for chunks in prompts {
        chunks.fill(most);
    }
}

/// Lays the tokens of a prompt into chunks; of the empty prompt there is one.
///
/// # Errors
/// [`ErrorKind::Tokenizer`] when the tokenizer does not put one token at each end of a text, or refuses the text;
/// [`ErrorKind::InvalidRequest`] beyond [`MAX_CHUNKS`].
pub fn chunks(spans: &[Span], tokenizer: &Tokenizer) -> Result<Chunks> {
    let settings = tokenizer.settings();
    let [begin, end] = tokenizer.ends()?.ok_or_else(|| {
        Error::new(
            ErrorKind::Tokenizer,
            "emphasis needs a tokenizer that puts one token at each end of a text",
        )
    })?;
    let room = settings.length.saturating_sub(2);
    if room == 0 {
        return Err(Error::package(format!(
            "texts of {} tokens have no room for a prompt",
            settings.length
        )));
    }
    let frame = Frame {
        begin,
        end,
        pad: i64::from(settings.padding.token),
        room,
    };
    let mut layout = Layout {
        room,
        comma: tokenizer.id(COMMA).map(i64::from),
        full: Vec::new(),
        chunk: Vec::new(),
        last_comma: None,
    };
    for span in spans {
        match span {
            Span::Break => layout.next(),
            Span::Text { text, weight } => {
                for token in tokenizer.encode_piece(text)? {
                    layout.push(token, *weight as f32);
                }
            }
        }
    }
    if !layout.chunk.is_empty() || layout.full.is_empty() {
        layout.next();
    }
    let count = layout.full.len();
    if count > MAX_CHUNKS {
        return Err(invalid(format!(
            "the prompt takes {count} chunks of {room} tokens; at most {MAX_CHUNKS} are accepted"
        )));
    }
    let (ids, weights) = layout.full.iter().map(|chunk| frame.around(chunk)).unzip();
    Ok(Chunks {
        ids,
        weights,
        empty: frame.around(&[]).0,
    })
}

/// What stands around the tokens of a chunk.
struct Frame {
    begin: i64,
    end: i64,
    pad: i64,
    room: usize,
}

impl Frame {
    fn around(&self, chunk: &[(i64, f32)]) -> (Vec<i64>, Vec<f32>) {
        let missing = self.room - chunk.len();
        let mut ids = vec![self.begin];
        ids.extend(chunk.iter().map(|(token, _)| token));
        ids.resize(self.room + 2, self.end);
        // Where padding is another token, all that follows the first end is padding, the text's own tokens among it.
        if let Some(first) = ids.iter().position(|&id| id == self.end)
            && self.pad != self.end
        {
            ids.iter_mut().skip(first + 1).for_each(|id| *id = self.pad);
        }
        let mut weights = vec![1.0];
        weights.extend(chunk.iter().map(|(_, weight)| weight));
        weights.resize(weights.len() + missing + 1, 1.0);
        (ids, weights)
    }
}

/// Chunks being filled.
struct Layout {
    room: usize,
    comma: Option<i64>,
    full: Vec<Vec<(i64, f32)>>,
    chunk: Vec<(i64, f32)>,
    /// Place of the chunk's last comma.
    last_comma: Option<usize>,
}

impl Layout {
    fn next(&mut self) {
        self.full.push(std::mem::take(&mut self.chunk));
        self.last_comma = None;
    }

    fn push(&mut self, token: i64, weight: f32) {
        let is_full = self.chunk.len() == self.room;
        if Some(token) == self.comma {
            self.last_comma = Some(self.chunk.len());
        } else if let Some(comma) = self.last_comma
            && is_full
            && self.room - comma <= BACK_TO_COMMA
        {
            let moved = self.chunk.split_off(comma + 1);
            self.next();
            self.chunk = moved;
        }
        if self.chunk.len() == self.room {
            self.next();
        }
        self.chunk.push((token, weight));
    }
}
