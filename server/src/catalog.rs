//! The model packages that this server offers, and what the hub and arXiv know.

pub mod arxiv;
pub mod cache;
pub mod card_file;
pub mod cards;
pub mod elsewhere;
pub mod hub;
pub mod known;
pub mod licenses;
mod live;
mod local;
pub mod text;
pub mod upscalers;
pub mod upstream;
pub(crate) mod work;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use diffusion::manifest::{FileEntry, ImageSize, Latents, MAX_MANIFEST_BYTES};
use diffusion::scheduler::{SchedulerKind, Wanted};
use diffusion::{AnyManifest, Manifest, package};
use protocol::{
    AuthorsFile, ComponentSize, GenerationRequest, ModelSummary, Problem, ProblemCode,
    RequestError, ResolvedRequest, Resume, steps_taken,
};

use crate::render::hosted::config::EndpointConfig;
use card_file::CardFile;
use elsewhere::Elsewhere;
use known::Shelf;
use upscalers::UpscalerEntry;

pub use cards::Cards;
pub use live::Live;

/// Name of the manifest in a package folder.
pub const MANIFEST: &str = "manifest.json";

/// A package on disk.
#[derive(Clone, Debug)]
pub struct CatalogEntry {
    /// Card and limits.
    pub summary: ModelSummary,
    /// Folder of the package.
    pub dir: PathBuf,
    /// Name of that folder, which is the package's place under `/models/`.
    pub slug: String,
    /// Its latents.
    pub latents: Latents,
    /// How its steps are taken.
    pub scheduler: SchedulerKind,
    /// SHA-256 (hex) of every file by name, the manifest and a sample picture included.
    pub digests: HashMap<String, String>,
    /// What is known beside the manifest.
    pub card: CardFile,
    /// Its graphs: size and storage.
    pub components: Vec<ComponentSize>,
    /// Its author's files that it holds as they are.
    pub authors: Vec<AuthorsFile>,
    /// Width and height of the sample picture that [`Self::card`] names, if it is there.
    pub sample_size: Option<(u32, u32)>,
    /// Where its files can be had beside this server.
    pub elsewhere: Elsewhere,
    stamp: Stamp,
}

/// All packages, in the order of their folders' names, then the hosted models.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    entries: Vec<Arc<CatalogEntry>>,
    upscalers: Vec<Arc<UpscalerEntry>>,
    /// Folders that hold no whole package.
    left_out: Vec<(PathBuf, Stamp)>,
    hosted: Vec<ModelSummary>,
    /// Models that could be packages, and the file that they were read from; none: not read yet.
    known: Option<(Stamp, Shelf)>,
}

/// A package as it is read.
enum Entry {
    Model(Arc<CatalogEntry>),
    Upscaler(Arc<UpscalerEntry>),
}

impl Entry {
    fn id(&self) -> &str {
        match self {
            Self::Model(entry) => &entry.summary.id,
            Self::Upscaler(entry) => &entry.manifest.id,
        }
    }
}

/// The files of a package.
#[derive(Clone, Copy, Debug)]
pub struct PackageFiles<'c> {
    /// Their folder.
    pub dir: &'c Path,
    /// SHA-256 (hex) of each by name.
    pub digests: &'c HashMap<String, String>,
    /// Where else they can be had, of kinds that say so.
    pub elsewhere: Option<&'c Elsewhere>,
}

/// Name, length and time of every file that a package depends on: what is equal is not read again.
type Stamp = Vec<(PathBuf, u64, Option<SystemTime>)>;

