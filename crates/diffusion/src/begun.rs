//! Pictures that others begin with: from files to what a pipeline takes.

use image::DynamicImage;
use image::imageops::{FilterType, resize};
use protocol::{MAX_INPUT_PIXELS, MaskBy, StartOf};
use sha2::{Digest, Sha256};

use crate::picture::Picture;
use crate::picture_file;
use crate::pipeline::{MADE_ANEW, Start};

/// The files of a picture to begin with.
#[derive(Clone, Debug)]
pub struct StartFiles {
    /// The picture.
    pub image: Vec<u8>,
    /// What of it is made anew, if not all.
    pub mask: Option<Vec<u8>>,
    /// How the mask is read.
    pub mask_by: MaskBy,
    /// How much of the way from noise is gone, 0 to 1.
    pub strength: f32,
}

/// A picture to begin with, and what the recipe says of it.
#[derive(Clone, Debug)]
pub struct Begun {
    /// For the pipeline.
    pub start: Start,
    /// For the recipe.
    pub of: StartOf,
}

impl StartFiles {
    /// Picture and mask at `width` times `height` pixels. What a mask leaves stays as it is.
    ///
    /// # Errors
    /// What is wrong with a file.
    pub fn read(&self, width: u32, height: u32) -> Result<Begun, String> {
        let picture = open(&self.image)?.into_rgb8();
        let picture = resize(&picture, width, height, FilterType::Lanczos3);
        let mask = self.mask.as_deref().map(|file| {
            let mask = made_anew(open(file)?, self.mask_by);
            Ok::<_, String>(resize(&mask, width, height, FilterType::Nearest).into_raw())
        });
        Ok(Begun {
            start: Start {
                picture: Picture {
                    width,
                    height,
                    rgb: picture.into_raw(),
                },
                strength: self.strength,
                mask: mask.transpose()?,
                keep_outside: true,
            },
            of: StartOf {
                sha256: sha256_hex(&self.image),
                strength: self.strength,
                mask_sha256: self.mask.as_deref().map(sha256_hex),
                mask_by: self.mask_by,
            },
        })
    }
}

/// Decodes a file that anybody may have sent.
///
/// # Errors
/// What is wrong with it.
pub fn open(file: &[u8]) -> Result<DynamicImage, String> {
    picture_file::decode(file, |(width, height)| {
        if u64::from(width) * u64::from(height) <= MAX_INPUT_PIXELS {
            return Ok(());
        }
        Err(format!(
            "the picture has {width} x {height} pixels, more than {MAX_INPUT_PIXELS} in all"
        ))
    })
}

/// What a file shows at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Whether a mask of its transparency would have something made anew.
    pub transparent: bool,
}

/// As [`open`], for who only needs to know of it.
///
/// # Errors
/// As [`open`].
pub fn look(file: &[u8]) -> Result<Looked, String> {
    let picture = open(file)?;
    let (width, height) = (picture.width(), picture.height());
    let transparent = picture.color().has_alpha()
        && made_anew(picture, MaskBy::Transparency)
            .pixels()
            .any(|pixel| pixel.0[0] >= MADE_ANEW);
    Ok(Looked {
        width,
        height,
        transparent,
    })
}

/// 255 where a mask has a picture made anew, less where it does not.
fn made_anew(mask: DynamicImage, by: MaskBy) -> image::GrayImage {
    match by {
        MaskBy::Light => mask.into_luma8(),
        MaskBy::Transparency => {
            let mask = mask.into_rgba8();
            image::GrayImage::from_fn(mask.width(), mask.height(), |x, y| {
                image::Luma([255 - mask.get_pixel(x, y).0[3]])
            })
        }
    }
}

fn sha256_hex(file: &[u8]) -> String {
    hex::encode(Sha256::digest(file))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Cursor;

    use image::{ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        picture.into().write_to(&mut out, ImageFormat::Png).unwrap();
        out.into_inner()
    }

    #[test]
    fn masks_are_read_by_light_or_by_transparency() {
        // White and opaque, black and clear.
        let mask = RgbaImage::from_fn(2, 1, |x, _| Rgba(if x == 0 { [255; 4] } else { [0; 4] }));
        let files = |mask_by| StartFiles {
            image: png(RgbImage::from_pixel(8, 4, Rgb([9, 8, 7]))),
            mask: Some(png(mask.clone())),
            mask_by,
            strength: 0.5,
        };
        for (by, expected) in [
            (MaskBy::Light, [255, 255, 0, 0]),
            (MaskBy::Transparency, [0, 0, 255, 255]),
        ] {
            let begun = files(by).read(4, 1).unwrap();
            assert_eq!(begun.start.mask.unwrap(), expected);
            assert_eq!(begun.start.picture.rgb, [9, 8, 7].repeat(4));
            let file = files(by);
            assert_eq!(begun.of.sha256, sha256_hex(&file.image));
            assert_eq!(begun.of.mask_sha256, file.mask.as_deref().map(sha256_hex));
        }
    }

    #[test]
    fn hostile_files_are_named() {
        let good = png(RgbImage::from_pixel(8, 4, Rgb([9, 8, 7])));
        // 65535 x 65535 pixels, by its head alone.
        let mut bomb = good.clone();
        bomb[16..24].copy_from_slice(&[0, 0, 255, 255, 0, 0, 255, 255]);
        let crc = crc32(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&crc.to_be_bytes());
        assert!(open(&bomb).unwrap_err().contains("65535 x 65535"));
        for bad in [
            &b""[..],
            b"GIF89a",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            &good[..good.len() / 2],
        ] {
            assert!(open(bad).is_err());
        }
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xEDB8_8320 * (crc & 1))
            })
        })
    }
}
