//! The chunks `EXIF` and `XMP ` of a WebP.
//!
//! Source: WebP container specification, "Metadata" (RIFF: a name of four bytes, a little-endian length, padded to even).

use super::{MAX_EXIF_BLOCKS, MAX_PARTS, exif, slice, utf8_or_latin1, xmp};
use crate::texts::Texts;

/// `None` for another kind of file.
pub(super) fn walk(file: &[u8], texts: &mut Texts) -> Option<()> {
    let head = file.strip_prefix(b"RIFF")?;
    let mut rest = head.get(4..)?.strip_prefix(b"WEBP")?;
    let mut blocks = 0;
    for _ in 0..MAX_PARTS {
        let Some((name, after)) = rest.split_first_chunk::<4>() else {
            break;
        };
        let Some((length, data)) = after.split_first_chunk::<4>() else {
            break;
        };
        let length = u32::from_le_bytes(*length) as usize;
        let Some(data) = slice(data, 0, length) else {
            break;
        };
        match name {
            b"EXIF" if blocks < MAX_EXIF_BLOCKS => {
                blocks += 1;
                exif::read(data, texts);
            }
            b"XMP " if blocks < MAX_EXIF_BLOCKS && length <= texts.room() => {
                blocks += 1;
                xmp::read(&utf8_or_latin1(data), texts);
            }
            _ => {}
        }
        let padded = length.saturating_add(length % 2).saturating_add(8);
        let Some(next) = rest.get(padded..) else {
            break;
        };
        rest = next;
    }
    Some(())
}
