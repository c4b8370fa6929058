//! `demo-hub models add`: a package of the folder of a pipeline, as its author published it or as an ONNX export in any layout in use.

mod autoencoder;
mod bins;
mod checkpoint;
pub(super) mod claim;
mod download;
mod given;
mod graph;
mod json;
mod language;
mod layout;
mod look;
mod lora;
mod measure;
mod network;
mod pack;
mod pipeline;
pub(crate) mod report;
mod scheduler;
mod sentencepiece;
mod sizes;
mod smaller;
mod source;
mod t5;
mod tokenizer;
pub(super) mod trial;
mod wiring;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use architectures::Header;
use architectures::original::Prediction;
use diffusion::manifest::{ImageSize, Interval};
use protocol::{AdditionStage, KnownModel};

use crate::catalog::card_file::{CardFile, HubSnapshot, SampleFile};
use crate::catalog::hub::{HubModel, is_name};
use crate::catalog::known::Shelf;
use crate::config::{AddConfig, FromHub, Predicts, ProgressForm};
use checkpoint::{LaidOut, Like};
use claim::Claim;
pub(crate) use claim::DOWNLOADS;
use download::Download;
use given::Given;
use layout::Layout;
use lora::Lora;
use pack::Taking;
use pipeline::Defaults;
use report::Report;
use smaller::Choices;
use source::{Configuration, Said, Source};

/// Name of the sample picture.
const SAMPLE: &str = "example.png";
/// How deep the files of an export lie.
const DEPTH: usize = 2;

/// Pause before a claim is tried again.
const CLAIMED_PAUSE: Duration = Duration::from_millis(250);

/// Facts about the package beside its files.
struct About {
    id: String,
    name: String,
    summary: String,
    license: String,
    steps: u32,
    guidance: f32,
    guidance_interval: Option<Interval>,
}

pub(super) use download::Undescribed;

