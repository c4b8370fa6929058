//! What a picture of a package takes on a GPU, counted from its graphs.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, ensure};
use diffusion::manifest::{Bindings, Graph, ImageSize, Port};
use diffusion::{Manifest, package, tile_sides};
use onnx_gpu::proto::{Dim, Model};
use protocol::ModelNeeds;
use serde_json::Value;

use super::{pretty, selected};
use crate::catalog::work::OnDisk;
use crate::catalog::{MANIFEST, read_manifest};

/// Writes the needs of the package in `dir` into its manifest: those of the default size and, where there are others, of the
/// largest.
///
/// # Errors
/// When a graph cannot be planned.
pub(super) fn fill(
    dir: &Path,
    manifest: &Manifest,
    json: &mut Value,
) -> anyhow::Result<ModelNeeds> {
    let needs = count(dir, manifest, manifest.sizes.default)?;
    json["needs"] = serde_json::to_value(needs)?;
    if let Some(others) = &manifest.sizes.others {
        let side = others.largest();
        let size = ImageSize {
            width: side,
            height: side,
        };
        let most = count(dir, manifest, size)?;
        json["needs_of_largest"] = serde_json::to_value(most)?;
    }
    Ok(needs)
}

/// Needs of a picture of the package in `dir`: all its graphs loaded, one after the other; the largest buffer of a run of
/// any.
///
/// # Errors
/// When a graph cannot be planned.
fn count(dir: &Path, manifest: &Manifest, size: ImageSize) -> anyhow::Result<ModelNeeds> {
    let mut needs = ModelNeeds {
        max_buffer_size: 0,
        max_storage_buffer_binding_size: 0,
        memory_bytes: 0,
    };
    let mut loaded = 0;
    for (name, graph) in manifest.in_order() {
        let on_disk = OnDisk {
            dir,
            manifest,
            graph,
        };
        let bindings = on_disk.bindings(size);
        let cost = on_disk
            .cost(&bindings)
            .with_context(|| format!("the {name} cannot be run"))?;
        let ports = graph.inputs.iter().chain(&graph.outputs);
        let passed: u64 = ports.map(|port| bytes(port, &bindings)).sum();
        let tiles = if name == manifest.decoder.graph {
            in_tiles(&on_disk, size)?
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

fn bytes(port: &Port, bindings: &Bindings) -> u64 {
    let sizes = bindings.shape(port);
    port.dtype.bytes() * sizes.iter().map(|&n| n as u64).product::<u64>()
}

/// Bytes of the largest buffer of the decoder where it is run on tiles, which the pipeline does on devices without a larger
/// one; `None` where it cannot be.
fn in_tiles(decoder: &OnDisk<'_>, size: ImageSize) -> anyhow::Result<Option<u64>> {
    if !takes_any_size(&decoder.bytes()?) {
        return Ok(None);
    }
    let [c, h, w] = decoder.manifest.latents_of(size);
    let largest_buffer = |side: usize| {
        let open = |_: &str, place: usize| {
            let shape = [1, c, h.min(side), w.min(side)];
            shape.get(place).copied().unwrap_or(1)
        };
        // A graph that cannot be planned for other sizes is not run on tiles either.
        Some(decoder.cost_with(&open).ok()?.largest_buffer)
    };
    let sides = tile_sides([h, w]).into_iter();
    Ok(sides.filter_map(largest_buffer).min())
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
        let manifest = found.readable()?;
        for file in manifest.files() {
            if manifest
                .graphs
                .values()
                .any(|graph| uses(graph, &file.name))
            {
                package::verify_in(&found.dir, file)?;
            }
        }
        // The other members stay as they are, whatever format they are in.
        let mut json: Value = serde_json::from_slice(&read_manifest(&found.dir)?)?;
        ensure!(
            json.get("needs").is_some(),
            "{dir}: the manifest has no needs"
        );
        let needs = fill(&found.dir, manifest, &mut json).with_context(|| format!("{dir}"))?;
        let json = pretty(&json)?;
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

fn uses(graph: &Graph, file: &str) -> bool {
    graph.files().any(|used| used == file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

    fn package(change: impl Fn(&mut Value)) -> Manifest {
        let glyph = include_bytes!("../../../models/glyph/manifest.json");
        let mut manifest: Value = serde_json::from_slice(glyph).unwrap();
        change(&mut manifest);
        Manifest::parse(manifest.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_decoder_of_any_size_needs_what_its_tiles_need() {
        let size = ImageSize {
            width: 112,
            height: 80,
        };
        let mut manifest = package(|_| ());
        manifest.latents.channels = 4;
        manifest.latents.stride = 4;
        let port = |name: &str, shape: [&str; 4]| {
            serde_json::json!({"name": name, "dtype": "float32", "shape":
                shape.map(|dim| dim.parse::<usize>().map_or(Value::from(dim), Value::from))})
        };
        let graph = serde_json::json!({"file": "decoder.onnx", "inputs": [port("latent_sample", ["1", "4", "h", "w"])],
            "outputs": [port("sample", ["1", "3", "height", "width"])]});
        let dir = Path::new(DATA).join("crates/diffusion/tests/data/tiles");
        let decoder = OnDisk {
            dir: &dir,
            manifest: &manifest,
            graph: &serde_json::from_value(graph).unwrap(),
        };
        // Eight channels of floats for every pixel; tiles of 8 latents have 32 × 32 pixels.
        let whole = decoder.cost(&decoder.bindings(size)).unwrap();
        assert_eq!(whole.largest_buffer, 80 * 112 * 8 * 4);
        assert_eq!(in_tiles(&decoder, size).unwrap(), Some(32 * 32 * 8 * 4));
    }

    #[test]
    fn a_decoder_of_one_size_has_no_tiles() {
        let manifest = package(|_| ());
        let dir = Path::new(DATA).join("models/glyph");
        let decoder = OnDisk {
            dir: &dir,
            manifest: &manifest,
            graph: manifest.graph("decoder").unwrap(),
        };
        assert_eq!(in_tiles(&decoder, manifest.sizes.default).unwrap(), None);
    }
}
