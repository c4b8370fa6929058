//! The chunks of a PNG (PNG specification, third edition, sections 5 and 11), looked at before any decoding.

use super::NotAPicture;

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// Length, type and CRC around a chunk's data.
const FRAME: usize = 12;
/// Most bytes of everything but the pixels.
const MAX_ANCILLARY_BYTES: usize = 64 << 10;
/// What a still picture needs; anything else may be read by other programs as something else.
const ACCEPTED: [&[u8; 4]; 13] = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"tEXt",
    b"iTXt", b"tIME", b"sBIT",
];

/// What was found beside the pixels.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// Keyword and text of every `iTXt` chunk.
    pub international: Vec<(String, String)>,
}

/// Walks through all chunks: only accepted ones, `IEND` last, nothing behind it, no compressed text.
pub fn walk(bytes: &[u8]) -> Result<Texts, NotAPicture> {
    let mut rest = bytes
        .strip_prefix(&SIGNATURE)
        .ok_or_else(|| undecodable("no PNG signature"))?;
    let mut texts = Texts::default();
    let mut ancillary = 0;
    let mut first = true;
    loop {
        let (length, tail) = take::<4>(rest)?;
        let (kind, tail) = take::<4>(tail)?;
        let length = u32::from_be_bytes(length) as usize;
        let data = tail.get(..length).ok_or_else(cut_off)?;
        rest = tail.get(length + 4..).ok_or_else(cut_off)?;
        if first != (&kind == b"IHDR") {
            return Err(undecodable("IHDR must be the first chunk, once"));
        }
        first = false;
        if !ACCEPTED.contains(&&kind) {
            return Err(NotAPicture::Chunk(printable(kind)));
        }
        match &kind {
            b"IDAT" => {}
            b"IEND" if length == 0 && rest.is_empty() => return Ok(texts),
            b"IEND" => return Err(NotAPicture::TrailingData),
            _ => {
                ancillary += length + FRAME;
                if ancillary > MAX_ANCILLARY_BYTES {
                    return Err(NotAPicture::TooMuchText);
                }
            }
        }
        if &kind == b"iTXt" {
            texts.international.push(international(data)?);
        }
    }
}

/// Keyword and text of an `iTXt` chunk (11.3.3.4).
fn international(data: &[u8]) -> Result<(String, String), NotAPicture> {
    let broken = || undecodable("an iTXt chunk is broken");
    let mut fields = data.splitn(2, |&b| b == 0);
    let keyword = fields.next().ok_or_else(broken)?;
    let (&[compressed, _method], tail) = fields
        .next()
        .and_then(|tail| tail.split_first_chunk::<2>())
        .ok_or_else(broken)?;
    if compressed != 0 {
        return Err(undecodable("compressed text is not accepted"));
    }
    let text = tail.splitn(3, |&b| b == 0).nth(2).ok_or_else(broken)?;
    let read = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| broken());
    Ok((read(keyword)?, read(text)?))
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), NotAPicture> {
    let (head, tail) = bytes.split_first_chunk::<N>().ok_or_else(cut_off)?;
    Ok((*head, tail))
}

fn printable(kind: [u8; 4]) -> String {
    kind.iter()
        .map(|&b| char::from(b))
        .filter(char::is_ascii_graphic)
        .collect()
}

fn cut_off() -> NotAPicture {
    undecodable("it is cut off")
}

fn undecodable(why: &str) -> NotAPicture {
    NotAPicture::Undecodable(why.to_owned())
}
