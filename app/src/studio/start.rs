//! The picture to begin with, as the form holds it.

use std::sync::Arc;

use protocol::{DEFAULT_STRENGTH, MAX_INPUT_BYTES, Problem, ProblemCode};

use crate::format;

/// A picture that was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// Its name, for people.
    pub name: String,
    /// Media type, by what the file begins with.
    pub kind: &'static str,
    /// Where the page shows it.
    pub url: String,
    /// The file.
    pub bytes: Arc<Vec<u8>>,
}

/// What the form says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct StartForm {
    /// The picture; none: noise.
    pub chosen: Option<Chosen>,
    /// As it was typed.
    pub strength: String,
    /// Why the last file was not taken.
    pub refused: Option<String>,
}

impl Default for StartForm {
    fn default() -> Self {
        Self {
            chosen: None,
            strength: DEFAULT_STRENGTH.to_string(),
            refused: None,
        }
    }
}

impl StartForm {
    /// Takes a picture, or noise, in the place of what was there.
    pub fn take(&mut self, chosen: Option<Chosen>) {
        self.chosen = chosen;
        self.refused = None;
    }

    /// The picture to begin with and how much of the way from noise is gone, if there is one.
    ///
    /// # Errors
    /// When the strength is no share.
    pub fn checked(&self) -> Result<Option<(Chosen, f32)>, Problem> {
        let Some(chosen) = &self.chosen else {
            return Ok(None);
        };
        let strength = self.strength.trim().parse().ok();
        let strength = strength.filter(|strength: &f32| (0.0..=1.0).contains(strength));
        let strength = strength.ok_or_else(|| {
            Problem::new(ProblemCode::OutOfRange, "The strength must be 0 to 1.")
                .with_hint("0 keeps the picture, 1 makes a new one.")
        })?;
        Ok(Some((chosen.clone(), strength)))
    }
}

/// The media type of a file that can be begun with.
///
/// # Errors
/// A sentence on what is wrong with it.
pub fn kind(file: &[u8]) -> Result<&'static str, String> {
    if file.len() as u64 > MAX_INPUT_BYTES {
        return Err(format!(
            "This file has {}; at most {} are taken.",
            format::size(file.len() as u64),
            format::size(MAX_INPUT_BYTES)
        ));
    }
    match file {
        [0x89, b'P', b'N', b'G', ..] => Ok("image/png"),
        [0xFF, 0xD8, 0xFF, ..] => Ok("image/jpeg"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Ok("image/webp"),
        _ => Err("This file is neither PNG, JPEG nor WebP.".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn form(strength: &str) -> StartForm {
        let mut form = StartForm::default();
        form.take(Some(Chosen {
            name: "a.png".into(),
            kind: "image/png",
            url: "blob:a".into(),
            bytes: Arc::new(vec![1]),
        }));
        form.strength = strength.into();
        form
    }

    #[test]
    fn a_strength_is_a_share() {
        assert_eq!(StartForm::default().checked().unwrap(), None);
        for (typed, strength) in [("0", 0.0), (" 0.5 ", 0.5), ("1", 1.0)] {
            let (_, found) = form(typed).checked().unwrap().unwrap();
            assert_eq!(found, strength);
        }
        for typed in ["", "x", "-0.1", "1.1", "NaN", "inf"] {
            let problem = form(typed).checked().unwrap_err();
            assert_eq!(problem.code, ProblemCode::OutOfRange, "{typed}");
        }
    }

    /// PNG 1.2, section 3.1; ITU T.81, B.1.1.3; RFC 9649, section 2.4.
    #[test]
    fn files_are_told_by_their_first_bytes() {
        assert_eq!(kind(b"\x89PNG\r\n\x1a\n"), Ok("image/png"));
        assert_eq!(kind(b"\xff\xd8\xff\xe0"), Ok("image/jpeg"));
        assert_eq!(kind(b"RIFF\0\0\0\0WEBPVP8 "), Ok("image/webp"));
        for other in [&b"GIF89a"[..], b"", b"RIFF\0\0\0\0WAVE", b"<svg/>"] {
            assert!(kind(other).is_err());
        }
    }
}
