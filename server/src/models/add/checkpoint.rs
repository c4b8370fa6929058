//! Checkpoints in one file: the folder that diffusers would keep of one is laid out, without the weights, which stay in the file.

mod clip;
mod scheduler;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use architectures::Header;
use architectures::original::{Checkpoint, Component, Facts, Family, Prediction};
use serde_json::{Value, json};

use super::layout::Layout;
use super::source::Said;
use crate::models::pretty;

/// What a file without a resolution was trained on.
const SIDE_OF_FIRST: u32 = 512;
const SIDE_OF_VELOCITY: u32 = 768;
const SIDE_OF_XL: u32 = 1024;
/// Pixels per latent of all of them.
const STRIDE: u32 = 8;
/// Sides that a resolution may say.
const SIDES: std::ops::RangeInclusive<u32> = 64..=4096;

/// The folder of a checkpoint.
pub(super) struct LaidOut {
    /// Holds its small files for as long as it lives.
    pub dir: tempfile::TempDir,
    pub layout: Layout,
    /// Licence that the file states.
    pub license: Option<String>,
    pub notes: Vec<String>,
}

/// Lays out the folder of the checkpoint that lies, or will lie, at `file`; `like` is a folder whose configurations, tokenizers and
/// scheduler are taken instead of those of the checkpoint's family.
///
/// # Errors
/// What the checkpoint is instead, or what it does not say and has to be said, by name.
pub(super) fn lay_out(
    file: &Path,
    header: &Header,
    said: &Said,
    like: Option<&Path>,
) -> anyhow::Result<LaidOut> {
    let path = file
        .to_str()
        .with_context(|| format!("the name of {} is no text", file.display()))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let checkpoint = Checkpoint::read(&name, header)?;
    let dir = tempfile::tempdir().context("making a folder for configurations")?;
    let mut files = match like {
        Some(like) => taken(like)?,
        None => of_family(&checkpoint, &name, said)?,
    };
    if like.is_some() {
        predict(&mut files, checkpoint.facts(), &name, said)?;
    }
    for (path, bytes) in &files {
        let path = dir.path().join(path);
        let beside = path.parent().unwrap_or(dir.path());
        fs::create_dir_all(beside)?;
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    }
    let folders = checkpoint.components().map(Component::folder);
    let layout = Layout::new(files.into_keys()).over(path, folders.collect());
    Ok(LaidOut {
        dir,
        layout,
        license: checkpoint.facts().license.clone(),
        notes: vec![format!("{name} is {}", described(checkpoint.facts()))],
    })
}

fn described(facts: &Facts) -> String {
    let family = match facts.family {
        Family::First => "Stable Diffusion 1",
        Family::Second => "Stable Diffusion 2",
        Family::Xl => "Stable Diffusion XL",
    };
    let inpainting = if facts.inpainting {
        ", for inpainting"
    } else {
        ""
    };
    format!("a checkpoint of {family}{inpainting}")
}

type Files = BTreeMap<String, Vec<u8>>;

const INDEX: &str = "model_index.json";
const SCHEDULER: &str = "scheduler/scheduler_config.json";

/// The small files of another model's folder.
fn taken(like: &Path) -> anyhow::Result<Files> {
    let layout = Layout::new(super::files(like, super::DEPTH)?);
    let mut files = Files::new();
    for path in layout.small() {
        // Its licence is not that of these weights.
        if path == "README.md" {
            continue;
        }
        let from = like.join(&path);
        files.insert(path, super::json::bytes(&from)?);
    }
    ensure!(
        files.contains_key(INDEX),
        "--like {} has no {INDEX}; it is no folder of diffusers",
        like.display()
    );
    Ok(files)
}

