//! Prompts as the web UI of AUTOMATIC1111 (1.10) reads them: weights in brackets, and any length, in chunks.
//!
//! | written | meaning |
//! |---|---|
//! | `(x)` | weight × 1.1 |
//! | `[x]` | weight ÷ 1.1 |
//! | `(x:1.3)` | weight × 1.3 |
//! | `\(` `\)` `\[` `\]` `\\` | the character; any other backslash is dropped |
//! | `BREAK` | the rest goes into the next chunk |
//!
//! Brackets may be nested. What is opened and never closed reaches to the end of the text; what is closed and was never
//! opened is text. Editing (`[a:b:0.5]`), alternation (`[a|b]`), composition (`AND`) and extra networks (`<hypernet:a:1>`) are
//! refused by name: with the brackets read as weights, another picture would come out of the same prompt. Comments are text. Tags of
//! LoRAs are taken out before, when a request is checked (`protocol::lora`).

mod chunks;
mod lexer;
mod refused;
mod weights;

pub use self::chunks::{Chunks, MAX_CHUNKS, chunks, even};
use self::lexer::{Bracket, Piece, at_breaks};
pub use self::weights::weigh;
use crate::error::{Error, ErrorKind, Result};

/// What a bracket without a number multiplies by.
const STEP: f64 = 1.1;
/// What stands for a break until weights are known.
const BREAK: (&str, f64) = ("BREAK", -1.0);

/// A part of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum Span {
    /// Text whose tokens have one weight.
    Text {
        /// The text, without brackets and escapes.
        text: String,
        /// Its weight; 1 outside of brackets.
        weight: f64,
    },
    /// The end of a chunk.
    Break,
}

/// The parts of a prompt in their order, one at least; neighbours have different weights.
///
/// As in the web UI, a `BREAK` whose weight brackets change is the word: `(a BREAK b)` has one, of weight -1.1.
///
/// # Errors
/// [`ErrorKind::InvalidRequest`] naming what is not read, or a weight that is no number.
pub fn parse(text: &str) -> Result<Vec<Span>> {
    refused::check(text)?;
    let mut parts: Vec<(String, f64)> = Vec::new();
    let (mut round, mut square) = (Vec::new(), Vec::new());
    for piece in lexer::pieces(text) {
        match piece {
            Piece::Escaped(literal) => parts.push((literal.to_owned(), 1.0)),
            Piece::Open(Bracket::Round) => round.push(parts.len()),
            Piece::Open(Bracket::Square) => square.push(parts.len()),
            Piece::Weight { number, text } => match round.pop() {
                Some(start) => multiply(&mut parts, start, weight(number)?),
                None => parts.push((text.to_owned(), 1.0)),
            },
            Piece::Close(bracket) => {
                let (open, factor) = match bracket {
                    Bracket::Round => (round.pop(), STEP),
                    Bracket::Square => (square.pop(), 1.0 / STEP),
                };
                match open {
                    Some(start) => multiply(&mut parts, start, factor),
                    None => parts.push((bracket.closing().to_owned(), 1.0)),
                }
            }
            Piece::Text(text) => {
                for (index, part) in at_breaks(text).into_iter().enumerate() {
                    if index > 0 {
                        parts.push((BREAK.0.to_owned(), BREAK.1));
                    }
                    parts.push((part.to_owned(), 1.0));
                }
            }
        }
    }
    for start in round {
        multiply(&mut parts, start, STEP);
    }
    for start in square {
        multiply(&mut parts, start, 1.0 / STEP);
    }
    spans(parts)
}

fn multiply(parts: &mut [(String, f64)], start: usize, factor: f64) {
    for (_, weight) in parts.iter_mut().skip(start) {
        *weight *= factor;
    }
}

fn weight(number: &str) -> Result<f64> {
    number.parse().map_err(|_| {
        invalid(format!(
            "the weight {number:?} in the prompt is no number; \\( and \\) are brackets that mean nothing"
        ))
    })
}

fn spans(parts: Vec<(String, f64)>) -> Result<Vec<Span>> {
    let mut merged: Vec<(String, f64)> = Vec::new();
    for (text, weight) in parts {
        match merged.last_mut() {
            Some((last, same)) if *same == weight => last.push_str(&text),
            _ => merged.push((text, weight)),
        }
    }
    if merged.is_empty() {
        merged.push((String::new(), 1.0));
    }
    let span = |(text, weight): (String, f64)| {
        if (&*text, weight) == BREAK {
            return Ok(Span::Break);
        }
        if !(weight as f32).is_finite() {
            return Err(invalid(format!("the weight of {text:?} is too large")));
        }
        Ok(Span::Text { text, weight })
    };
    merged.into_iter().map(span).collect()
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}
