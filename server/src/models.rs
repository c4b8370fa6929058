//! `demo-hub models`: packages added, listed, checked, planned anew and removed.

pub(crate) mod add;
mod needs;
mod upscaler;

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use diffusion::{AnyManifest, FileEntry, Manifest, package};
use protocol::Addresses;

use crate::catalog::MANIFEST;
use crate::catalog::card_file::CARD;
use crate::catalog::elsewhere::Elsewhere;
use crate::config::{AddConfig, ModelsCommand, ModelsConfig, ProgressForm};
use add::report::{Event, Events, Sentences};

/// Files that may lie beside those that a manifest lists.
const BESIDE: [&str; 4] = [MANIFEST, CARD, Addresses::FILE, "README.md"];

/// Runs a command and says on `report` what was done.
///
/// # Errors
/// A sentence on what is wrong.
pub fn run(config: ModelsConfig, report: &mut dyn Write) -> anyhow::Result<()> {
    match config.command {
        ModelsCommand::Add(config) => add(*config, report),
        ModelsCommand::AddUpscaler(config) => upscaler::add(&config, report),
        ModelsCommand::List(config) => list(&config.models_dir, report),
        ModelsCommand::Verify(config) => verify(&config.packages.models_dir, &config.ids, report),
        ModelsCommand::Needs(config) => {
            needs::write(&config.packages.models_dir, &config.ids, report)
        }
        ModelsCommand::Remove(config) => remove(&config.packages.models_dir, &config.id, report),
    }
}

fn add(config: AddConfig, report: &mut dyn Write) -> anyhow::Result<()> {
    if config.progress == ProgressForm::Sentences {
        return add::run(config, &mut Sentences(report));
    }
    let mut events = Events::new(report);
    let run = add::run(config, &mut events);
    if let Err(error) = &run {
        let trouble = error.downcast_ref::<add::Undescribed>();
        events.say(&Event::Failed {
            reason: format!("{error:#}"),
            trouble: trouble.map(|undescribed| undescribed.trouble.clone()),
        })?;
    }
    run
}

/// What the names of packages begin with while they are removed.
const REMOVING: &str = ".removing-";

/// A folder with a manifest.
struct Found {
    dir: PathBuf,
    manifest: anyhow::Result<AnyManifest>,
}

impl Found {
    fn id(&self) -> &str {
        self.manifest.as_ref().map_or("?", AnyManifest::id)
    }

    fn readable(&self) -> anyhow::Result<&AnyManifest> {
        self.manifest
            .as_ref()
            .map_err(|error| anyhow::anyhow!("{error:#}"))
    }
}

/// The folders of `models_dir` that have a manifest, in the order of their names.
fn packages(models_dir: &Path) -> anyhow::Result<Vec<Found>> {
    let entries = fs::read_dir(models_dir)
        .with_context(|| format!("reading the models folder {}", models_dir.display()))?;
    let mut dirs: Vec<PathBuf> = entries
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    dirs.retain(|dir| crate::catalog::is_package(dir));
    dirs.sort();
    let read = |dir: &Path| -> anyhow::Result<AnyManifest> {
        let json = crate::catalog::read_manifest(dir)?;
        Ok(AnyManifest::parse(&json)?)
    };
    Ok(dirs
        .into_iter()
        .map(|dir| Found {
            manifest: read(&dir),
            dir,
        })
        .collect())
}

fn list(models_dir: &Path, report: &mut dyn Write) -> anyhow::Result<()> {
    for found in packages(models_dir)? {
        let dir = found.dir.display();
        let manifest = match &found.manifest {
            Ok(manifest) => manifest,
            Err(error) => {
                writeln!(report, "?  {dir}: {error:#}")?;
                continue;
            }
        };
        let bytes: u64 = manifest.files().map(|file| file.bytes).sum();
        let (version, license, makes) = match manifest {
            AnyManifest::Model(model) => {
                let size = model.sizes.default;
                let makes = format!("{}×{}", size.width, size.height);
                (&model.version, &model.license, makes)
            }
            AnyManifest::Upscaler(upscaler) => {
                let factors = upscaler
                    .enlargements
                    .iter()
                    .map(|one| format!("×{}", one.factor));
                let factors: Vec<String> = factors.collect();
                let makes = format!("larger by {}", factors.join(", "));
                (&upscaler.version, &upscaler.license, makes)
            }
        };
        writeln!(
            report,
            "{}  {version}  {license}  {:.1} MB  {makes}  {dir}",
            manifest.id(),
            bytes as f64 / 1e6,
        )?;
        if let AnyManifest::Model(model) = manifest {
            list_loras(model, report)?;
        }
    }
    Ok(())
}

