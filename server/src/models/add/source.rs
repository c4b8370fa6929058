//! A folder in the layout of diffusers, read and checked.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use diffusion::scheduler::SchedulerKind;
use serde_json::Value;

use super::graphs::Graphs;
use super::json::json;
use super::pipeline::Pipeline;
use super::tokenizer::Vocabulary;
use super::{autoencoder, graphs, scheduler, tokenizer};

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
        let pipeline = Pipeline::of(class).with_context(|| {
            let known = Pipeline::names();
            format!("model_index.json names the pipeline {class:?}; {known} can be packed")
        })?;
        ensure!(
            !folder.join("transformer").is_dir() || folder.join("unet").is_dir(),
            "the denoiser is a transformer; models with a unet can be packed"
        );
        let config = json(&folder.join("scheduler/scheduler_config.json"))?;
        let (scheduler, mut notes) = scheduler::read(&config, pipeline)?;
        let autoencoder = ["vae_decoder", "vae"]
            .map(|name| folder.join(name).join("config.json"))
            .into_iter()
            .find(|path| path.is_file());
        let autoencoder: Option<Value> = autoencoder.map(|path| json(&path)).transpose()?;
        let graphs = graphs::read(folder, autoencoder.as_ref(), pipeline, &mut notes)?;
        let (latent_scale, note) = autoencoder::scale(autoencoder.as_ref(), pipeline)?;
        notes.extend(note);
        let takes = tokenizer::Takes::from(&graphs);
        let vocabulary = tokenizer::read(&folder.join("tokenizer"), takes)?;
        Ok(Self {
            vocabulary,
            graphs,
            scheduler,
            latent_scale,
            notes,
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