/// The files that diffusers' folder of a family has.
fn of_family(checkpoint: &Checkpoint, name: &str, said: &Said) -> anyhow::Result<Files> {
    let facts = checkpoint.facts();
    let prediction = prediction(facts, name, said)?;
    let class = match (facts.family, facts.inpainting) {
        (Family::Xl, false) => "StableDiffusionXLPipeline",
        (Family::Xl, true) => "StableDiffusionXLInpaintPipeline",
        (Family::First | Family::Second, false) => "StableDiffusionPipeline",
        (Family::First | Family::Second, true) => "StableDiffusionInpaintPipeline",
    };
    let mut files = Files::new();
    let mut add = |path: &str, value: &Value| -> anyhow::Result<()> {
        files.insert(path.to_owned(), pretty(value)?);
        Ok(())
    };
    add(INDEX, &json!({"_class_name": class}))?;
    add(SCHEDULER, &scheduler::of(facts, prediction))?;
    for component in checkpoint.components() {
        let mut config = checkpoint.config(component)?;
        if component == Component::Unet {
            config["sample_size"] = json!(side(facts, prediction) / STRIDE);
        }
        add(&format!("{}/config.json", component.folder()), &config)?;
    }
    // OpenCLIP fills texts up with the first token, CLIP with the last.
    let fillers: &[&str] = match facts.family {
        Family::First => &[diffusion::tokenizer::clip::END],
        Family::Second => &["!"],
        Family::Xl => &[diffusion::tokenizer::clip::END, "!"],
    };
    for (folder, filler) in ["tokenizer", "tokenizer_2"].into_iter().zip(fillers) {
        for (file, bytes) in clip::files(filler)? {
            files.insert(format!("{folder}/{file}"), bytes);
        }
    }
    Ok(files)
}

/// Width and height of the pictures that it was trained on.
fn side(facts: &Facts, prediction: Prediction) -> u32 {
    let stated = facts.resolution.filter(|[width, height]| {
        width == height && SIDES.contains(width) && width.is_multiple_of(STRIDE)
    });
    match (stated, facts.family, prediction) {
        (Some([side, _]), ..) => side,
        (None, Family::Xl, _) => SIDE_OF_XL,
        (None, Family::Second, Prediction::Velocity) => SIDE_OF_VELOCITY,
        (None, Family::First | Family::Second, _) => SIDE_OF_FIRST,
    }
}

/// What the denoiser answers with: what is said, what the file says, or what all models of the family have in common.
fn prediction(facts: &Facts, name: &str, said: &Said) -> anyhow::Result<Prediction> {
    if let Some(known) = said.prediction.or(facts.prediction) {
        return Ok(known);
    }
    match facts.family {
        // Those of it that answer otherwise say so, or no program could use them.
        Family::First | Family::Xl => Ok(Prediction::Epsilon),
        Family::Second if facts.inpainting => Ok(Prediction::Epsilon),
        Family::Second => bail!(
            "{name} does not say what its denoiser answers with, which is not guessed: models of Stable Diffusion 2 for pictures of 512² \
             (base) answer with the noise, those for 768² with a velocity; --prediction epsilon or --prediction v_prediction says it"
        ),
    }
}

/// Name of a prediction in diffusers.
fn named(prediction: Prediction) -> &'static str {
    match prediction {
        Prediction::Epsilon => "epsilon",
        Prediction::Velocity => "v_prediction",
    }
}

/// Holds what a file says of its denoiser's answer against another model's scheduler.
fn predict(files: &mut Files, facts: &Facts, name: &str, said: &Said) -> anyhow::Result<()> {
    let Some(bytes) = files.get(SCHEDULER) else {
        return Ok(());
    };
    let mut config: Value =
        serde_json::from_slice(bytes).with_context(|| format!("{SCHEDULER} is not readable"))?;
    let theirs = config["prediction_type"].as_str().unwrap_or("epsilon");
    match (said.prediction, facts.prediction) {
        (Some(said), _) => {
            config["prediction_type"] = json!(named(said));
            files.insert(SCHEDULER.to_owned(), pretty(&config)?);
        }
        (None, Some(own)) => ensure!(
            named(own) == theirs,
            "{name} says that its denoiser answers with {}, the model of --like answers with {theirs}; --prediction says which it is",
            named(own)
        ),
        (None, None) => {}
    }
    Ok(())
}

/// The folder of `--like`: one on this disk, or the small files of a model of the hub.
pub(super) struct Like {
    folder: PathBuf,
    _fetched: Option<tempfile::TempDir>,
}

impl Like {
    /// A folder that is there.
    pub fn here(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            _fetched: None,
        }
    }

    /// What was fetched.
    pub fn fetched(dir: tempfile::TempDir) -> Self {
        Self {
            folder: dir.path().to_owned(),
            _fetched: Some(dir),
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

#[cfg(test)]
mod tests;
