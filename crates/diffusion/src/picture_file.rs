//! Files of pictures from elsewhere, as pixels: PNG, JPEG and WebP.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

/// Memory that decoding may take, in bytes.
const MAX_DECODED_BYTES: u64 = 256 << 20;
/// The marker that every whole JPEG ends with.
const JPEG_END: [u8; 2] = [0xFF, 0xD9];

/// Decodes a file completely, after `fits` was asked about its width and height. What the file is stored on its side is
/// turned upright afterwards.
///
/// # Errors
/// What is wrong with the file, or that of `fits`.
pub fn decode(
    file: &[u8],
    fits: impl FnOnce((u32, u32)) -> Result<(), String>,
) -> Result<DynamicImage, String> {
    let format = image::guess_format(file)
        .ok()
        .filter(|format| {
            matches!(
                format,
                ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP
            )
        })
        .ok_or("it is neither PNG, JPEG nor WebP")?;
    let unreadable = |error: image::ImageError| format!("the file cannot be decoded: {error}");
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    fits((width, height))?;
    // The decoder fills the missing rest of a JPEG with grey.
    if format == ImageFormat::Jpeg && !file.ends_with(&JPEG_END) {
        return Err("the JPEG breaks off".to_owned());
    }
    if decoder.total_bytes() > MAX_DECODED_BYTES {
        return Err(format!(
            "the file cannot be decoded: its pixels take {} bytes",
            decoder.total_bytes()
        ));
    }
    let orientation = decoder.orientation().map_err(unreadable)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use image::{Rgb, RgbImage};

    use super::*;

    fn jpeg() -> Vec<u8> {
        let left_black = RgbImage::from_fn(16, 8, |x, _| Rgb([if x < 8 { 0 } else { 255 }; 3]));
        let mut out = Cursor::new(Vec::new());
        left_black.write_to(&mut out, ImageFormat::Jpeg).unwrap();
        out.into_inner()
    }

    /// EXIF of one entry: `Orientation` (0x0112), a short.
    fn turned(orientation: u8) -> Vec<u8> {
        let exif = [
            b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(),
            &[orientation, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
        let mut file = jpeg();
        file.splice(2..2, [&[0xFF, 0xE1], &length[..], &exif].concat());
        file
    }

    /// 6 is "turn by 90 degrees clockwise" (EXIF 2.32, 4.6.4): what was left is on top.
    #[test]
    fn photographs_are_turned_upright() {
        let upright = decode(&turned(6), |size| {
            assert_eq!(size, (16, 8));
            Ok(())
        });
        let upright = upright.unwrap().to_rgb8();
        assert_eq!(upright.dimensions(), (8, 16));
        assert!(upright.get_pixel(4, 2).0[0] < 20 && upright.get_pixel(4, 13).0[0] > 235);
        let plain = decode(&turned(1), |_| Ok(())).unwrap();
        assert_eq!((plain.width(), plain.height()), (16, 8));
    }

    #[test]
    fn what_does_not_fit_is_not_decoded() {
        let refused = decode(&jpeg(), |_| Err("too large".to_owned())).unwrap_err();
        assert_eq!(refused, "too large");
    }
}
