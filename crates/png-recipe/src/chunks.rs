//! The text chunks of a PNG (PNG specification, third edition, 11.3.3).

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use crate::ReadError;

/// Longest text that is read, in bytes, after decompression; that of ComfyUI's largest graphs is about a tenth.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Length, type and CRC around a chunk's data.
const CHUNK_FRAME: usize = 12;
/// Other keywords are passed over before anything of them is decompressed.
const KEYWORDS: [&str; 7] = [
    crate::RECIPE_KEYWORD,
    crate::PARAMETERS_KEYWORD,
    "fooocus_scheme",
    "invokeai_metadata",
    "sd-metadata",
    "Dream",
    "prompt",
];

/// The first text of each known keyword.
pub(crate) struct Texts([Option<String>; KEYWORDS.len()]);

impl Texts {
    /// Walks through the chunks up to the end, or to where the file is cut off or lies about a length.
    pub(crate) fn find(png: &[u8]) -> Result<Self, ReadError> {
        let mut rest = png.strip_prefix(SIGNATURE).ok_or(ReadError::NotPng)?;
        let mut texts = Self(Default::default());
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let (Some(kind), Some(data)) = (after.get(..4), slice(after, 4, length)) else {
                break;
            };
            let found = match kind {
                b"tEXt" => latin1(data),
                b"zTXt" => compressed(data),
                b"iTXt" => international(data),
                b"IEND" => break,
                _ => None,
            };
            if let Some((index, text)) = found {
                texts.0[index].get_or_insert(text);
            }
            let Some(next) = rest.get(CHUNK_FRAME + length..) else {
                break;
            };
            rest = next;
        }
        Ok(texts)
    }

    /// The text of a keyword.
    pub(crate) fn get(&self, keyword: &str) -> Option<&str> {
        let index = KEYWORDS.iter().position(|k| *k == keyword)?;
        self.0[index].as_deref()
    }
}

fn slice(bytes: &[u8], start: usize, length: usize) -> Option<&[u8]> {
    bytes.get(start..start.checked_add(length)?)
}

/// Position of the keyword in [`KEYWORDS`] and what follows its terminating zero.
fn keyword(data: &[u8]) -> Option<(usize, &[u8])> {
    let (name, rest) = split_at_zero(data)?;
    let index = KEYWORDS.iter().position(|k| k.as_bytes() == name)?;
    Some((index, rest))
}

fn split_at_zero(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = data.iter().position(|b| *b == 0)?;
    Some((&data[..end], &data[end + 1..]))
}

fn latin1(data: &[u8]) -> Option<(usize, String)> {
    let (index, text) = keyword(data)?;
    (text.len() <= MAX_TEXT_BYTES).then(|| (index, decode(text)))
}

fn compressed(data: &[u8]) -> Option<(usize, String)> {
    let (index, rest) = keyword(data)?;
    // The byte before the data is the compression method; only 0, zlib, exists.
    let stream = rest.strip_prefix(&[0])?;
    Some((index, decode(&inflate(stream)?)))
}

fn international(data: &[u8]) -> Option<(usize, String)> {
    let (index, rest) = keyword(data)?;
    let (flags, rest) = rest.split_first_chunk::<2>()?;
    let (_language, rest) = split_at_zero(rest)?;
    let (_translated, text) = split_at_zero(rest)?;
    let text = match flags {
        [0, _] if text.len() <= MAX_TEXT_BYTES => text.to_vec(),
        [1, 0] => inflate(text)?,
        _ => return None,
    };
    Some((index, String::from_utf8(text).ok()?))
}

fn inflate(stream: &[u8]) -> Option<Vec<u8>> {
    decompress_to_vec_zlib_with_limit(stream, MAX_TEXT_BYTES).ok()
}

/// Latin-1 by the specification; several programs write UTF-8 all the same, which Latin-1 text hardly ever resembles.
fn decode(text: &[u8]) -> String {
    match std::str::from_utf8(text) {
        Ok(text) => text.to_owned(),
        Err(_) => text.iter().map(|b| char::from(*b)).collect(),
    }
}
