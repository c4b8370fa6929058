//! Files of an endpoint as pictures.

use diffusion::{Picture, picture_file};
use image::DynamicImage;

/// Decodes a PNG, JPEG or WebP completely; it must have the size given in pixels. Transparent parts become white.
///
/// # Errors
/// What is wrong with the file.
pub fn decode(file: &[u8], width: u32, height: u32) -> Result<Picture, String> {
    let decoded = picture_file::decode(file, |found| {
        if found == (width, height) {
            return Ok(());
        }
        Err(format!(
            "the picture has {}x{} pixels instead of {width}x{height}",
            found.0, found.1
        ))
    })?;
    if (decoded.width(), decoded.height()) != (width, height) {
        return Err("the picture is stored on its side".to_owned());
    }
    Ok(Picture {
        width,
        height,
        rgb: on_white(decoded),
    })
}

fn on_white(image: DynamicImage) -> Vec<u8> {
    if !image.color().has_alpha() {
        return image.into_rgb8().into_raw();
    }
    image
        .into_rgba8()
        .pixels()
        .flat_map(|pixel| {
            let [r, g, b, a] = pixel.0.map(u32::from);
            [r, g, b].map(|c| ((c * a + 255 * (255 - a) + 127) / 255) as u8)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Cursor;

    use super::*;
    use image::{ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

    fn file(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        image.into().write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    #[test]
    fn whole_files_of_the_right_size_pass() {
        let orange = RgbImage::from_pixel(16, 8, Rgb([250, 120, 10]));
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            let bytes = file(orange.clone(), format);
            let picture = decode(&bytes, 16, 8).unwrap();
            let same = Picture {
                width: 16,
                height: 8,
                rgb: orange.as_raw().clone(),
            };
            assert!(picture.max_difference(&same).unwrap() <= 3, "{format:?}");
            assert!(decode(&bytes, 8, 16).unwrap_err().contains("16x8"));
            assert!(
                decode(&bytes[..bytes.len() / 2], 16, 8).is_err(),
                "{format:?}"
            );
        }
    }

    #[test]
    fn a_jpeg_without_its_last_bytes_is_noticed() {
        let noise = RgbImage::from_fn(16, 8, |x, y| Rgb([(x * 37) as u8, (y * 91) as u8, 7]));
        let bytes = file(noise, ImageFormat::Jpeg);
        assert!(decode(&bytes, 16, 8).is_ok());
        for missing in 1..8 {
            assert!(decode(&bytes[..bytes.len() - missing], 16, 8).is_err());
        }
    }

    #[test]
    fn transparency_is_laid_on_white() {
        let glass = RgbaImage::from_pixel(2, 2, Rgba([0, 100, 255, 51]));
        let picture = decode(&file(glass, ImageFormat::Png), 2, 2).unwrap();
        // 51/255 = 1/5 of the colour, 4/5 white.
        assert_eq!(picture.rgb[..3], [204, 224, 255]);
    }

    #[test]
    fn other_files_are_named() {
        for file in [&b"<!doctype html><p>sorry"[..], b"GIF89a", b""] {
            assert!(decode(file, 1, 1).unwrap_err().contains("neither"));
        }
    }
}
