//! The files of a picture to begin with.

use std::path::Path;

use anyhow::{Context, ensure};
use diffusion::{Picture, Start};
use image::imageops::{FilterType, resize};
use protocol::StartOf;
use sha2::{Digest, Sha256};

use crate::config::GenerateConfig;

/// Most pixels of a file.
const MAX_PIXELS: u64 = 1 << 26;

/// The picture to begin with that `config` names, at `width` times `height` pixels, and what the recipe says of it.
///
/// # Errors
/// When a file cannot be read, or the strength is no share.
pub(super) fn read(
    config: &GenerateConfig,
    width: u32,
    height: u32,
) -> anyhow::Result<Option<(Start, StartOf)>> {
    let Some(path) = &config.image else {
        return Ok(None);
    };
    let strength = config.strength;
    ensure!(
        (0.0..=1.0).contains(&strength),
        "--strength is {strength}; it goes from 0 to 1"
    );
    let (picture, sha256) = open(path)?;
    let picture = resize(&picture.to_rgb8(), width, height, FilterType::Lanczos3);
    let mask = config.mask.as_deref().map(open).transpose()?;
    let (mask, mask_sha256) = mask
        .map(|(mask, sha256)| {
            let mask = resize(&mask.to_luma8(), width, height, FilterType::Nearest);
            (mask.into_raw(), sha256)
        })
        .unzip();
    let start = Start {
        picture: Picture {
            width,
            height,
            rgb: picture.into_raw(),
        },
        strength,
        mask,
        keep_outside: true,
    };
    let of = StartOf {
        sha256,
        strength,
        mask_sha256,
    };
    Ok(Some((start, of)))
}

fn open(path: &Path) -> anyhow::Result<(image::DynamicImage, String)> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("reading {shown}"))?;
    let unreadable = || format!("{shown} is no picture that can be read");
    let reader = || image::ImageReader::new(std::io::Cursor::new(&bytes)).with_guessed_format();
    let (width, height) = reader()?.into_dimensions().with_context(unreadable)?;
    ensure!(
        u64::from(width) * u64::from(height) <= MAX_PIXELS,
        "{shown} has {width} x {height} pixels, more than {MAX_PIXELS} in all"
    );
    let picture = reader()?.decode().with_context(unreadable)?;
    Ok((picture, hex::encode(Sha256::digest(&bytes))))
}
