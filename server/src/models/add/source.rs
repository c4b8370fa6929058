//! A folder in the layout of diffusers, read and checked.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use diffusion::scheduler::SchedulerKind;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::graphs::Graphs;
use super::tokenizer::Vocabulary;
use super::{graphs, scheduler, tokenizer};

/// Pipelines whose graphs are wired as Stable Diffusion's.
const PIPELINES: [&str; 3] = [
    "StableDiffusionPipeline",
    "OnnxStableDiffusionPipeline",
    "ORTStableDiffusionPipeline",
];
/// Largest JSON file that is read, in bytes.
const MAX_JSON_BYTES: u64 = 64 << 20;
/// Scale of the latents where the autoencoder's configuration names none: the default of diffusers' `AutoencoderKL`.
const DEFAULT_SCALING_FACTOR: f64 = 0.18215;

/// Everything of the folder that a package is made of.
pub(super) struct Source {
    pub graphs: Graphs,
    pub scheduler: SchedulerKind,
    pub vocabulary: Vocabulary,
    pub latent_scale: f32,
    /// What the person who adds it should know.
    pub notes: Vec<String>,
}

impl Source {
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let index: Value = json(&folder.join("model_index.json"))?;
        let class = index
            .get("_class_name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        ensure!(
            PIPELINES.contains(&class),
            "model_index.json names the pipeline {class:?}; {} can be packed",
            PIPELINES.join(", ")
        );
        ensure!(
            !folder.join("transformer").is_dir() || folder.join("unet").is_dir(),
            "the denoiser is a transformer; models with a unet can be packed"
        );
        let (scheduler, note) =
            scheduler::read(&json(&folder.join("scheduler/scheduler_config.json"))?)?;
        let autoencoder = ["vae_decoder", "vae"]
            .map(|name| folder.join(name).join("config.json"))
            .into_iter()
            .find(|path| path.is_file());
        let autoencoder: Value = match autoencoder {
            Some(path) => json(&path)?,
            None => Value::Null,
        };
        if let Some(shift) = autoencoder.get("shift_factor").and_then(Value::as_f64) {
            ensure!(
                shift == 0.0,
                "the autoencoder shifts its latents; such models cannot be packed"
            );
        }
        let scale = autoencoder.get("scaling_factor").and_then(Value::as_f64);
        let graphs = graphs::read(folder, &autoencoder)?;
        let vocabulary = tokenizer::read(&folder.join("tokenizer"), graphs.length)?;
        Ok(Self {
            vocabulary,
            graphs,
            scheduler,
            latent_scale: scale.unwrap_or(DEFAULT_SCALING_FACTOR) as f32,
            notes: note.into_iter().collect(),
        })
    }
}

/// The `license` of the front matter of the folder's README.md, as the hub keeps it.
pub(super) fn license(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join("README.md")).ok()?;
    let matter = text.strip_prefix("---")?.split_once("\n---")?.0;
    let value = |key: &str| {
        let line = matter
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        let value = line.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    match value("license")?.as_str() {
        "other" => value("license_name"),
        license => Some(license.to_owned()),
    }
}

/// Reads a JSON file of bounded size.
pub(super) fn json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let bytes = bytes(path)?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not readable", path.display()))
}

pub(super) fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let Ok(meta) = fs::metadata(path) else {
        bail!("{} is missing", path.display());
    };
    ensure!(
        meta.len() <= MAX_JSON_BYTES,
        "{} has {} bytes, more than {MAX_JSON_BYTES}",
        path.display(),
        meta.len()
    );
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_licence_is_read_of_the_front_matter() {
        let dir = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            fs::write(dir.path().join("README.md"), text).unwrap();
            license(dir.path())
        };
        assert_eq!(
            read("---\ntags:\n- x\nlicense: mit\n---\n# A").as_deref(),
            Some("mit")
        );
        let other = "---\nlicense: other\nlicense_name: \"own-license\"\n---\n";
        assert_eq!(read(other).as_deref(), Some("own-license"));
        assert_eq!(read("license: mit\n"), None);
        assert_eq!(read("---\nlicense:\n---\n"), None);
    }
}