impl Catalog {
    /// Reads every subfolder of `dir` that has a manifest and checks size and SHA-256 of each file.
    /// A damaged package is left out and logged.
    ///
    /// # Errors
    /// When the folder cannot be read or two packages have the same id.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        Self::default().read_again(dir)
    }

    /// Reads `dir`, taking over every package whose files are as they were.
    ///
    /// # Errors
    /// When the folder cannot be read or two packages, or a package and a hosted model, have the same id.
    pub fn read_again(&self, dir: &Path) -> anyhow::Result<Self> {
        let mut folders: Vec<PathBuf> = std::fs::read_dir(dir)
            .with_context(|| format!("reading the models folder {}", dir.display()))?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<_, _>>()?;
        folders.retain(|path| is_package(path));
        folders.sort();
        let cards = card_file::read_catalog(dir)?;
        let stamp: Stamp = stamp_of_file(&dir.join(known::KNOWN)).into_iter().collect();
        let known = match &self.known {
            Some((as_it_was, shelf)) if *as_it_was == stamp => shelf.clone(),
            _ => Shelf::read(dir)?,
        };
        let mut all = Self {
            hosted: self.hosted.clone(),
            known: Some((stamp, known)),
            ..Self::default()
        };
        for folder in folders {
            let mut stamp = stamp_of(&folder);
            stamp.extend(stamp_of_file(&dir.join(card_file::CATALOG)));
            let read = match self.as_it_was(&folder, &stamp) {
                Some(known) => known,
                None if self.left_out.contains(&(folder.clone(), stamp.clone())) => {
                    all.left_out.push((folder, stamp));
                    continue;
                }
                None => match read(&folder, stamp.clone(), &cards) {
                    Ok(read) => read,
                    Err(error) => {
                        tracing::error!(package = %folder.display(), "package left out: {error:#}");
                        all.left_out.push((folder, stamp));
                        continue;
                    }
                },
            };
            if let Some(other) = all.folder_of(read.id()) {
                anyhow::bail!(
                    "{} and {} both hold the package {}",
                    other.display(),
                    folder.display(),
                    read.id(),
                );
            }
            all.without(read.id())?;
            match read {
                Entry::Model(entry) => all.entries.push(entry),
                Entry::Upscaler(entry) => all.upscalers.push(entry),
            }
        }
        Ok(all)
    }

    /// The package in a folder whose files are as they were.
    fn as_it_was(&self, folder: &Path, stamp: &Stamp) -> Option<Entry> {
        let mut models = self.entries.iter();
        let model = models.find(|entry| entry.dir == folder && entry.stamp == *stamp);
        let mut upscalers = self.upscalers.iter();
        let upscaler = upscalers.find(|entry| entry.dir == folder && entry.stamp == *stamp);
        let model = model.map(|entry| Entry::Model(Arc::clone(entry)));
        model.or_else(|| Some(Entry::Upscaler(Arc::clone(upscaler?))))
    }

    /// The folder of the package of that id, of any kind.
    fn folder_of(&self, id: &str) -> Option<&Path> {
        let upscaler = self.upscalers().find(|entry| entry.manifest.id == id);
        let upscaler = upscaler.map(|entry| &*entry.dir);
        self.get(id).map(|entry| &*entry.dir).or(upscaler)
    }

    /// Whether it is what `other` is, nothing having been read anew.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let mut pairs = self.entries.iter().zip(&other.entries);
        let mut upscalers = self.upscalers.iter().zip(&other.upscalers);
        self.entries.len() == other.entries.len()
            && pairs.all(|(one, other)| Arc::ptr_eq(one, other))
            && self.upscalers.len() == other.upscalers.len()
            && upscalers.all(|(one, other)| Arc::ptr_eq(one, other))
            && self.left_out == other.left_out
            && self.known.as_ref().map(|(stamp, _)| stamp)
                == other.known.as_ref().map(|(stamp, _)| stamp)
    }

    /// Models that people ask for, here or not.
    pub fn known(&self) -> Shelf {
        let known = self.known.as_ref();
        known.map(|(_, shelf)| shelf.clone()).unwrap_or_default()
    }

    /// An endpoint's model is none of the packages.
    fn without(&self, id: &str) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.summary(id).is_none(),
            "both a package and an endpoint have the model {id}"
        );
        Ok(())
    }

    /// Adds the models of hosted endpoints.
    ///
    /// # Errors
    /// When a package has the id of one.
    pub fn with_endpoints(mut self, endpoints: &[EndpointConfig]) -> anyhow::Result<Self> {
        for model in endpoints.iter().flat_map(|endpoint| &endpoint.models) {
            self.without(&model.id)?;
            self.hosted.push(model.summary());
        }
        Ok(self)
    }

    /// Cards of all models, the default one first.
    pub fn summaries(&self) -> Vec<ModelSummary> {
        self.all().cloned().collect()
    }

    /// Card of a model, wherever it runs.
    pub fn summary(&self, id: &str) -> Option<&ModelSummary> {
        self.all().find(|summary| summary.id == id)
    }

    fn all(&self) -> impl Iterator<Item = &ModelSummary> {
        let packages = self.entries().map(|entry| &entry.summary);
        packages.chain(&self.hosted)
    }

    /// The package of that id.
    pub fn get(&self, id: &str) -> Option<&CatalogEntry> {
        let mut entries = self.entries();
        entries.find(|entry| entry.summary.id == id)
    }

    /// Whether this server can make pictures of a model: the weights of some are elsewhere, for browsers alone.
    ///
    /// # Errors
    /// [`ProblemCode::UnknownModel`] where it cannot.
    pub fn runs_on_servers(&self, id: &str) -> Result<(), Problem> {
        match self.get(id) {
            Some(entry) if !entry.elsewhere.is_whole() => Err(Problem::new(
                ProblemCode::UnknownModel,
                format!(
                    "{id} runs in browsers alone: its weights are on the hub and not on this server"
                ),
            )
            .with_hint("Make the picture in a browser with WebGPU, or choose another model.")),
            _ => Ok(()),
        }
    }

    /// The package in the folder of that name, of any kind.
    pub fn in_folder(&self, slug: &str) -> Option<PackageFiles<'_>> {
        let model = self.entries().find(|entry| entry.slug == slug);
        let model = model.map(|entry| PackageFiles {
            dir: &entry.dir,
            digests: &entry.digests,
            elsewhere: Some(&entry.elsewhere),
        });
        model.or_else(|| {
            let entry = self.upscalers().find(|entry| entry.slug == slug)?;
            Some(PackageFiles {
                dir: &entry.dir,
                digests: &entry.digests,
                elsewhere: None,
            })
        })
    }

    /// All packages.
    pub fn entries(&self) -> impl Iterator<Item = &CatalogEntry> {
        self.entries.iter().map(|entry| &**entry)
    }

    /// Models that endpoints elsewhere run.
    pub fn hosted(&self) -> &[ModelSummary] {
        &self.hosted
    }

    /// The default model: the first one.
    pub fn first(&self) -> Option<&CatalogEntry> {
        self.entries().next()
    }

    /// Checks a request against its model and fills defaults in; `drawn` is the seed of a request without one.
    ///
    /// # Errors
    /// The first thing that is wrong, as a problem.
    pub fn resolve(
        &self,
        request: GenerationRequest,
        drawn: u64,
    ) -> Result<ResolvedRequest, Problem> {
        let Some(summary) = self.summary(&request.model) else {
            let clipped = request.model.chars().take(80).collect();
            return Err(RequestError::UnknownModel(clipped).into());
        };
        let resolved = request.resolve(summary, drawn)?;
        self.check_upscale(&resolved)?;
        Ok(resolved)
    }

    /// Checks what a resolved request brings of a picture that was begun elsewhere, with a start of that `strength` if it
    /// had one.
    ///
    /// # Errors
    /// The first thing that is wrong, as a problem.
    pub fn check_resume(
        &self,
        request: &ResolvedRequest,
        resume: &Resume,
        strength: Option<f32>,
    ) -> Result<(), Problem> {
        let steps = request.num_inference_steps;
        let taken = strength.map_or(steps, |strength| steps_taken(steps, strength));
        resume
            .read(taken)
            .map_err(|error| bad_resume(error.to_string()))?;
        let Some(entry) = self.get(&request.model) else {
            return Err(bad_resume(
                "this model runs on an endpoint that cannot go on from latents".to_owned(),
            ));
        };
        let latents = entry.latents.shape(ImageSize {
            width: request.width,
            height: request.height,
        });
        if resume.shape.map(|n| n as usize) != latents {
            return Err(bad_resume(format!(
                "resume.shape is {:?}; the latents of this picture are {latents:?}",
                resume.shape
            )));
        }
        let wanted = Wanted {
            steps,
            skip: steps - taken,
            image_tokens: 1,
        };
        let program = entry
            .scheduler
            .chosen(request.sampler.as_deref())
            .map_err(|error| bad_resume(error.to_string()))?
            .program(wanted)
            .map_err(|error| bad_resume(error.to_string()))?;
        let (given, kept) = (
            resume.registers.len(),
            program.kept_before(resume.step as usize).len(),
        );
        if given != kept {
            return Err(bad_resume(format!(
                "resume.registers are {given}; this model's scheduler keeps {kept} after step {}",
                resume.step
            )));
        }
        Ok(())
    }
}