fn list_loras(manifest: &Manifest, report: &mut dyn Write) -> anyhow::Result<()> {
    for lora in &manifest.loras {
        let when = match lora.weight {
            Some(weight) => format!("at {weight} unless the prompt says otherwise"),
            None => "where the prompt says so".to_owned(),
        };
        writeln!(report, "  <lora:{}:…>  {when}", lora.name)?;
    }
    Ok(())
}

/// The packages of these ids; all, where none is given.
fn selected(models_dir: &Path, ids: &[String]) -> anyhow::Result<Vec<Found>> {
    let mut all = packages(models_dir)?;
    for id in ids {
        ensure!(
            all.iter().any(|found| found.id() == id),
            "no package in {} has the id {id:?}",
            models_dir.display()
        );
    }
    all.retain(|found| ids.is_empty() || ids.iter().any(|id| id == found.id()));
    Ok(all)
}

fn pretty(value: &impl serde::Serialize) -> anyhow::Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(value)?;
    json.push(b'\n');
    Ok(json)
}

fn verify(models_dir: &Path, ids: &[String], report: &mut dyn Write) -> anyhow::Result<()> {
    let mut damaged = 0;
    for found in &selected(models_dir, ids)? {
        match check(found) {
            Ok((files, 0)) => writeln!(report, "{}: {files} files are as listed", found.id())?,
            Ok((files, absent)) => writeln!(
                report,
                "{}: {files} files are as listed, {absent} are on the hub alone",
                found.id()
            )?,
            Err(error) => {
                damaged += 1;
                writeln!(report, "{}: {error:#}", found.dir.display())?;
            }
        }
    }
    ensure!(damaged == 0, "{damaged} packages are damaged");
    Ok(())
}

/// How many files are as the manifest lists them, and how many are elsewhere.
fn check(found: &Found) -> anyhow::Result<(usize, usize)> {
    let (mut here, mut absent) = (0, 0);
    let manifest = found.readable()?;
    let elsewhere = match manifest {
        AnyManifest::Model(model) => Elsewhere::read(&found.dir, model)?,
        AnyManifest::Upscaler(_) => Elsewhere::default(),
    };
    for file in manifest.files() {
        if elsewhere.is_absent(&file.name) {
            absent += 1;
            continue;
        }
        package::verify_in(&found.dir, file)?;
        here += 1;
    }
    Ok((here, absent))
}

/// Removes a package.
///
/// # Errors
/// When there is none, or something else lies in its folder.
pub(crate) fn remove(models_dir: &Path, id: &str, report: &mut dyn Write) -> anyhow::Result<()> {
    let all = packages(models_dir)?;
    let found = all
        .iter()
        .find(|found| found.id() == id)
        .with_context(|| format!("no package in {} has the id {id:?}", models_dir.display()))?;
    let Ok(manifest) = &found.manifest else {
        bail!("the manifest in {} is not readable", found.dir.display());
    };
    let card = crate::catalog::card_file::read(&found.dir, id, &[])?;
    let listed = manifest.files().map(|file: &FileEntry| file.name.as_str());
    let mut known: HashSet<&str> = listed.chain(BESIDE).collect();
    known.extend(card.sample.as_ref().map(|sample| sample.file.as_str()));
    for entry in fs::read_dir(&found.dir)? {
        let entry = entry?;
        let name = entry.file_name();
        ensure!(
            entry.file_type()?.is_file() && name.to_str().is_some_and(|name| known.contains(name)),
            "{} is no file of the package; move it elsewhere before its folder is removed",
            entry.path().display()
        );
    }
    // Hidden first, so that no running hub sees a part of it.
    let hidden = tempfile::Builder::new()
        .prefix(REMOVING)
        .tempdir_in(models_dir)
        .with_context(|| format!("writing to {}", models_dir.display()))?;
    fs::rename(&found.dir, hidden.path().join("package"))
        .with_context(|| format!("moving {}", found.dir.display()))?;
    hidden
        .close()
        .with_context(|| format!("removing {}", found.dir.display()))?;
    writeln!(report, "{id} is removed")?;
    Ok(())
}
