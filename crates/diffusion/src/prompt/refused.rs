//! What the web UI reads and this does not.

use super::invalid;
use super::lexer::{Bracket, Piece, is_space, pieces, words};
use crate::error::Result;

/// Refuses prompts whose meaning would be another than in the web UI.
pub(super) fn check(text: &str) -> Result<()> {
    let refuse = |what: &str, advice: &str| {
        Err(invalid(format!(
            "{what} in the prompt is not supported; {advice}"
        )))
    };
    if let Some(network) = extra_network(text) {
        let what = format!("the extra network {network}");
        return refuse(&what, "without it, this is another picture");
    }
    if words(text, "AND").next().is_some() {
        return refuse("AND between prompts", "write `and` for the word");
    }
    if let Some(what) = changing(text) {
        return refuse(
            &what,
            r"the same text is in each step; \[ and \] are brackets that mean nothing",
        );
    }
    Ok(())
}

/// `<name:arguments>`.
fn extra_network(text: &str) -> Option<&str> {
    text.match_indices('<').find_map(|(at, _)| {
        let rest = text.get(at + 1..)?;
        let name = rest.trim_start_matches(|c: char| c == '_' || c.is_alphanumeric());
        let arguments = name.strip_prefix(':').filter(|_| name.len() < rest.len())?;
        let end = arguments.find('>').filter(|&length| length > 0)?;
        text.get(at..text.len() - arguments.len() + end + 1)
    })
}

/// A bracket that was opened, and what was seen directly in it.
#[derive(Default)]
struct Open<'a> {
    round: bool,
    /// A bar, which parts alternatives.
    bar: bool,
    /// What follows the last colon.
    last: Option<&'a str>,
}

/// Text that changes between steps: `[a:0.5]`, `[a:b:0.5]`, `[a|b]`.
fn changing(text: &str) -> Option<String> {
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut rest = text;
    let mut escaped = false;
    for piece in pieces(text) {
        let length = match piece {
            Piece::Escaped(literal) => 1 + literal.len(),
            Piece::Open(_) | Piece::Close(_) => 1,
            Piece::Weight { text, .. } | Piece::Text(text) => text.len(),
        };
        rest = rest.get(length..).unwrap_or_default();
        // A backslash before a bar or a colon keeps the two from changing anything, though not a colon from weighing.
        let after_backslash = std::mem::replace(&mut escaped, piece == Piece::Escaped(""));
        let piece = match piece {
            Piece::Text(text) if after_backslash => Piece::Text(
                text.get(text.chars().next().map_or(0, char::len_utf8)..)
                    .unwrap_or_default(),
            ),
            piece => piece,
        };
        match (piece, open.last_mut()) {
            (Piece::Open(bracket), _) => open.push(Open {
                round: bracket == Bracket::Round,
                ..Open::default()
            }),
            (Piece::Weight { .. }, Some(inner)) if inner.round => {
                open.pop();
            }
            (Piece::Close(bracket), Some(inner)) if inner.round == (bracket == Bracket::Round) => {
                let number = inner.last.and_then(|last| last.split(']').next());
                let is_number = number.is_some_and(is_number);
                let Open { round, bar, .. } = open.pop()?;
                if !round && bar {
                    return Some("alternation, `[a|b]`,".to_owned());
                }
                if !round && is_number {
                    return Some("editing, `[a:b:0.5]`,".to_owned());
                }
            }
            (Piece::Text(":"), Some(inner)) => inner.last = Some(rest),
            (Piece::Text(text), Some(inner)) => inner.bar |= text.contains('|'),
            _ => {}
        }
    }
    None
}

fn is_number(text: &str) -> bool {
    let digits = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | 'e' | 'E');
    let text = text.trim_matches(is_space);
    text.chars().all(digits) && text.parse::<f64>().is_ok()
}
