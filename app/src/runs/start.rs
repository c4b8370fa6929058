//! A picture that a run begins with.

use std::sync::Arc;

use protocol::MAX_INPUT_BYTES;

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
    use super::*;

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
