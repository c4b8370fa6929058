//! The text chunks of a PNG (PNG specification, third edition, 11.3.3).

use super::{MAX_EXIF_BLOCKS, MAX_PARTS, exif, slice, utf8_or_latin1, xmp};
use crate::texts::{Place, Texts, XMP};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Length, type and CRC around a chunk's data.
const CHUNK_FRAME: usize = 12;

/// `None` for another kind of file.
pub(super) fn walk(file: &[u8], texts: &mut Texts) -> Option<()> {
    let mut rest = file.strip_prefix(SIGNATURE)?;
    let mut blocks = Vec::new();
    for _ in 0..MAX_PARTS {
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            break;
        };
        let length = u32::from_be_bytes(*length) as usize;
        let (Some(kind), Some(data)) = (after.get(..4), slice(after, 4, length)) else {
            break;
        };
        // A damaged text is as good as none.
        let _: Option<()> = match kind {
            b"tEXt" => latin1(data, texts),
            b"zTXt" => compressed(data, texts),
            b"iTXt" => international(data, texts),
            b"eXIf" if blocks.len() < MAX_EXIF_BLOCKS => {
                blocks.push(data);
                None
            }
            b"IEND" => break,
            _ => None,
        };
        let Some(next) = rest.get(CHUNK_FRAME + length..) else {
            break;
        };
        rest = next;
    }
    // Texts of the PNG itself come first: EXIF is often left over from an earlier form of the picture.
    for block in blocks {
        exif::read(block, texts);
    }
    if let Some(packet) = texts.get(XMP).map(str::to_owned) {
        xmp::read(&packet, texts);
    }
    Some(())
}

/// Where the text belongs and what follows the keyword's terminating zero.
fn keyword<'a>(data: &'a [u8], texts: &Texts) -> Option<(Place, &'a [u8])> {
    let (name, rest) = split_at_zero(data)?;
    Some((texts.place(name)?, rest))
}

fn split_at_zero(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = data.iter().position(|b| *b == 0)?;
    Some((&data[..end], &data[end + 1..]))
}

/// Latin-1 by the specification; several programs write UTF-8 all the same, which Latin-1 text hardly ever resembles.
fn latin1(data: &[u8], texts: &mut Texts) -> Option<()> {
    let (place, text) = keyword(data, texts)?;
    if text.len() > texts.room() {
        texts.leave_out();
        return None;
    }
    texts.put(place, utf8_or_latin1(text));
    Some(())
}

fn compressed(data: &[u8], texts: &mut Texts) -> Option<()> {
    let (place, rest) = keyword(data, texts)?;
    // The byte before the data is the compression method; only 0, zlib, exists.
    let text = texts.inflate(rest.strip_prefix(&[0])?)?;
    texts.put(place, utf8_or_latin1(&text));
    Some(())
}

fn international(data: &[u8], texts: &mut Texts) -> Option<()> {
    let (place, rest) = keyword(data, texts)?;
    let (flags, rest) = rest.split_first_chunk::<2>()?;
    let (_language, rest) = split_at_zero(rest)?;
    let (_translated, text) = split_at_zero(rest)?;
    let text = match flags {
        [0, _] if text.len() <= texts.room() => text.to_vec(),
        [0, _] => {
            texts.leave_out();
            return None;
        }
        [1, 0] => texts.inflate(text)?,
        _ => return None,
    };
    texts.put(place, String::from_utf8(text).ok()?);
    Some(())
}