pub(super) fn run(config: AddConfig, report: &mut dyn Report) -> anyhow::Result<()> {
    let said = said(&config)?;
    let given = Given::read(&config.source)?;
    let id = match (&config.id, given.id()) {
        (Some(id), _) => id.clone(),
        (None, Some(id)) => id.to_owned(),
        (None, None) => {
            anyhow::bail!("what is on this disk has no id of its own: --id owner/name gives one")
        }
    };
    let named = id
        .split_once('/')
        .is_some_and(|(owner, name)| is_name(owner) && is_name(name));
    ensure!(named, "{id:?} is no id of the form owner/name");
    let local = given.id().is_none();
    ensure!(
        !local || config.from_hub.is_none(),
        "--from-hub is for models of the hub; {:?} is on this disk",
        config.source
    );
    if config.look {
        ensure!(
            matches!(given, Given::Hub { file: None, .. }),
            "a folder and a checkpoint in one file are not looked at: they are added or refused"
        );
        return look::run(&config, &said, &id, report);
    }
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
    // Of two runs that fetch a model, the second is told before it waits for anything.
    let mut claims = Vec::new();
    if !local {
        for id in BTreeSet::from([&id, &config.source]) {
            claims.push(claimed(&config, id, report)?);
        }
    }
    let opened = Opened::of(&config, &given, &said, report)?;
    let Opened { folder, layout, .. } = &opened;
    let download = opened.download.as_ref();
    let model = download.map(|download| &download.model);
    let configuration = Configuration::read(folder, layout, &said)?;
    report.stage(AdditionStage::Building)?;
    let source = Source::read(folder, layout, &said, configuration)?;
    for note in &source.notes {
        writeln!(report, "{note}")?;
    }
    let loras = Lora::read(&config.loras, &source.wiring)?;
    for lora in &loras {
        lora.report(report)?;
    }
    let usual = known(&config)?.map_or(source.defaults, |known| Defaults {
        steps: known.defaults.num_inference_steps,
        guidance: known.defaults.guidance_scale,
    });
    if usual != source.defaults {
        writeln!(
            report,
            "this model is known to take {} at guidance {}, which requests that leave them open get",
            protocol::counted(usual.steps, "step"),
            usual.guidance
        )?;
    }
    let about = About {
        name: config
            .name
            .clone()
            .or_else(|| id.split_once('/').map(|(_, name)| name.to_owned()))
            .unwrap_or_default(),
        summary: config.summary.clone(),
        license: license(&config, folder, model, opened.license.as_deref())?,
        steps: config.steps.unwrap_or(usual.steps),
        guidance: config.guidance.unwrap_or(usual.guidance),
        guidance_interval: config.guidance_interval,
        id,
    };
    let mut card = CardFile {
        id: about.id.clone(),
        hub_id: model.map(|model| format!("{}/{}", model.owner, model.name)),
        tags: model.map(|model| model.tags.clone()).unwrap_or_default(),
        hub: download.map(|download| HubSnapshot {
            fetched_at: now_ms(),
            model: download.model.clone(),
            revision: Some(download.revision.clone()),
        }),
        ..CardFile::default()
    };
    let taking = match local {
        true => {
            claims.push(Claim::take(models_dir, &about.id)?);
            Taking::Copy
        }
        false => Taking::Link,
    };
    claim::sweep(models_dir, &about.id)?;
    report.stage(match source.smaller().next() {
        Some(_) => AdditionStage::Shrinking,
        None => AdditionStage::Writing,
    })?;
    let package = pack::write(models_dir, &about, (&source, &loras), &card, taking)?;
    for file in package.authors(&source)? {
        writeln!(
            report,
            "{} is its author's file as it is, SHA-256 {}",
            file.name, file.sha256
        )?;
    }
    for packing in source.smaller() {
        let (before, after) = (packing.file.bytes_before(), packing.file.bytes());
        writeln!(
            report,
            "{} has weights of {} in {}, {:.1} MB of {:.1} MB",
            packing.component,
            packing.kind,
            packing.name,
            after as f64 / 1e6,
            before as f64 / 1e6
        )?;
    }
    report.stage(AdditionStage::Trying)?;
    let engines = trial::engines(report)?;
    let sample = config.sample_prompt.as_deref();
    let tried = trial::run(package.dir(), &engines, sample, report)?;
    if !said.weights.are_none() {
        let whole = Said {
            weights: Choices::default(),
            ..said
        };
        let configuration = Configuration::read(folder, layout, &whole)?;
        let pair = measure::Pair {
            dir: package.dir(),
            smaller: &source,
            whole: &Source::read(folder, layout, &whole, configuration)?,
        };
        card.weights = pair.measured(tried.engine, sample, report)?;
    }
    if tried.sample.is_some() {
        card.sample = Some(SampleFile {
            file: SAMPLE.to_owned(),
            prompt: config.sample_prompt.clone(),
        });
    }
    package.keep(&card, tried.sample.as_deref())?;
    if let (Some(from_hub), Some(download)) = (config.from_hub, download) {
        let files = package.address(|file| download.address(file))?;
        writeln!(report, "browsers fetch {} from the hub", files.join(", "))?;
        if from_hub == FromHub::Only {
            package.leave(&files)?;
            writeln!(
                report,
                "they are not kept here: the model runs in browsers alone"
            )?;
        }
    }
    let dir = package.finish()?;
    if !local {
        download::forget(&config);
    }
    writeln!(report, "{} is in {}", about.id, dir.display())?;
    Ok(())
}

/// Claims a model or package. A program that watches is not refused while another run is at it: that may be what is left of the
/// run before.
fn claimed(config: &AddConfig, id: &str, report: &mut dyn Report) -> anyhow::Result<Claim> {
    if config.progress == ProgressForm::Sentences {
        return Claim::take(&config.packages.models_dir, id);
    }
    let mut told = false;
    loop {
        if let Some(claim) = Claim::free(&config.packages.models_dir, id)? {
            return Ok(claim);
        }
        if !told {
            writeln!(report, "another run is adding {id}; it is waited for")?;
            told = true;
        }
        std::thread::sleep(CLAIMED_PAUSE);
    }
}

fn said(config: &AddConfig) -> anyhow::Result<Said> {
    let size = |text: &String| -> anyhow::Result<ImageSize> {
        let sides = text.split_once(['x', '×']);
        let sides = sides.and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let (width, height) =
            sides.with_context(|| format!("--size is {text:?}; it is written as 512x512"))?;
        Ok(ImageSize { width, height })
    };
    Ok(Said {
        pipeline: config.pipeline.clone(),
        latent_scale: config.latent_scale,
        size: config.size.as_ref().map(size).transpose()?,
        weights: Choices::of(&config.weights)?,
        components: config.components.clone(),
        prediction: config.prediction.map(|predicts| match predicts {
            Predicts::Epsilon => Prediction::Epsilon,
            Predicts::VPrediction => Prediction::Velocity,
        }),
    })
}

