//! Writing a package.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use diffusion::manifest::{FORMAT, Port, PortType};
use diffusion::{Manifest, tile_sides};
use onnx_gpu::dry_cost;
use onnx_gpu::kernels::AdapterClass;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::About;
use super::graphs::{Graph, Graphs};
use super::source::Source;
use crate::catalog::MANIFEST;
use crate::catalog::card_file::{CARD, CardFile, SampleFile};
use crate::catalog::work::cost_with;

/// A package being written: it takes its name in the models folder when it is finished, and goes if it is not.
pub(super) struct Unfinished {
    dir: tempfile::TempDir,
    target: PathBuf,
}

/// What a run of a graph needs.
struct Need {
    largest_buffer: u64,
    total_bytes: u64,
}

/// Writes the package's files beside those of `models_dir`.
pub(super) fn write(
    models_dir: &Path,
    about: &About,
    source: &Source,
    card: &CardFile,
) -> anyhow::Result<Unfinished> {
    let slug = about.id.replace('/', "--");
    let target = models_dir.join(&slug);
    ensure!(!target.exists(), "{} is there already", target.display());
    let dir = tempfile::Builder::new()
        .prefix(".adding-")
        .tempdir_in(models_dir)
        .with_context(|| format!("writing to {}", models_dir.display()))?;
    let settings = &source.vocabulary.settings;
    let length = settings.max_length;
    let graphs = &source.graphs;
    let mut files = Vec::new();
    let mut add = |name: &str, bytes: &[u8]| -> anyhow::Result<()> {
        let path = dir.path().join(name);
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
        let sha256 = hex::encode(Sha256::digest(bytes));
        files.push(json!({"name": name, "bytes": bytes.len(), "sha256": sha256}));
        Ok(())
    };
    add(&settings.file, &source.vocabulary.json)?;
    let mut components = serde_json::Map::new();
    let mut needs: Vec<Need> = Vec::new();
    for (part, graph) in [
        ("text_encoder", &graphs.text_encoder),
        ("denoiser", &graphs.denoiser),
        ("decoder", &graphs.decoder),
    ] {
        let file = format!("{part}.onnx");
        add(&file, &graph.bytes)?;
        let (inputs, outputs) = graph.ports(length).with_context(|| format!("the {part}"))?;
        let mut need = need(graph, length).with_context(|| format!("the {part} cannot be run"))?;
        if part == "decoder"
            && let Some(buffer) = in_tiles(graphs)
        {
            need.largest_buffer = need.largest_buffer.min(buffer);
        }
        needs.push(need);
        let component = json!({"file": file, "inputs": inputs, "outputs": outputs});
        components.insert(part.to_owned(), component);
    }
    let (owner, _) = about.id.split_once('/').unwrap_or_default();
    let largest = needs
        .iter()
        .map(|need| need.largest_buffer)
        .max()
        .unwrap_or_default();
    let [height, width] = graphs.image;
    let manifest = json!({
        "format": FORMAT,
        "id": about.id,
        "name": about.name,
        "creator": owner,
        "version": "1",
        "summary": about.summary,
        "license": about.license,
        "example_prompts": [],
        "image": {"width": width, "height": height},
        "latents": graphs.latents,
        "tokenizer": settings,
        "scheduler": source.scheduler,
        "wiring": "stable-diffusion",
        "latent_scale": source.latent_scale,
        "components": components,
        "defaults": {"num_inference_steps": about.steps, "guidance_scale": about.guidance},
        "limits": {"min_steps": 1, "max_steps": about.steps.max(100), "min_guidance": 1.0, "max_guidance": about.guidance.max(20.0)},
        "needs": {
            "max_buffer_size": largest,
            "max_storage_buffer_binding_size": largest,
            "memory_bytes": needs.iter().map(|need| need.total_bytes).sum::<u64>()
        },
        "files": files
    });
    let json = pretty(&manifest)?;
    Manifest::parse(&json)?;
    fs::write(dir.path().join(MANIFEST), json)?;
    fs::write(dir.path().join(CARD), pretty(card)?)?;
    Ok(Unfinished { dir, target })
}

