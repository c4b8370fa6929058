//! What a picture of a package takes on a GPU, counted from its graphs.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, ensure};
use diffusion::manifest::{Bindings, Graph, ImageSize, Port};
use diffusion::{AnyManifest, Manifest, STREAMED_WEIGHTS, package, tile_sides};
use onnx_gpu::Cost;
use onnx_gpu::proto::{Dim, Model};
use protocol::{LowMemoryNeeds, ModelNeeds};
use serde_json::Value;

use super::{pretty, selected};
use crate::catalog::work::{OnDisk, runs};
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

/// What every GPU with WebGPU is taken to hold: for less, nothing but the whole is counted.
const HELD_EVERYWHERE: u64 = 512 << 20;

/// Needs of a picture of the package in `dir`: all its graphs loaded, one after the other; the largest buffer of a run of
/// any. For a model of some size also what is needed with one graph at a time, and with layers streamed.
///
/// # Errors
/// When a graph cannot be planned.
fn count(dir: &Path, manifest: &Manifest, size: ImageSize) -> anyhow::Result<ModelNeeds> {
    let mut needs = ModelNeeds {
        max_buffer_size: 0,
        max_storage_buffer_binding_size: 0,
        memory_bytes: 0,
        one_at_a_time: None,
        streamed: None,
    };
    let mut loaded = 0;
    let mut parts = Parts::default();
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
        let within = on_disk.cost_within(&bindings, STREAMED_WEIGHTS)?;
        let ports = graph.inputs.iter().chain(&graph.outputs);
        let passed: u64 = ports.map(|port| bytes(port, &bindings)).sum();
        let tiles = if name == manifest.decoder.graph {
            in_tiles(&on_disk, size)?
        } else {
            None
        };
        let largest = tiles.map_or(cost.largest_buffer, |tiles| {
            cost.largest_buffer.min(tiles.largest_buffer)
        });
        needs.max_buffer_size = needs.max_buffer_size.max(largest);
        needs.memory_bytes = needs.memory_bytes.max(loaded + cost.load_bytes + passed);
        loaded += cost.total_bytes + passed;
        let [alone, within] = [cost, within].map(|cost| Part {
            // A decoder is then run on tiles, where that takes less.
            memory: tiles.map_or(cost.load_bytes, |tiles| cost.load_bytes.min(tiles.memory))
                + passed,
            stays: cost.constant_bytes,
            streamed: cost.streamed_bytes,
        });
        let run = Run {
            times: runs(manifest, bindings.rows),
            of: Kind::of(manifest, name),
        };
        parts.add([alone, within], run, passed);
    }
    needs.memory_bytes = needs.memory_bytes.max(loaded);
    needs.max_storage_buffer_binding_size = needs.max_buffer_size;
    if needs.memory_bytes > HELD_EVERYWHERE {
        let [one, streamed] = parts.needs;
        let least = one.memory_bytes.min(needs.memory_bytes);
        needs.one_at_a_time = Some(one).filter(|one| one.memory_bytes < needs.memory_bytes);
        needs.streamed = Some(streamed).filter(|streamed| streamed.memory_bytes < least);
    }
    Ok(needs)
}

/// When a graph is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Text encoders and the decoder.
    OnceAPicture,
    Denoiser,
    /// The autoencoder's encoder: where a picture begins with another one.
    Seldom,
}

impl Kind {
    fn of(manifest: &Manifest, name: &str) -> Self {
        let texts = manifest.conditioning.iter();
        if name == manifest.denoiser.graph {
            Self::Denoiser
        } else if name == manifest.decoder.graph || texts.into_iter().any(|run| run.graph == name) {
            Self::OnceAPicture
        } else {
            Self::Seldom
        }
    }
}

struct Run {
    /// For the prompts of a picture, or of a step.
    times: u64,
    of: Kind,
}

/// Bytes of a graph that is on the device alone.
#[derive(Clone, Copy)]
struct Part {
    /// While it is loaded or runs.
    memory: u64,
    /// Of weights that are brought once.
    stays: u64,
    /// Of weights that each run brings.
    streamed: u64,
}

/// What is needed with one graph at a time, and with a share of its weights.
struct Parts {
    needs: [LowMemoryNeeds; 2],
    /// What earlier graphs gave.
    carried: u64,
}

impl Default for Parts {
    fn default() -> Self {
        let nothing = LowMemoryNeeds {
            memory_bytes: 0,
            picture_bytes: 0,
            step_bytes: 0,
        };
        Self {
            needs: [nothing; 2],
            carried: 0,
        }
    }
}