/// Removes what a run that was ended left of a package that it was writing; what it fetched stays.
///
/// # Errors
/// When another run is at it, or something cannot be removed.
pub(crate) fn tidy(models_dir: &Path, id: &str) -> anyhow::Result<()> {
    let _claim = Claim::take(models_dir, id)?;
    claim::sweep(models_dir, id)
}

/// What was given, on this disk.
struct Opened {
    folder: PathBuf,
    layout: Layout,
    download: Option<Download>,
    /// Licence that the file of a checkpoint states.
    license: Option<String>,
    /// Holds the small files of a checkpoint.
    _laid_out: Option<tempfile::TempDir>,
}

impl Opened {
    fn of(
        config: &AddConfig,
        given: &Given,
        said: &Said,
        report: &mut dyn Report,
    ) -> anyhow::Result<Self> {
        let whole = matches!(given, Given::File(_) | Given::Hub { file: Some(_), .. });
        ensure!(
            whole || (config.like.is_none() && said.prediction.is_none()),
            "--like and --prediction are for checkpoints in one file; a folder has its own configurations"
        );
        let like = like(config, report)?;
        let like = like.as_ref().map(Like::folder);
        let folder = |folder: &Path, download| {
            let folder = folder.to_owned();
            anyhow::Ok(Self {
                layout: Layout::new(files(&folder, DEPTH)?),
                folder,
                download,
                license: None,
                _laid_out: None,
            })
        };
        let (laid_out, download) = match given {
            Given::Folder(path) => return folder(path, None),
            Given::Hub { id, file: None } => {
                let download = download::fetch(config, id, said, report)?;
                return folder(&download.folder.clone(), Some(download));
            }
            Given::Hub {
                id,
                file: Some(file),
            } => {
                let both = download::fetch_checkpoint(config, [id, file], said, like, report)?;
                (both.0, Some(both.1))
            }
            Given::File(path) => {
                let laid_out = checkpoint::lay_out(path, &Header::read(path)?, said, like)?;
                (laid_out, None)
            }
        };
        let LaidOut {
            dir,
            layout,
            license,
            notes,
        } = laid_out;
        for note in notes {
            writeln!(report, "{note}")?;
        }
        Ok(Self {
            folder: dir.path().to_owned(),
            layout,
            download,
            license,
            _laid_out: Some(dir),
        })
    }
}

/// The model whose configurations are asked for.
fn like(config: &AddConfig, report: &mut dyn Report) -> anyhow::Result<Option<Like>> {
    let Some(like) = &config.like else {
        return Ok(None);
    };
    Ok(Some(match Given::read(like)? {
        Given::Folder(path) => Like::here(&path),
        Given::Hub { id, file: None } => {
            Like::fetched(download::configurations(config, &id, report)?)
        }
        Given::File(_) | Given::Hub { file: Some(_), .. } => {
            anyhow::bail!(
                "--like is {like:?}; it names a folder of diffusers or a model of the hub"
            )
        }
    }))
}

/// Paths of the files below `folder`, `depth` folders deep, relative to it.
fn files(folder: &Path, depth: usize) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = entry.path();
        if path.is_file() {
            found.push(name);
        } else if path.is_dir() && depth > 1 {
            let below = files(&path, depth - 1)?;
            found.extend(below.into_iter().map(|file| format!("{name}/{file}")));
        }
    }
    Ok(found)
}

/// The licence: as it is said, as the hub or the folder states it, as the file of a checkpoint does, or as it is known.
fn license(
    config: &AddConfig,
    folder: &Path,
    model: Option<&HubModel>,
    of_file: Option<&str>,
) -> anyhow::Result<String> {
    let stated = model.and_then(|model| model.license.as_ref());
    let of_hub = || {
        let stated = stated?;
        let own = stated.name.as_ref().filter(|_| stated.id == "other");
        Some(own.unwrap_or(&stated.id).clone())
    };
    let stated = config
        .license
        .clone()
        .or_else(of_hub)
        .or_else(|| source::license(folder))
        .or_else(|| of_file.map(str::to_owned));
    if let Some(stated) = stated {
        return Ok(stated);
    }
    let known = known(config)?.and_then(|known| known.license);
    known
        .map(|license| license.id)
        .context("no licence is stated: --license names it")
}

/// What is known of the model beside its author's files.
///
/// # Errors
/// When the models folder has a list of known models that cannot be read.
fn known(config: &AddConfig) -> anyhow::Result<Option<KnownModel>> {
    let shelf = Shelf::read(&config.packages.models_dir)?;
    Ok(shelf.given(&config.source).cloned())
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
