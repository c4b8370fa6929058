//! Thumbnails: small WebP files.

use image::DynamicImage;
use image::imageops::FilterType;
use protocol::THUMBNAIL_SIDE;

/// Quality of the lossy encoder, 0 to 100.
const QUALITY: f32 = 82.0;

/// An encoded thumbnail.
pub struct Encoded {
    pub webp: Vec<u8>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Shrinks a picture to [`THUMBNAIL_SIDE`], never enlarging it. One that keeps its size is encoded without loss.
///
/// # Errors
/// A sentence from the encoder.
pub fn encode(picture: &DynamicImage) -> Result<Encoded, String> {
    let (width, height) = (picture.width(), picture.height());
    let whole = width <= THUMBNAIL_SIDE && height <= THUMBNAIL_SIDE;
    let small = if whole {
        picture.to_rgba8()
    } else {
        picture
            .resize(THUMBNAIL_SIDE, THUMBNAIL_SIDE, FilterType::Lanczos3)
            .to_rgba8()
    };
    let (width, height) = small.dimensions();
    let opaque = small.pixels().all(|pixel| pixel.0[3] == u8::MAX);
    let rgb;
    let encoded = if opaque {
        rgb = DynamicImage::ImageRgba8(small).into_rgb8();
        webp::Encoder::from_rgb(&rgb, width, height).encode_simple(whole, QUALITY)
    } else {
        webp::Encoder::from_rgba(&small, width, height).encode_simple(whole, QUALITY)
    };
    let webp = encoded.map_err(|error| format!("WebP encoder: {error:?}"))?;
    Ok(Encoded {
        webp: webp.to_vec(),
        width,
        height,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use image::{ImageFormat, Rgb, RgbImage};

    use super::*;

    fn gradient(width: u32, height: u32) -> DynamicImage {
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, 128])
        })
        .into()
    }

    /// Decoded with another implementation than the encoder's.
    fn decoded(encoded: &Encoded) -> RgbImage {
        image::load_from_memory_with_format(&encoded.webp, ImageFormat::WebP)
            .unwrap()
            .into_rgb8()
    }

    #[test]
    fn a_small_picture_is_kept_pixel_by_pixel() {
        let picture = gradient(64, 48);
        let encoded = encode(&picture).unwrap();
        assert_eq!((encoded.width, encoded.height), (64, 48));
        assert_eq!(decoded(&encoded), picture.into_rgb8());
    }

    #[test]
    fn a_large_picture_shrinks_and_looks_the_same() {
        let encoded = encode(&gradient(1024, 512)).unwrap();
        assert_eq!((encoded.width, encoded.height), (320, 160));
        assert!(encoded.webp.len() < 10_000, "{}", encoded.webp.len());
        let small = decoded(&encoded);
        for (x, y) in [(10, 10), (160, 80), (300, 150)] {
            let expected = [(x * 255 / 320) as i32, (y * 255 / 160) as i32, 128];
            for (found, wanted) in small.get_pixel(x, y).0.iter().zip(expected) {
                assert!((i32::from(*found) - wanted).abs() < 8, "at {x},{y}");
            }
        }
    }
}
