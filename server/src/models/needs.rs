//! What a picture of a package takes on a GPU, counted from its graphs.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use diffusion::manifest::{Port, PortType};
use diffusion::{FileEntry, Manifest, tile_sides};
use onnx_gpu::dry_cost;
use onnx_gpu::kernels::AdapterClass;
use onnx_gpu::proto::{Dim, Model};
use protocol::ModelNeeds;

use super::{Found, pretty, selected};
use crate::catalog::work::cost_with;
use crate::catalog::{MANIFEST, verify_file};

/// A component: its ports as the manifest has them, and its graph.
pub(super) struct Part<'a> {
    /// `text_encoder`, `denoiser` or `decoder`.
    pub name: &'a str,
    pub inputs: &'a [Port],
    pub outputs: &'a [Port],
    pub onnx: &'a [u8],
}

/// Sizes of a package, `[channels, height, width]` and `[height, width]`.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub latents: [usize; 3],
    pub image: [usize; 2],
}

/// Needs of the components: all of them loaded, one after the other; the largest buffer of a run of any.
///
/// # Errors
/// When a graph cannot be planned.
pub(super) fn count(parts: &[Part<'_>], sizes: Sizes) -> anyhow::Result<ModelNeeds> {
    let mut needs = ModelNeeds {
        max_buffer_size: 0,
        max_storage_buffer_binding_size: 0,
        memory_bytes: 0,
    };
    let mut loaded = 0;
    for part in parts {
        let cost = cost_with(part.inputs, part.onnx)
            .with_context(|| format!("the {} cannot be run", part.name))?;
        let passed: u64 = part.inputs.iter().chain(part.outputs).map(bytes).sum();
        let tiles = if part.name == "decoder" {
            in_tiles(part.onnx, sizes)
        } else {
            None
        };
        let largest = tiles.map_or(cost.largest_buffer, |tiles| cost.largest_buffer.min(tiles));
        needs.max_buffer_size = needs.max_buffer_size.max(largest);
        needs.memory_bytes = needs.memory_bytes.max(loaded + cost.load_bytes + passed);
        loaded += cost.total_bytes + passed;
    }
    needs.memory_bytes = needs.memory_bytes.max(loaded);
    needs.max_storage_buffer_binding_size = needs.max_buffer_size;
    Ok(needs)
}

fn bytes(port: &Port) -> u64 {
    let size = match port.dtype {
        PortType::Float32 | PortType::Int32 => 4,
        PortType::Int64 => 8,
    };
    size * port.shape.iter().map(|&n| n as u64).product::<u64>()
}

/// Bytes of the largest buffer of the decoder where it is run on tiles, which the pipeline does on devices without a larger
/// one; `None` where it cannot be.
fn in_tiles(onnx: &[u8], sizes: Sizes) -> Option<u64> {
    let Sizes { latents, image } = sizes;
    let [c, h, w] = latents;
    if !takes_any_size(onnx) || !image[0].is_multiple_of(h) || !image[1].is_multiple_of(w) {
        return None;
    }
    let largest_buffer = |side: usize| {
        let open = |_: &str, place: usize| {
            let shape = [1, c, h.min(side), w.min(side)];
            shape.get(place).copied().unwrap_or(1)
        };
        // A graph that cannot be planned for other sizes is not run on tiles either.
        let cost = dry_cost(onnx, AdapterClass::Hardware, &open).ok()?;
        Some(cost.largest_buffer)
    };
    tile_sides([h, w])
        .into_iter()
        .filter_map(largest_buffer)
        .min()
}

/// Whether its one input, `[1, c, h, w]`, may have another height and width.
fn takes_any_size(onnx: &[u8]) -> bool {
    let Ok(Model { graph, .. }) = Model::parse(onnx) else {
        return false;
    };
    let constant = |name: &str| {
        graph
            .initializers
            .iter()
            .any(|weight| &*weight.name == name)
    };
    let input = graph.inputs.iter().find(|input| !constant(&input.name));
    let dims = input.and_then(|input| input.shape.as_deref());
    dims.is_none_or(|dims| matches!(dims, [_, _, Dim::Symbol(_), Dim::Symbol(_)]))
}

/// Counts the needs of packages anew and writes them into their manifests.
///
/// # Errors
/// When a package is damaged or cannot be planned; those before it are written.
pub(super) fn write(
    models_dir: &Path,
    ids: &[String],
    report: &mut dyn Write,
) -> anyhow::Result<()> {
    for found in selected(models_dir, ids)? {
        let dir = found.dir.display();
        let needs = of_package(&found).with_context(|| format!("{dir}"))?;
        let mut manifest = found.readable()?.clone();
        manifest.needs = needs;
        let json = pretty(&manifest)?;
        Manifest::parse(&json)?;
        let mut file = tempfile::NamedTempFile::new_in(&found.dir)?;
        file.write_all(&json)?;
        let path = found.dir.join(MANIFEST);
        file.as_file()
            .set_permissions(fs::metadata(&path)?.permissions())?;
        file.persist(path)?;
        let (memory, buffer) = (needs.memory_bytes as f64, needs.max_buffer_size as f64);
        writeln!(
            report,
            "{}: {:.1} MB of memory, no buffer of more than {:.1} MB",
            found.id(),
            memory / 1e6,
            buffer / 1e6
        )?;
    }
    Ok(())
}

fn of_package(found: &Found) -> anyhow::Result<ModelNeeds> {
    let manifest = found.readable()?;
    let graph = |name: &str| -> anyhow::Result<Vec<u8>> {
        let mut files = manifest.files();
        let listed = |file: &&FileEntry| file.name == name;
        let file = files
            .find(listed)
            .with_context(|| format!("{name} is not listed"))?;
        verify_file(&found.dir, file)
    };
    let components = manifest.components();
    let graphs: Vec<Vec<u8>> = components
        .iter()
        .map(|(_, component)| graph(&component.file))
        .collect::<anyhow::Result<_>>()?;
    let parts: Vec<Part<'_>> = components
        .iter()
        .zip(&graphs)
        .map(|((name, component), onnx)| Part {
            name,
            inputs: &component.inputs,
            outputs: &component.outputs,
            onnx,
        })
        .collect();
    let image = [
        manifest.image.height as usize,
        manifest.image.width as usize,
    ];
    let latents = manifest.latents;
    count(&parts, Sizes { latents, image })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TILES: &[u8] = include_bytes!("../../../crates/diffusion/tests/data/tiles/decoder.onnx");
    const GLYPH: &[u8] = include_bytes!("../../../models/glyph/decoder.onnx");

    #[test]
    fn a_decoder_of_any_size_needs_what_its_tiles_need() {
        let sizes = Sizes {
            latents: [4, 20, 28],
            image: [80, 112],
        };
        let port = |name: &str, shape: &[usize]| Port {
            name: name.into(),
            dtype: PortType::Float32,
            shape: shape.into(),
        };
        let decoder = Part {
            name: "decoder",
            inputs: &[port("latent_sample", &[1, 4, 20, 28])],
            outputs: &[port("sample", &[1, 3, 80, 112])],
            onnx: TILES,
        };
        // Eight channels of floats for every pixel; tiles of 8 latents have 32 × 32 pixels.
        let whole = cost_with(decoder.inputs, TILES).unwrap().largest_buffer;
        assert_eq!(whole, 80 * 112 * 8 * 4);
        assert_eq!(in_tiles(TILES, sizes), Some(32 * 32 * 8 * 4));
        let needs = count(&[decoder], sizes).unwrap();
        assert_eq!(needs.max_buffer_size, 32 * 32 * 8 * 4);
        assert!(needs.memory_bytes > whole);
    }

    #[test]
    fn a_decoder_of_one_size_has_no_tiles() {
        let sizes = Sizes {
            latents: [16, 8, 8],
            image: [64, 64],
        };
        assert_eq!(in_tiles(GLYPH, sizes), None);
    }
}
