//! The segments `APP1` (EXIF, XMP) and `COM` of a JPEG, up to where the picture begins.
//!
//! Sources: ITU-T T.81, B.1.1; Exif 2.32, 4.7.2; XMP specification, part 3, 1.1.3.

use super::{MAX_EXIF_BLOCKS, MAX_PARTS, exif, slice, utf8_or_latin1, xmp};
use crate::texts::{COMMENT, Texts};

const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const APP1: u8 = 0xE1;
const COM: u8 = 0xFE;
/// Start of scan, and end of the picture.
const ENDS: [u8; 2] = [0xDA, 0xD9];

/// `None` for another kind of file.
pub(super) fn walk(file: &[u8], texts: &mut Texts) -> Option<()> {
    let mut rest = file.strip_prefix(b"\xFF\xD8\xFF")?;
    let mut blocks = 0;
    for _ in 0..MAX_PARTS {
        // Any number of FF bytes may stand before a marker's second byte.
        let fill = rest.iter().take_while(|b| **b == 0xFF).count();
        let Some((marker, after)) = rest.get(fill..).and_then(<[u8]>::split_first) else {
            break;
        };
        let Some(length) = after.first_chunk::<2>() else {
            break;
        };
        // The length counts its own two bytes.
        let length = usize::from(u16::from_be_bytes(*length));
        let Some(data) = length.checked_sub(2).and_then(|n| slice(after, 2, n)) else {
            break;
        };
        match *marker {
            APP1 if blocks < MAX_EXIF_BLOCKS => {
                blocks += 1;
                if let Some(block) = data.strip_prefix(EXIF) {
                    exif::read(block, texts);
                } else if let Some(packet) = data.strip_prefix(XMP) {
                    xmp::read(&utf8_or_latin1(packet), texts);
                }
            }
            COM => {
                if let Some(place) = texts.place(COMMENT.as_bytes()) {
                    texts.put(place, utf8_or_latin1(data));
                }
            }
            marker if ENDS.contains(&marker) => break,
            _ => {}
        }
        let Some(next) = after.get(length..).and_then(|n| n.strip_prefix(b"\xFF")) else {
            break;
        };
        rest = next;
    }
    Some(())
}
