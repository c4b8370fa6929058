//! `demo-hub models add`: a package of an ONNX export in the folder layout of diffusers.

mod autoencoder;
mod download;
mod graphs;
mod json;
mod pack;
mod pipeline;
mod scheduler;
mod source;
mod tokenizer;

use std::io::Write;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use diffusion::{Cancel, CpuEngine, Package, Pipeline, png};
use futures::executor::block_on;
use protocol::GenerationRequest;

use crate::catalog::card_file::{CardFile, HubSnapshot, SampleFile};
use crate::catalog::hub::{HubModel, is_name};
use crate::config::AddConfig;
use source::Source;

/// Seed of the picture that shows that the package works.
const SAMPLE_SEED: u64 = 1;
/// Prompt of the step that is tried where no sample is asked for.
const TRIAL_PROMPT: &str = "a red apple";
/// Name of the sample picture.
const SAMPLE: &str = "example.png";

/// Facts about the package beside its files.
struct About {
    id: String,
    name: String,
    summary: String,
    license: String,
    steps: u32,
    guidance: f32,
}

pub(super) fn run(config: AddConfig, report: &mut dyn Write) -> anyhow::Result<()> {
    let local = Path::new(&config.source).is_dir();
    let download;
    let (folder, model) = if local {
        (Path::new(&config.source), None)
    } else {
        download = download::fetch(&config, report)?;
        (&*download.folder, Some(&download.model))
    };
    let id = match (&config.id, model) {
        (Some(id), _) => id.clone(),
        (None, Some(_)) => config.source.clone(),
        (None, None) => anyhow::bail!("a folder has no id of its own: --id owner/name gives one"),
    };
    let valid = id
        .split_once('/')
        .is_some_and(|(owner, name)| is_name(owner) && is_name(name));
    ensure!(valid, "{id:?} is no id of the form owner/name");
    let models_dir = &config.packages.models_dir;
    if let Some(found) = super::packages(models_dir)?
        .iter()
        .find(|found| found.id() == id)
    {
        anyhow::bail!(
            "{} holds a package with the id {id}; `demo-hub models remove {id}` removes it",
            found.dir.display()
        );
    }
    let source = Source::read(folder)?;
    for note in &source.notes {
        writeln!(report, "{note}")?;
    }
    let about = About {
        name: config
            .name
            .clone()
            .or_else(|| id.split_once('/').map(|(_, name)| name.to_owned()))
            .unwrap_or_default(),
        summary: config.summary.clone(),
        license: license(&config, folder, model)?,
        steps: config.steps,
        guidance: config.guidance,
        id,
    };
    let card = CardFile {
        id: about.id.clone(),
        hub_id: model.map(|model| format!("{}/{}", model.owner, model.name)),
        tags: model.map(|model| model.tags.clone()).unwrap_or_default(),
        hub: model.map(|model| HubSnapshot {
            fetched_at: now_ms(),
            model: model.clone(),
        }),
        ..CardFile::default()
    };
    let package = pack::write(models_dir, &about, &source, &card)?;
    let sample = try_out(package.dir(), &config)?;
    match &sample {
        Some(picture) => package.keep_sample(
            &card,
            picture,
            SampleFile {
                file: SAMPLE.to_owned(),
                prompt: config.sample_prompt.clone(),
            },
        )?,
        None => writeln!(report, "one step of a picture was made to try it out")?,
    }
    let dir = package.finish()?;
    if !local {
        download::forget(&config);
    }
    writeln!(report, "{} is in {}", about.id, dir.display())?;
    Ok(())
}

/// Makes a picture of the package: what cannot be generated is no model.
fn try_out(dir: &Path, config: &AddConfig) -> anyhow::Result<Option<Vec<u8>>> {
    let package = Package::from_dir(dir)?;
    let model = package.manifest.id.clone();
    let pipeline = block_on(Pipeline::load(package, &CpuEngine::new()))
        .context("the package cannot be loaded")?;
    let request = GenerationRequest {
        model,
        prompt: config
            .sample_prompt
            .clone()
            .unwrap_or_else(|| TRIAL_PROMPT.to_owned()),
        negative_prompt: String::new(),
        seed: Some(SAMPLE_SEED),
        num_inference_steps: config.sample_prompt.is_none().then_some(1),
        guidance_scale: None,
    };
    let started = Instant::now();
    let picture = block_on(pipeline.generate(&request, &mut |_| (), &Cancel::default()))
        .context("the package makes no picture")?;
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let recipe = pipeline.recipe(&request, "server", milliseconds);
    let kept = config.sample_prompt.is_some();
    Ok(kept.then(|| png::encode(&picture, &recipe)).transpose()?)
}

fn license(config: &AddConfig, folder: &Path, model: Option<&HubModel>) -> anyhow::Result<String> {
    let stated = model.and_then(|model| model.license.as_ref());
    let of_hub = || {
        let stated = stated?;
        let own = stated.name.as_ref().filter(|_| stated.id == "other");
        Some(own.unwrap_or(&stated.id).clone())
    };
    config
        .license
        .clone()
        .or_else(of_hub)
        .or_else(|| source::license(folder))
        .context("no licence is stated: --license names it")
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
