//! The chunks of a PNG (PNG specification, third edition, sections 5 and 11), looked at before any decoding.

use super::NotAPicture;
use super::pixels::Header;

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// Length, type and CRC around a chunk's data.
const FRAME: usize = 12;
/// Most bytes of everything but the pixels.
const MAX_ANCILLARY_BYTES: usize = 64 << 10;
/// Most chunks of pixels; an encoder that writes 8 KiB at a time needs a quarter for the largest upload.
const MAX_PIXEL_CHUNKS: usize = 4096;

/// A chunk that a still picture needs; anything else may be read by other programs as something else.
struct Kind {
    name: &'static [u8; 4],
    /// Shortest and longest data, in bytes.
    length: (usize, usize),
    /// Whether there may be several.
    repeats: bool,
}

const fn once(name: &'static [u8; 4], shortest: usize, longest: usize) -> Kind {
    Kind {
        name,
        length: (shortest, longest),
        repeats: false,
    }
}

const fn many(name: &'static [u8; 4]) -> Kind {
    Kind {
        name,
        length: (1, usize::MAX),
        repeats: true,
    }
}

const ACCEPTED: [Kind; 13] = [
    once(b"IHDR", 13, 13),
    once(b"PLTE", 3, 768),
    many(b"IDAT"),
    once(b"IEND", 0, usize::MAX),
    once(b"tRNS", 1, 256),
    once(b"sRGB", 1, 1),
    once(b"gAMA", 4, 4),
    once(b"cHRM", 32, 32),
    once(b"pHYs", 9, 9),
    many(b"tEXt"),
    many(b"iTXt"),
    once(b"tIME", 7, 7),
    once(b"sBIT", 1, 4),
];

/// What a PNG is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Its size and form of pixels.
    pub header: Header,
    /// Data of the `IDAT` chunks, in order.
    pub pixels: Vec<&'a [u8]>,
    /// Keyword and text of every `iTXt` chunk.
    pub international: Vec<(String, String)>,
}

/// Walks through all chunks: only accepted ones of their proper length, those of pixels in one row, `IEND` last, nothing
/// behind it, no compressed text, no text with a NUL in it.
pub fn walk(bytes: &[u8]) -> Result<Parts<'_>, NotAPicture> {
    let rest = bytes
        .strip_prefix(&SIGNATURE)
        .ok_or_else(|| undecodable("no PNG signature"))?;
    let (kind, data, mut rest) = chunk(rest)?;
    if &kind != b"IHDR" {
        return Err(undecodable("IHDR must be the first chunk"));
    }
    let mut parts = Parts {
        header: Header::read(data).ok_or_else(|| undecodable("its header is broken"))?,
        pixels: Vec::new(),
        international: Vec::new(),
    };
    let mut seen = vec![kind];
    let mut ancillary = 0;
    loop {
        let (kind, data, next) = chunk(rest)?;
        rest = next;
        let known = ACCEPTED.iter().find(|known| known.name == &kind);
        let known = known.ok_or_else(|| NotAPicture::Chunk(printable(kind)))?;
        let (shortest, longest) = known.length;
        if !(shortest..=longest).contains(&data.len()) {
            return Err(NotAPicture::Hidden(
                "a chunk has another length than its kind",
            ));
        }
        if !known.repeats && seen.contains(&kind) {
            return Err(undecodable("a chunk is there twice"));
        }
        let follows_its_kind = seen.last() == Some(&kind);
        match &kind {
            b"IDAT" => {
                if !parts.pixels.is_empty() && !follows_its_kind {
                    return Err(undecodable("its pixels are not in one row of chunks"));
                }
                if parts.pixels.len() == MAX_PIXEL_CHUNKS {
                    return Err(NotAPicture::Hidden(
                        "its pixels are cut into very small pieces",
                    ));
                }
                parts.pixels.push(data);
            }
            b"IEND" if data.is_empty() && rest.is_empty() => return Ok(parts),
            b"IEND" => return Err(NotAPicture::TrailingData),
            _ => {
                ancillary += data.len() + FRAME;
                if ancillary > MAX_ANCILLARY_BYTES {
                    return Err(NotAPicture::TooMuchText);
                }
            }
        }
        match &kind {
            b"tEXt" => latin1(data)?,
            b"iTXt" => parts.international.push(international(data)?),
            _ => {}
        }
        if !follows_its_kind {
            seen.push(kind);
        }
    }
}

/// Type and data of a chunk, and what follows it.
type Chunk<'a> = ([u8; 4], &'a [u8], &'a [u8]);

/// The first chunk.
fn chunk(bytes: &[u8]) -> Result<Chunk<'_>, NotAPicture> {
    let (length, tail) = take::<4>(bytes)?;
    let (kind, tail) = take::<4>(tail)?;
    let length = u32::from_be_bytes(length) as usize;
    let data = tail.get(..length).ok_or_else(cut_off)?;
    let next = length.checked_add(4).and_then(|end| tail.get(end..));
    Ok((kind, data, next.ok_or_else(cut_off)?))
}

/// Neither keyword nor text of a `tEXt` chunk (11.3.3.2) may hold a NUL; archives and programs cannot do without.
fn latin1(data: &[u8]) -> Result<(), NotAPicture> {
    match data.iter().filter(|&&b| b == 0).count() {
        1 => Ok(()),
        _ => Err(NotAPicture::Hidden("a text has a NUL in it")),
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
    if text.contains(&0) {
        return Err(NotAPicture::Hidden("a text has a NUL in it"));
    }
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