impl Parts {
    fn add(&mut self, parts: [Part; 2], run: Run, passed: u64) {
        for (needs, part) in self.needs.iter_mut().zip(parts) {
            needs.memory_bytes = needs.memory_bytes.max(self.carried + part.memory);
            let streamed = run.times * part.streamed;
            match run.of {
                Kind::OnceAPicture => needs.picture_bytes += part.stays + streamed,
                Kind::Denoiser => {
                    needs.picture_bytes += part.stays;
                    needs.step_bytes += streamed;
                }
                Kind::Seldom => {}
            }
        }
        self.carried += passed;
    }
}

fn bytes(port: &Port, bindings: &Bindings) -> u64 {
    let sizes = bindings.shape(port);
    port.dtype.bytes() * sizes.iter().map(|&n| n as u64).product::<u64>()
}

/// Bytes of a decoder that is run on tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InTiles {
    /// The largest buffer of the smallest tiles.
    largest_buffer: u64,
    /// Memory of the tiles that the pipeline chooses to spare memory: the largest that take less than the whole.
    memory: u64,
}

/// What the decoder takes on tiles, which the pipeline runs it on where a device offers too little for the whole; `None` where it
/// cannot be.
fn in_tiles(decoder: &OnDisk<'_>, size: ImageSize) -> anyhow::Result<Option<InTiles>> {
    if !takes_any_size(&decoder.bytes()?) {
        return Ok(None);
    }
    let [c, h, w] = decoder.manifest.latents_of(size);
    let cost = |side: usize| {
        let open = |_: &str, place: usize| {
            let shape = [1, c, h.min(side), w.min(side)];
            shape.get(place).copied().unwrap_or(1)
        };
        // A graph that cannot be planned for other sizes is not run on tiles either.
        decoder.cost_with(&open).ok()
    };
    let whole = decoder.cost(&decoder.bindings(size))?.total_bytes;
    let sides: Vec<Cost> = tile_sides([h, w]).into_iter().filter_map(cost).collect();
    let low_memory = sides.iter().find(|cost| cost.total_bytes < whole);
    let memory = low_memory.map_or(whole, |cost| cost.load_bytes);
    let largest_buffer = sides.iter().map(|cost| cost.largest_buffer).min();
    Ok(largest_buffer.map(|largest_buffer| InTiles {
        largest_buffer,
        memory,
    }))
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
        let manifest = match found.readable()? {
            AnyManifest::Model(model) => model,
            // Parts of a picture are as large as the device allows.
            AnyManifest::Upscaler(_) => continue,
        };
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
        let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        writeln!(
            report,
            "{}: {} of memory, no buffer of more than {}",
            found.id(),
            mb(needs.memory_bytes),
            mb(needs.max_buffer_size)
        )?;
        if let Some(one) = needs.one_at_a_time {
            let memory = mb(one.memory_bytes);
            writeln!(report, "  one part at a time: {memory} of memory")?;
        }
        if let Some(streamed) = needs.streamed {
            let (memory, step) = (mb(streamed.memory_bytes), mb(streamed.step_bytes));
            writeln!(
                report,
                "  layers streamed: {memory} of memory, {step} brought to the GPU each step"
            )?;
        }
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
        let tiles = in_tiles(&decoder, size).unwrap().unwrap();
        assert_eq!(tiles.largest_buffer, 32 * 32 * 8 * 4);
        assert!(tiles.memory < whole.total_bytes, "{tiles:?} {whole:?}");
    }

    /// A text encoder of 10 (4 of it streamed), a denoiser of 100 (70 streamed) asked twice a step, a decoder of 5: by hand.
    #[test]
    fn parts_that_take_turns_need_the_largest_moment() {
        let mut parts = Parts::default();
        let run = |times, of| Run { times, of };
        let part = |memory, stays, streamed| Part {
            memory,
            stays,
            streamed,
        };
        let text = [part(12, 10, 0), part(8, 6, 4)];
        parts.add(text, run(2, Kind::OnceAPicture), 3);
        let denoiser = [part(130, 100, 0), part(60, 30, 70)];
        parts.add(denoiser, run(2, Kind::Denoiser), 1);
        parts.add([part(9, 5, 0); 2], run(1, Kind::OnceAPicture), 1);
        parts.add([part(200, 150, 0); 2], run(1, Kind::Seldom), 1);
        let [one, streamed] = parts.needs;
        // The largest part, what the encoder gave and what the others passed on.
        assert_eq!(one.memory_bytes, 200 + 3 + 1 + 1);
        assert_eq!((one.picture_bytes, one.step_bytes), (10 + 100 + 5, 0));
        assert_eq!(streamed.picture_bytes, 6 + 2 * 4 + 30 + 5);
        assert_eq!(streamed.step_bytes, 2 * 70);
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
