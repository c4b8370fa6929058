//! The few tags of EXIF that programs write settings into.
//!
//! Sources: TIFF 6.0, section 2; Exif 2.32, 4.6.2 and 4.6.5 (`UserComment`). Where they put it: A1111, SwarmUI, Easy
//! Diffusion: `UserComment` of the Exif directory. Fooocus: the same tag of the first directory, its scheme in
//! `MakerNote`. ComfyUI: `prompt:` and `workflow:` with JSON behind them, in `Model`, `Make` and what lies before.

use super::utf8_or_latin1;
use crate::texts::{FOOOCUS_SCHEME, IMAGE_DESCRIPTION, SOFTWARE, Texts, USER_COMMENT};

/// Most entries of a directory that are looked at.
const MAX_ENTRIES: usize = 256;
const EXIF_DIRECTORY: u16 = 0x8769;

/// Reads a block; what is damaged is passed over.
pub(super) fn read(block: &[u8], texts: &mut Texts) {
    // In WebP some programs leave JPEG's marker before it.
    let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    let Some(tiff) = Tiff::new(block) else {
        return;
    };
    let Some(first) = tiff.u32(4) else { return };
    let exif = tiff
        .entries(first)
        .find(|entry| entry.tag == EXIF_DIRECTORY)
        .and_then(|entry| tiff.u32(entry.at + 8));
    for directory in [exif, Some(first)].into_iter().flatten() {
        for entry in tiff.entries(directory) {
            if let Some(value) = tiff.value(&entry) {
                keep(&tiff, entry.tag, value, texts);
            }
        }
    }
}

fn keep(tiff: &Tiff, tag: u16, value: &[u8], texts: &mut Texts) {
    if value.len() > texts.room() {
        texts.leave_out();
        return;
    }
    let put = |texts: &mut Texts, keyword: &str, text: String| {
        if let Some(place) = texts.place(keyword.as_bytes()) {
            texts.put(place, text);
        }
    };
    // Model, Make, ImageDescription and, for graphs with more parts, the tags before it.
    if (0x0100..=0x0110).contains(&tag)
        && let Some((keyword, json)) = labelled(value)
    {
        return put(texts, keyword, utf8_or_latin1(json).trim().to_owned());
    }
    match tag {
        0x9286 => {
            let text = comment(tiff, value);
            match labelled(text.as_bytes()) {
                Some((keyword, json)) => put(texts, keyword, plain(json)),
                None => put(texts, USER_COMMENT, text),
            }
        }
        // The first versions of SwarmUI.
        0x0110 if value.starts_with(b"{") => put(texts, USER_COMMENT, plain(value)),
        0x010E => put(texts, IMAGE_DESCRIPTION, plain(value)),
        // `XPComment`, of Windows.
        0x9C9C => put(texts, IMAGE_DESCRIPTION, utf16(value, false)),
        0x0131 => put(texts, SOFTWARE, plain(value)),
        0x927C if [&b"fooocus"[..], b"a1111"].contains(&without_zeros(value)) => {
            put(texts, FOOOCUS_SCHEME, plain(value));
        }
        _ => {}
    }
}

/// `prompt:{…}` or `workflow:{…}`, in any case.
fn labelled(value: &[u8]) -> Option<(&'static str, &[u8])> {
    ["prompt", "workflow"].into_iter().find_map(|keyword| {
        let (label, rest) = value.split_at_checked(keyword.len())?;
        let json = rest.strip_prefix(b":")?;
        let is_json = json.trim_ascii_start().starts_with(b"{");
        (is_json && label.eq_ignore_ascii_case(keyword.as_bytes()))
            .then_some((keyword, without_zeros(json)))
    })
}

fn without_zeros(value: &[u8]) -> &[u8] {
    let end = value
        .iter()
        .rposition(|b| *b != 0)
        .map_or(0, |last| last + 1);
    &value[..end]
}

fn plain(value: &[u8]) -> String {
    utf8_or_latin1(without_zeros(value))
}

