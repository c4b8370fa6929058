//! The pieces of a prompt.

/// A kind of bracket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bracket {
    Round,
    Square,
}

impl Bracket {
    pub(super) fn closing(self) -> &'static str {
        match self {
            Self::Round => ")",
            Self::Square => "]",
        }
    }
}

/// A piece of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// What a backslash stood before; nothing where that was no bracket and no backslash.
    Escaped(&'a str),
    Open(Bracket),
    Close(Bracket),
    /// `:1.3)`, which closes a bracket.
    Weight {
        number: &'a str,
        text: &'a str,
    },
    /// Anything else; a colon is a piece of its own.
    Text(&'a str),
}

/// The pieces of a prompt; together they are all of it.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, length) = piece(rest)?;
        rest = rest.get(length..).unwrap_or_default();
        Some(piece)
    })
}

/// The first piece of a text and its length in bytes.
fn piece(rest: &str) -> Option<(Piece<'_>, usize)> {
    let is_special = |c| matches!(c, '\\' | '(' | ')' | '[' | ']' | ':');
    let one = |piece| Some((piece, 1));
    match rest.chars().next()? {
        '(' => one(Piece::Open(Bracket::Round)),
        '[' => one(Piece::Open(Bracket::Square)),
        ')' => one(Piece::Close(Bracket::Round)),
        ']' => one(Piece::Close(Bracket::Square)),
        '\\' => {
            let escaped = rest.get(1..2).filter(|next| "()[]\\".contains(next));
            let escaped = escaped.unwrap_or_default();
            Some((Piece::Escaped(escaped), 1 + escaped.len()))
        }
        ':' => {
            let weight = closing_weight(rest);
            let piece = weight.map(|(number, text)| (Piece::Weight { number, text }, text.len()));
            piece.or_else(|| rest.get(..1).map(|colon| (Piece::Text(colon), 1)))
        }
        _ => {
            let text = rest.split(is_special).next().unwrap_or(rest);
            Some((Piece::Text(text), text.len()))
        }
    }
}

/// The number of a text that begins with `: 1.3 )`, and that beginning.
fn closing_weight(rest: &str) -> Option<(&str, &str)> {
    let behind = rest.strip_prefix(':')?.trim_start_matches(is_space);
    let digits = behind.trim_start_matches(['+', '-']);
    // One sign at most.
    let signs = behind.len() - digits.len();
    let end = digits.trim_start_matches(|c: char| c == '.' || c.is_numeric());
    let has_number = signs <= 1 && end.len() < digits.len();
    let number = behind
        .get(..behind.len() - end.len())
        .filter(|_| has_number)?;
    let after = end.trim_start_matches(is_space).strip_prefix(')')?;
    let text = rest.get(..rest.len() - after.len())?;
    Some((number, text))
}

/// The text before, between and behind the words `BREAK`, without the white space around these.
pub(super) fn at_breaks(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for at in words(text, "BREAK") {
        let part = text.get(start..at).unwrap_or_default();
        parts.push(part.trim_end_matches(is_space));
        let rest = text.get(at + "BREAK".len()..).unwrap_or_default();
        start = text.len() - rest.trim_start_matches(is_space).len();
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

/// Where `word` stands in a text as a word of its own.
pub(super) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| {
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            let behind = text
                .get(at + word.len()..)
                .and_then(|rest| rest.chars().next());
            !before.is_some_and(is_word) && !behind.is_some_and(is_word)
        })
}

/// White space as Python's regular expressions have it.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}
