//! Writing a package.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use diffusion::Manifest;
use diffusion::manifest::FORMAT;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::About;
use super::source::Source;
use crate::catalog::MANIFEST;
use crate::catalog::card_file::{CARD, CardFile, SampleFile};
use crate::models::needs::{self, Part, Sizes};
use crate::models::pretty;

/// A package being written: it takes its name in the models folder when it is finished, and goes if it is not.
pub(super) struct Unfinished {
    dir: tempfile::TempDir,
    target: PathBuf,
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
    let named = [
        ("text_encoder", &graphs.text_encoder),
        ("denoiser", &graphs.denoiser),
        ("decoder", &graphs.decoder),
    ];
    let mut ports = Vec::new();
    for (part, graph) in named {
        let file = format!("{part}.onnx");
        add(&file, &graph.bytes)?;
        let (inputs, outputs) = graph.ports(length).with_context(|| format!("the {part}"))?;
        let component = json!({"file": file, "inputs": inputs, "outputs": outputs});
        components.insert(part.to_owned(), component);
        ports.push((inputs, outputs));
    }
    let parts: Vec<Part<'_>> = named
        .iter()
        .zip(&ports)
        .map(|((name, graph), (inputs, outputs))| Part {
            name,
            inputs,
            outputs,
            onnx: &graph.bytes,
        })
        .collect();
    let sizes = Sizes {
        latents: graphs.latents,
        image: graphs.image,
    };
    let needs = needs::count(&parts, sizes)?;
    let (owner, _) = about.id.split_once('/').unwrap_or_default();
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
        "needs": needs,
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