impl Unfinished {
    /// Where it is written.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Adds a sample picture to the card.
    pub fn keep_sample(
        &self,
        card: &CardFile,
        png: &[u8],
        sample: SampleFile,
    ) -> anyhow::Result<()> {
        fs::write(self.dir().join(&sample.file), png)?;
        let card = CardFile {
            sample: Some(sample),
            ..card.clone()
        };
        fs::write(self.dir().join(CARD), pretty(&card)?)?;
        Ok(())
    }

    /// Gives it its name; gives the folder.
    pub fn finish(self) -> anyhow::Result<PathBuf> {
        let Self { dir, target } = self;
        // Temporary folders are their owner's alone; a server may be another user.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        }
        let written = dir.keep();
        fs::rename(&written, &target)
            .with_context(|| format!("renaming {} to {}", written.display(), target.display()))?;
        Ok(target)
    }
}

/// Memory of a run, with the open dimensions as the package uses them, and of what is passed to and from it.
fn need(graph: &Graph, length: usize) -> anyhow::Result<Need> {
    let (inputs, outputs) = graph.ports(length)?;
    let cost = cost_with(&inputs, &graph.bytes)?;
    let passed: u64 = inputs.iter().chain(&outputs).map(bytes).sum();
    Ok(Need {
        largest_buffer: cost.largest_buffer,
        total_bytes: cost.total_bytes + passed,
    })
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
fn in_tiles(graphs: &Graphs) -> Option<u64> {
    let [_, h, w] = graphs.latents;
    let [height, width] = graphs.image;
    let decoder = &graphs.decoder;
    if !decoder.takes_any_size() || !height.is_multiple_of(h) || !width.is_multiple_of(w) {
        return None;
    }
    let largest_buffer = |side: usize| {
        let open = |_: &str, place: usize| {
            let [c, h, w] = graphs.latents;
            [1, c, h.min(side), w.min(side)]
                .get(place)
                .copied()
                .unwrap_or(1)
        };
        // A graph that cannot be planned for other sizes is not run on tiles either.
        let cost = dry_cost(&decoder.bytes, AdapterClass::Hardware, &open).ok()?;
        Some(cost.largest_buffer)
    };
    tile_sides([h, w])
        .into_iter()
        .filter_map(largest_buffer)
        .min()
}

fn pretty(value: &impl serde::Serialize) -> anyhow::Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty::<Value>(&serde_json::to_value(value)?)?;
    json.push(b'\n');
    Ok(json)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::models::add::graphs;

    const DIFFUSION: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/diffusion/tests/data/tiles"
    );
    const GLYPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/glyph");

    /// The graphs of a small package, with a decoder.
    fn read(decoder: &str) -> Graphs {
        let dir = tempfile::tempdir().unwrap();
        for (folder, file) in [
            ("text_encoder", format!("{DIFFUSION}/text_encoder.onnx")),
            ("unet", format!("{DIFFUSION}/denoiser.onnx")),
            ("vae_decoder", decoder.to_owned()),
        ] {
            let folder = dir.path().join(folder);
            fs::create_dir(&folder).unwrap();
            fs::copy(file, folder.join("model.onnx")).unwrap();
        }
        graphs::read(dir.path(), &json!({"block_out_channels": [4, 8, 8]})).unwrap()
    }

    #[test]
    fn a_decoder_of_any_size_needs_what_its_tiles_need() {
        let graphs = read(&format!("{DIFFUSION}/decoder.onnx"));
        assert_eq!((graphs.latents, graphs.image), ([4, 20, 28], [80, 112]));
        let whole = need(&graphs.decoder, 12).unwrap().largest_buffer;
        // Eight channels of floats for every pixel; tiles of 8 latents have 32 × 32 pixels.
        assert_eq!(whole, 80 * 112 * 8 * 4);
        assert_eq!(in_tiles(&graphs), Some(32 * 32 * 8 * 4));
    }

    #[test]
    fn a_decoder_of_one_size_has_no_tiles() {
        let graphs = read(&format!("{GLYPH}/decoder.onnx"));
        assert_eq!(in_tiles(&graphs), None);
    }
}
