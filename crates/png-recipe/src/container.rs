//! Where the three kinds of files keep text.

mod exif;
mod jpeg;
mod png;
mod webp;
mod xmp;

use crate::ReadError;
use crate::texts::Texts;

/// Most parts (chunks, segments) of a file that are looked at; an encoder that writes small ones needs a tenth.
const MAX_PARTS: usize = 100_000;
/// Most EXIF blocks of a file that are looked at. A picture has one.
const MAX_EXIF_BLOCKS: usize = 4;

/// The texts of a file, as far as it goes: one that is cut off or lies about a length ends there.
pub(crate) fn texts(file: &[u8]) -> Result<Texts, ReadError> {
    let mut texts = Texts::new();
    let walk = [png::walk, webp::walk, jpeg::walk];
    let known = walk.iter().any(|walk| walk(file, &mut texts).is_some());
    if known {
        Ok(texts)
    } else {
        Err(ReadError::NotAPicture)
    }
}

fn slice(bytes: &[u8], start: usize, length: usize) -> Option<&[u8]> {
    bytes.get(start..start.checked_add(length)?)
}

/// Text whose encoding is not said: UTF-8 where it is valid, else Latin-1.
fn utf8_or_latin1(text: &[u8]) -> String {
    match std::str::from_utf8(text) {
        Ok(text) => text.to_owned(),
        Err(_) => text.iter().map(|b| char::from(*b)).collect(),
    }
}