/// A comment begins with the name of its character set in eight bytes; several programs leave that out or lie.
fn comment(tiff: &Tiff, value: &[u8]) -> String {
    if let Some(text) = value.strip_prefix(b"UNICODE\0") {
        return unicode(tiff, text);
    }
    let named = [&b"ASCII\0\0\0"[..], b"JIS\0\0\0\0\0", &[0; 8]];
    let text = named.iter().find_map(|name| value.strip_prefix(*name));
    let text = text.unwrap_or(value);
    if looks_like_utf16(text) {
        unicode(tiff, text)
    } else {
        plain(text)
    }
}

/// Every second byte of Latin letters is zero in UTF-16.
fn looks_like_utf16(text: &[u8]) -> bool {
    let zeros = without_zeros(text).iter().filter(|b| **b == 0).count();
    zeros > text.len() / 4
}

/// The byte order is that of the block, by the specification. `piexif` writes big-endian whatever the block has, SwarmUI
/// little-endian; so it is told by where the zeros of Latin letters are.
fn unicode(tiff: &Tiff, text: &[u8]) -> String {
    match text {
        [0xFE, 0xFF, text @ ..] => return utf16(text, true),
        [0xFF, 0xFE, text @ ..] => return utf16(text, false),
        [0xEF, 0xBB, 0xBF, text @ ..] => return plain(text),
        _ => {}
    }
    let (pairs, _) = text.as_chunks::<2>();
    let high = pairs
        .iter()
        .filter(|pair| pair[0] == 0 && pair[1] != 0)
        .count();
    let low = pairs
        .iter()
        .filter(|pair| pair[1] == 0 && pair[0] != 0)
        .count();
    if high == 0 && low == 0 && std::str::from_utf8(without_zeros(text)).is_ok() {
        return plain(text);
    }
    let big_endian = if high == low {
        tiff.big_endian
    } else {
        high > low
    };
    utf16(text, big_endian)
}

fn utf16(text: &[u8], big_endian: bool) -> String {
    let read = if big_endian {
        u16::from_be_bytes
    } else {
        u16::from_le_bytes
    };
    let (pairs, _) = text.as_chunks::<2>();
    let text: String = char::decode_utf16(pairs.iter().map(|pair| read(*pair)))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    text.trim_matches(['\0', '\u{FEFF}']).to_owned()
}

struct Tiff<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

struct Entry {
    tag: u16,
    /// Where its twelve bytes begin.
    at: usize,
}

impl<'a> Tiff<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = match bytes.get(..4)? {
            b"MM\0*" => true,
            b"II*\0" => false,
            _ => return None,
        };
        Some(Self { bytes, big_endian })
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk::<2>()?;
        Some(if self.big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        })
    }

    fn u32(&self, at: usize) -> Option<usize> {
        let bytes = *self.bytes.get(at..)?.first_chunk::<4>()?;
        let value = if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        };
        Some(value as usize)
    }

    fn entries(&self, directory: usize) -> impl Iterator<Item = Entry> + '_ {
        let count = self.u16(directory).map_or(0, usize::from).min(MAX_ENTRIES);
        (0..count).map_while(move |i| {
            let at = directory.checked_add(2 + 12 * i)?;
            Some(Entry {
                tag: self.u16(at)?,
                at,
            })
        })
    }

    /// The bytes of a value of bytes or text: in the entry itself up to four, else where it points.
    fn value(&self, entry: &Entry) -> Option<&'a [u8]> {
        const BYTE: u16 = 1;
        const ASCII: u16 = 2;
        const UNDEFINED: u16 = 7;
        if ![BYTE, ASCII, UNDEFINED].contains(&self.u16(entry.at + 2)?) {
            return None;
        }
        let length = self.u32(entry.at + 4)?;
        let at = if length <= 4 {
            entry.at + 8
        } else {
            self.u32(entry.at + 8)?
        };
        super::slice(self.bytes, at, length)
    }
}