/// The client has to send something else.
fn bad_resume(detail: String) -> Problem {
    Problem::new(ProblemCode::OutOfRange, detail)
        .with_hint("Leave `resume` out to have the whole picture made.")
}

fn read(dir: &Path, stamp: Stamp, cards: &[CardFile]) -> anyhow::Result<Entry> {
    let slug = dir
        .file_name()
        .and_then(|n| n.to_str())
        .filter(|name| {
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        })
        .context("the folder's name has characters other than letters, digits, '-', '_' and '.'")?
        .to_owned();
    let json = read_manifest(dir)?;
    match AnyManifest::parse(&json)? {
        AnyManifest::Model(manifest) => {
            let entry = read_model(dir, slug, *manifest, stamp, cards)?;
            Ok(Entry::Model(Arc::new(entry)))
        }
        AnyManifest::Upscaler(manifest) => {
            let entry = UpscalerEntry::read(dir, slug, *manifest, stamp, cards)?;
            Ok(Entry::Upscaler(Arc::new(entry)))
        }
    }
}

fn read_model(
    dir: &Path,
    slug: String,
    manifest: Manifest,
    stamp: Stamp,
    cards: &[CardFile],
) -> anyhow::Result<CatalogEntry> {
    let mut digests = HashMap::from([(MANIFEST.to_owned(), manifest.digest().to_owned())]);
    let mut components = Vec::new();
    let elsewhere = Elsewhere::read(dir, &manifest)?;
    for file in manifest.files() {
        if elsewhere.is_absent(&file.name) {
            continue;
        }
        package::verify_in(dir, file)?;
        let mut graphs = manifest.graphs.iter();
        if let Some((name, graph)) = graphs.find(|(_, graph)| graph.file == file.name) {
            let bytes = std::fs::read(dir.join(&file.name))?;
            let external = graph.external.values();
            let beside = manifest
                .files()
                .filter(|file| external.clone().any(|name| *name == file.name))
                .map(|file| file.bytes)
                .sum();
            components.push(local::component(name, &bytes, beside));
        }
        digests.insert(file.name.clone(), file.sha256.clone());
    }
    // What is written in fewer bits has another ending.
    let is_authors = |file: &&FileEntry| file.name.ends_with(".safetensors");
    let authors = manifest.files().filter(is_authors).map(|file| AuthorsFile {
        name: file.name.clone(),
        bytes: file.bytes,
        sha256: file.sha256.clone(),
    });
    let authors = authors.collect();
    let card = card_file::read(dir, &manifest.id, cards)?;
    for component in &mut components {
        component.smaller = card.weights.get(&component.name).cloned();
    }
    let sample = card
        .sample
        .as_ref()
        .and_then(|s| local::sample(dir, &s.file));
    if let (Some(file), Some(sample)) = (&card.sample, &sample) {
        digests.insert(file.file.clone(), sample.sha256.clone());
    }
    let mut summary = manifest.summary(&format!("/models/{slug}/{MANIFEST}"));
    summary.work = match work::count(dir, &manifest) {
        Ok(work) => Some(work),
        // Only the estimate of a picture's time depends on it.
        Err(error) => {
            tracing::warn!(package = %dir.display(), "its work was not counted: {error:#}");
            None
        }
    };
    Ok(CatalogEntry {
        card,
        components,
        authors,
        sample_size: sample.map(|sample| sample.size),
        summary,
        dir: dir.to_owned(),
        slug,
        latents: manifest.latents,
        scheduler: manifest.scheduler.clone(),
        digests,
        elsewhere,
        stamp,
    })
}

