//! What a picture of a package costs, counted from its graphs.

use std::path::Path;

use anyhow::Context;
use diffusion::Manifest;
use onnx_gpu::dry_run;
use onnx_gpu::kernels::AdapterClass;
use protocol::{ModelWork, Work};

/// Plans every component for a GPU, without one, and adds up what its dispatches compute.
///
/// # Errors
/// When a graph cannot be read or planned.
pub fn count(dir: &Path, manifest: &Manifest) -> anyhow::Result<ModelWork> {
    let components = &manifest.components;
    let of = |file: &str| -> anyhow::Result<Work> {
        let bytes = std::fs::read(dir.join(file)).with_context(|| format!("reading {file}"))?;
        let stats = dry_run(&bytes, AdapterClass::Hardware)
            .map_err(|error| anyhow::anyhow!("planning {file}: {error}"))?;
        Ok(Work {
            flops: stats.flops,
            dispatches: stats.dispatches as u64,
        })
    };
    let text_encoder = of(&components.text_encoder.file)?;
    let decoder = of(&components.decoder.file)?;
    Ok(ModelWork {
        once: Work {
            flops: text_encoder.flops + decoder.flops,
            dispatches: text_encoder.dispatches + decoder.dispatches,
        },
        per_step: of(&components.denoiser.file)?,
    })
}
