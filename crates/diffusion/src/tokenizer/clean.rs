//! Text as it was cleaned for CLIP's training: `ftfy.fix_text`, then HTML entities twice over
//! (`basic_clean` of OpenAI's `simple_tokenizer.py`).
//!
//! Left out is ftfy's repair of text that was decoded in a wrong encoding (`cafÃ©`): it guesses. Composition (NFC), white
//! space and case are the tokenizer's own normalizer, which straightens quotes once more: those that come out of entities
//! beside a tag stayed curled in the training.

use tokenizers::NormalizedString;

/// What Windows-1252 has in the places of the control characters U+0080 to U+009F.
const WINDOWS_1252: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";
/// Longest name of an entity.
const MAX_ENTITY: usize = 24;

/// `text` as the model saw such text. Clean text stays as it is.
pub(super) fn clean(text: &str) -> String {
    // Where tags are, text is taken for HTML that is meant to be shown.
    let entities = !text.contains('<');
    let mut text = text.to_owned();
    loop {
        let closed = if entities {
            unescape_closed(&text)
        } else {
            text.clone()
        };
        let fixed = without_escapes(&closed).chars().map(Fixed::of).collect();
        if fixed == text {
            break;
        }
        text = fixed;
    }
    let twice = htmlize::unescape(htmlize::unescape(&*text).into_owned());
    twice.chars().filter(|&c| !is_control(c)).collect()
}

/// What stands for a character.
enum Fixed {
    Char(char),
    Text(String),
    Nothing,
}

impl Fixed {
    fn of(c: char) -> Self {
        match c {
            '\u{80}'..='\u{9f}' => {
                let place = c as usize - 0x80;
                Self::Char(WINDOWS_1252.chars().nth(place).unwrap_or(c))
            }
            'ʼ' | '‘'..='‛' => Self::Char('\''),
            '“'..='‟' => Self::Char('"'),
            '\u{3000}' => Self::Char(' '),
            '\u{ff01}'..='\u{ffef}' => {
                let mut wide = NormalizedString::from(c.to_string());
                wide.nfkc();
                Self::Text(wide.get().to_owned())
            }
            c if is_control(c) => Self::Nothing,
            c => ligature(c).map_or(Self::Char(c), |letters| Self::Text(letters.to_owned())),
        }
    }
}

impl FromIterator<Fixed> for String {
    fn from_iter<I: IntoIterator<Item = Fixed>>(parts: I) -> Self {
        let mut out = Self::new();
        for part in parts {
            match part {
                Fixed::Char(c) => out.push(c),
                Fixed::Text(text) => out.push_str(&text),
                Fixed::Nothing => {}
            }
        }
        out
    }
}

/// Control characters that mean nothing in text, byte-order marks and annotations among them; white space is none.
fn is_control(c: char) -> bool {
    matches!(c, '\u{0}'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
}

/// The letters that a ligature or digraph joins, where it is one of typesetting or of an old encoding.
fn ligature(c: char) -> Option<&'static str> {
    Some(match c {
        'Ĳ' => "IJ",
        'ĳ' => "ij",
        'ŉ' => "ʼn",
        'Ǳ' => "DZ",
        'ǲ' => "Dz",
        'ǳ' => "dz",
        'Ǆ' => "DŽ",
        'ǅ' => "Dž",
        'ǆ' => "dž",
        'Ǉ' => "LJ",
        'ǈ' => "Lj",
        'ǉ' => "lj",
        'Ǌ' => "NJ",
        'ǋ' => "Nj",
        'ǌ' => "nj",
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' => "ſt",
        'ﬆ' => "st",
        _ => return None,
    })
}

/// Colours and moves of terminals, `ESC [ digits letter`, taken out.
fn without_escapes(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        match rest.strip_prefix(|c: char| c.is_ascii_alphabetic()) {
            Some(rest) => out.push_str(rest),
            None => {
                out.push_str("\u{1b}[");
                out.push_str(part);
            }
        }
    }
    out
}

/// Entities that end in a semicolon, and those whose name was put into capitals.
fn unescape_closed(text: &str) -> String {
    let mut parts = text.split('&');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let entity = part.split_once(';').and_then(|(name, rest)| {
            let letters = name.strip_prefix('#').unwrap_or(name);
            let is_name = (1..=MAX_ENTITY).contains(&letters.len())
                && letters.bytes().all(|b| b.is_ascii_alphanumeric());
            Some((entity(name).filter(|_| is_name)?, rest))
        });
        match entity {
            Some((meant, rest)) => {
                out.push_str(&meant);
                out.push_str(rest);
            }
            None => {
                out.push('&');
                out.push_str(part);
            }
        }
    }
    out
}

/// What `&name;` stands for; nothing where only a part of the name is one.
fn entity(name: &str) -> Option<String> {
    let read = |name: &str| {
        let written = format!("&{name};");
        let meant = htmlize::unescape(&*written).into_owned();
        (meant != written && !(meant.len() > 1 && meant.ends_with(';'))).then_some(meant)
    };
    let small = || {
        let capitals = name.bytes().all(|b| !b.is_ascii_lowercase());
        read(&name.to_ascii_lowercase()).filter(|_| capitals)
    };
    read(name).or_else(|| small().map(|meant| meant.to_uppercase()))
}