/// What the files of a folder are like; files that cannot be looked at have no part in it.
fn stamp_of(dir: &Path) -> Stamp {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut stamp: Stamp = entries
        .filter_map(|entry| stamp_of_file(&entry.path()))
        .collect();
    stamp.sort();
    stamp
}

fn stamp_of_file(path: &Path) -> Option<(PathBuf, u64, Option<SystemTime>)> {
    let found = std::fs::metadata(path).ok()?;
    Some((path.to_owned(), found.len(), found.modified().ok()))
}

/// Whether a folder holds a package. Hidden ones hold what is being made.
pub(crate) fn is_package(dir: &Path) -> bool {
    let name = dir.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| !name.starts_with('.')) && dir.join(MANIFEST).is_file()
}

/// The manifest's bytes of the package in `dir`.
///
/// # Errors
/// When it is missing or too large.
pub fn read_manifest(dir: &Path) -> anyhow::Result<Vec<u8>> {
    read_capped(&dir.join(MANIFEST), MAX_MANIFEST_BYTES as u64)
}

/// Reads a file of at most `cap` bytes.
fn read_capped(path: &Path, cap: u64) -> anyhow::Result<Vec<u8>> {
    let length = std::fs::metadata(path)
        .with_context(|| format!("{}", path.display()))?
        .len();
    anyhow::ensure!(
        length <= cap,
        "{} has {length} bytes, more than {cap}",
        path.display()
    );
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}
