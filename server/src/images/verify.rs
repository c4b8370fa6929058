//! Whether stored bytes are the PNG that they claim to be.

use std::io::Cursor;

use sha2::{Digest, Sha256};

/// Longest side of a picture in pixels.
const MAX_SIDE: u32 = 4096;
/// Memory that decoding may take, in bytes.
const MAX_DECODED_BYTES: usize = 128 << 20;
/// The last chunk of every PNG: length 0, `IEND`, its CRC-32 (PNG specification, 11.2.5).
const IEND: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xAE, 0x42, 0x60, 0x82];

/// Why the bytes are not stored as a picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPicture {
    /// Not decodable as PNG.
    #[error("it is not a readable PNG: {0}")]
    Undecodable(String),
    /// A side is longer than accepted.
    #[error("it is {width}×{height} pixels; at most {MAX_SIDE} a side are accepted")]
    TooLarge {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// Something follows the picture.
    #[error("it does not end where the picture ends")]
    TrailingData,
}

/// Decodes a PNG completely and gives its width and height.
///
/// # Errors
/// [`NotAPicture`].
pub fn png_size(bytes: &[u8]) -> Result<(u32, u32), NotAPicture> {
    let limits = png::Limits {
        bytes: MAX_DECODED_BYTES,
    };
    let undecodable = |e: png::DecodingError| NotAPicture::Undecodable(e.to_string());
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    let header = decoder.read_header_info().map_err(undecodable)?;
    let (width, height) = (header.width, header.height);
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(NotAPicture::TooLarge { width, height });
    }
    let mut reader = decoder.read_info().map_err(undecodable)?;
    let size = reader
        .output_buffer_size()
        .filter(|&n| n <= MAX_DECODED_BYTES)
        .ok_or(NotAPicture::TooLarge { width, height })?;
    reader.next_frame(&mut vec![0; size]).map_err(undecodable)?;
    reader.finish().map_err(undecodable)?;
    if !bytes.ends_with(&IEND) {
        return Err(NotAPicture::TrailingData);
    }
    Ok((width, height))
}

/// SHA-256 in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn picture(width: u32, height: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, width, height);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header().unwrap();
        writer
            .write_image_data(&vec![9; (width * height * 3) as usize])
            .unwrap();
        writer.finish().unwrap();
        out
    }

    #[test]
    fn only_whole_pngs_pass() {
        let good = picture(64, 32);
        assert_eq!(png_size(&good), Ok((64, 32)));

        let cut = &good[..good.len() / 2];
        assert!(matches!(png_size(cut), Err(NotAPicture::Undecodable(_))));

        let mut longer = good.clone();
        longer.extend_from_slice(b"<script>");
        assert_eq!(png_size(&longer), Err(NotAPicture::TrailingData));

        let mut damaged = good.clone();
        damaged[good.len() - 20] ^= 1;
        assert!(matches!(
            png_size(&damaged),
            Err(NotAPicture::Undecodable(_))
        ));

        assert!(matches!(
            png_size(b"GIF89a"),
            Err(NotAPicture::Undecodable(_))
        ));
    }

    #[test]
    fn a_header_of_huge_size_is_refused_before_decoding() {
        let mut huge = picture(1, 1);
        huge[16..20].copy_from_slice(&100_000_u32.to_be_bytes());
        // CRC-32 of the changed header.
        let mut crc = png_crc(&huge[12..29]).to_be_bytes();
        huge[29..33].swap_with_slice(&mut crc);
        assert!(matches!(
            png_size(&huge),
            Err(NotAPicture::TooLarge { width: 100_000, .. })
        ));
    }

    /// CRC-32 of the PNG specification, annex D.
    fn png_crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |c, _| {
                if c & 1 == 1 {
                    0xEDB8_8320 ^ (c >> 1)
                } else {
                    c >> 1
                }
            })
        })
    }
}
