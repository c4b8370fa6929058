//! `demo-hub upscale`: a picture made larger without a server.

use std::io::Write;
use std::time::Instant;

use anyhow::Context;
use diffusion::{Cancel, Picture, Upscaler, UpscalerPackage, begun, png};
use futures::executor::block_on;

use crate::catalog::Catalog;
use crate::config::UpscaleConfig;
use crate::render::local::engine;

/// Makes the picture larger, writes it to `config.out` and says on `report` what was done.
///
/// # Errors
/// A sentence on what is wrong with the picture, the package or the output file.
pub fn run(config: &UpscaleConfig, report: &mut dyn Write) -> anyhow::Result<()> {
    let catalog = Catalog::open(&config.models_dir)?;
    let entry = catalog
        .upscaler(config.upscale, config.upscaler.as_deref())
        .map_err(|problem| {
            anyhow::anyhow!("{} in {}", problem.detail, config.models_dir.display())
        })?;
    let file = std::fs::read(&config.picture)
        .with_context(|| format!("reading {}", config.picture.display()))?;
    let opened = begun::open(&file)
        .map_err(|problem| anyhow::anyhow!("{}: {problem}", config.picture.display()))?
        .into_rgb8();
    let picture = Picture {
        width: opened.width(),
        height: opened.height(),
        rgb: opened.into_raw(),
    };
    let package = UpscalerPackage::from_dir(&entry.dir)?;
    let engine = engine(&config.renderer.into())?;
    let upscaler = block_on(Upscaler::load(&package, config.upscale, &*engine))?;
    let started = Instant::now();
    let mut parts = 0;
    let larger = block_on(upscaler.run(
        &picture,
        None,
        &mut |progress| {
            parts = progress.total_steps;
            tracing::info!(done = progress.step, of = progress.total_steps, "part");
        },
        &Cancel::default(),
    ))?;
    let took = started.elapsed().as_millis();
    std::fs::write(&config.out, png::encode_plain(&larger)?)
        .with_context(|| format!("writing {}", config.out.display()))?;
    writeln!(
        report,
        "{}: {} x {} by {} on {}, {}: {took} ms in {parts} {}",
        config.out.display(),
        larger.width,
        larger.height,
        entry.manifest.id,
        upscaler.backend(),
        upscaler.adapter(),
        if parts == 1 { "part" } else { "parts" },
    )?;
    Ok(())
}
