//! The files of a picture to begin with.

use std::path::Path;

use anyhow::{Context, ensure};
use diffusion::{Begun, StartFiles};
use protocol::MaskBy;

use crate::config::GenerateConfig;

/// The picture to begin with that `config` names, at `width` times `height` pixels.
///
/// # Errors
/// When a file cannot be read, or the strength is no share.
pub(super) fn read(
    config: &GenerateConfig,
    width: u32,
    height: u32,
) -> anyhow::Result<Option<Begun>> {
    let Some(image) = &config.image else {
        return Ok(None);
    };
    let strength = config.strength;
    ensure!(
        (0.0..=1.0).contains(&strength),
        "--strength is {strength}; it goes from 0 to 1"
    );
    let read =
        |path: &Path| std::fs::read(path).with_context(|| format!("reading {}", path.display()));
    let files = StartFiles {
        image: read(image)?,
        mask: config.mask.as_deref().map(read).transpose()?,
        mask_by: if config.mask_by_transparency {
            MaskBy::Transparency
        } else {
            MaskBy::Light
        },
        strength,
    };
    let begun = files.read(width, height);
    Ok(Some(begun.map_err(|error| {
        anyhow::anyhow!("the picture to begin with, or its mask: {error}")
    })?))
}
