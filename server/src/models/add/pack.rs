//! Writing a package.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use diffusion::Manifest;
use diffusion::manifest::{FORMAT, FileEntry};
use diffusion::scheduler::Wanted;
use protocol::Addresses;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::About;
use super::claim::Unnamed;
use super::graph::{External, Packing};
use super::lora::Lora;
use super::smaller::Opened;
use super::source::Source;
use super::wiring::TEXTS;
use crate::catalog::MANIFEST;
use crate::catalog::card_file::{CARD, CardFile};
use crate::models::needs;
use crate::models::pretty;

/// Most steps of a picture.
const MAX_STEPS: u32 = 100;
/// Largest guidance scale, unless the default is larger.
const MAX_GUIDANCE: f32 = 20.0;
/// Stands for the digest of a file that was not read.
const NO_DIGEST: [u8; 32] = [0; 32];
/// Bytes of a file that are copied at a time.
const CHUNK: usize = 1 << 20;

/// A package being written.
pub(super) struct Unfinished {
    dir: Unnamed,
    /// Files that were taken as they are, by their names, and where they were.
    taken: BTreeMap<String, PathBuf>,
}

/// How a file gets into a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    /// Somebody else's files are copied.
    Copy,
    /// Files that were fetched for the package become its own, without a second copy where the file system can do that.
    Link,
    /// Nothing of weights is read or written: a package that tells what it would take and makes no pictures.
    Outline,
}

/// Files of a package while they are written.
struct Files<'d> {
    dir: &'d Path,
    taking: Taking,
    entries: Vec<Value>,
    taken: BTreeMap<String, PathBuf>,
}

impl Files<'_> {
    fn add(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
        self.list(name, bytes.len() as u64, &Sha256::digest(bytes));
        Ok(())
    }

    /// Takes a file in, in bounded memory.
    fn take(&mut self, name: &str, from: &Path) -> anyhow::Result<()> {
        self.take_by(self.taking, name, from)
    }

    fn take_by(&mut self, taking: Taking, name: &str, from: &Path) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        if taking == Taking::Outline {
            let failed = || format!("linking {} to {}", from.display(), path.display());
            fs::hard_link(from, &path).with_context(failed)?;
            let length = fs::metadata(&path).with_context(failed)?.len();
            self.list(name, length, &NO_DIGEST);
            return Ok(());
        }
        let linked = taking == Taking::Link && fs::hard_link(from, &path).is_ok();
        let copied = || -> io::Result<(u64, Sha256)> {
            let mut source = fs::File::open(from)?;
            let mut out: Box<dyn Write> = match linked {
                true => Box::new(io::sink()),
                false => Box::new(fs::File::create(&path)?),
            };
            let mut hasher = Sha256::new();
            let mut buffer = vec![0; CHUNK];
            let mut length = 0;
            loop {
                let read = source.read(&mut buffer)?;
                if read == 0 {
                    return Ok((length, hasher));
                }
                out.write_all(&buffer[..read])?;
                hasher.update(&buffer[..read]);
                length += read as u64;
            }
        };
        let (length, hasher) = copied()
            .with_context(|| format!("copying {} to {}", from.display(), path.display()))?;
        self.list(name, length, &hasher.finalize());
        self.taken.insert(name.to_owned(), from.to_owned());
        Ok(())
    }

    /// Writes weights that are made smaller.
    fn pack(&mut self, packing: &Packing) -> anyhow::Result<()> {
        let path = self.dir.join(&packing.name);
        let failed = || format!("writing {}", path.display());
        let file = fs::File::create(&path).with_context(failed)?;
        if self.taking == Taking::Outline {
            let length = packing.file.bytes();
            file.set_len(length).with_context(failed)?;
            self.list(&packing.name, length, &NO_DIGEST);
            return Ok(());
        }
        let mut out = Digesting {
            out: BufWriter::with_capacity(CHUNK, file),
            hasher: Sha256::new(),
            length: 0,
        };
        let mut authors = Opened::new(&packing.folder);
        packing
            .file
            .write(&mut authors, &mut out)
            .with_context(|| {
                format!(
                    "the weights of {} cannot be made smaller",
                    packing.component
                )
            })?;
        out.flush().with_context(failed)?;
        self.list(&packing.name, out.length, &out.hasher.finalize());
        Ok(())
    }

    fn list(&mut self, name: &str, bytes: u64, digest: &[u8]) {
        let sha256 = hex::encode(digest);
        self.entries
            .push(json!({"name": name, "bytes": bytes, "sha256": sha256}));
    }
}

/// Knows length and digest of what passes through it.
struct Digesting<W> {
    out: W,
    hasher: Sha256,
    length: u64,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        let passed = bytes.get(..written).unwrap_or_default();
        self.hasher.update(passed);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes the package's files beside those of `models_dir`.
pub(super) fn write(
    models_dir: &Path,
    about: &About,
    (source, loras): (&Source, &[Lora]),
    card: &CardFile,
    taking: Taking,
) -> anyhow::Result<Unfinished> {
    let dir = Unnamed::new(models_dir, &about.id)?;
    let mut files = Files {
        dir: dir.path(),
        taking,
        entries: Vec::new(),
        taken: BTreeMap::new(),
    };
    let wiring = &source.wiring;
    let mut texts = BTreeMap::new();
    for (words, name) in source.words.iter().zip(TEXTS) {
        files.add(&words.settings.file, &words.json)?;
        texts.insert(name, &words.settings);
    }
    let mut graphs = BTreeMap::new();
    let mut copied = BTreeSet::new();
    for (name, wired) in &wiring.graphs {
        let file = format!("{name}.onnx");
        files.add(&file, &wired.graph.bytes)?;
        let mut external = BTreeMap::new();
        for (index, (location, found)) in wired.graph.external.iter().enumerate() {
            let data = match (found, wired.graph.external.len()) {
                (
                    External::File {
                        name: Some(own), ..
                    },
                    _,
                ) => own.clone(),
                (External::Smaller(packing), _) => packing.name.clone(),
                (External::File { .. }, 1) => format!("{name}.onnx_data"),
                (External::File { .. }, _) => format!("{name}.onnx_data_{index}"),
            };
            // Graphs of two parts may read one file.
            if copied.insert(data.clone()) {
                match found {
                    External::File { path, .. } => files.take(&data, path)?,
                    External::Smaller(packing) => files.pack(packing)?,
                }
            }
            external.insert(location.clone(), data);
        }
        graphs.insert(*name, wired.entry(file, external));
    }
    for lora in loras {
        files.take_by(Taking::Copy, &lora.entry.file, &lora.path)?;
        files.add(&lora.entry.bindings, &serde_json::to_vec(&lora.bindings)?)?;
    }
    let (owner, _) = about.id.split_once('/').unwrap_or_default();
    let mut manifest = json!({
        "format": FORMAT,
        "id": about.id,
        "name": about.name,
        "creator": owner,
        "version": "1",
        "summary": about.summary,
        "license": about.license,
        "example_prompts": [],
        "graphs": graphs,
        "texts": texts,
        "conditioning": wiring.conditioning,
        "latents": wiring.latents,
        "denoiser": wiring.denoiser,
        "guidance": wiring.guidance,
        "scheduler": source.scheduler,
        "decoder": wiring.decoder,
        "sizes": wiring.sizes,
        "negative_prompt": source.takes_negative(),
        "defaults": {"num_inference_steps": about.steps, "guidance_scale": about.guidance},
        "limits": {"min_steps": 1, "max_steps": most_steps(source, about.steps), "min_guidance": 0.0,
            "max_guidance": about.guidance.max(MAX_GUIDANCE)},
        "needs": {"max_buffer_size": 0, "max_storage_buffer_binding_size": 0, "memory_bytes": 0},
        "files": files.entries
    });
    if let Some(interval) = &about.guidance_interval {
        manifest["guidance_interval"] = serde_json::to_value(interval)?;
    }
    if !loras.is_empty() {
        let entries = loras.iter().map(|lora| &lora.entry);
        manifest["loras"] = serde_json::to_value(entries.collect::<Vec<_>>())?;
    }
    if let Some(encoder) = &wiring.encoder {
        manifest["encoder"] = serde_json::to_value(encoder)?;
    }
    let parsed = Manifest::parse(&pretty(&manifest)?)?;
    needs::fill(dir.path(), &parsed, &mut manifest)?;
    let json = pretty(&manifest)?;
    Manifest::parse(&json)?;
    fs::write(dir.path().join(MANIFEST), json)?;
    fs::write(dir.path().join(CARD), pretty(card)?)?;
    let taken = files.taken;
    Ok(Unfinished { dir, taken })
}

/// The most steps that the scheduler takes, up to [`MAX_STEPS`].
fn most_steps(source: &Source, default: u32) -> u32 {
    let can = |steps: &u32| {
        let wanted = Wanted {
            steps: *steps,
            skip: 0,
            image_tokens: 1,
        };
        source.scheduler.program(wanted).is_ok()
    };
    let most = MAX_STEPS.max(default);
    (default..=most).rev().find(can).unwrap_or(default)
}

impl Unfinished {
    /// Where it is written.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its manifest.
    pub fn manifest(&self) -> anyhow::Result<Manifest> {
        Ok(Manifest::parse(&fs::read(self.dir().join(MANIFEST))?)?)
    }

    /// The files that it holds as their author published them.
    pub fn authors(&self, source: &Source) -> anyhow::Result<Vec<FileEntry>> {
        let graphs = source.wiring.graphs.values();
        let external = graphs.flat_map(|wired| wired.graph.external.values());
        let manifest = self.manifest()?;
        let loras = manifest.loras.iter().map(|lora| &*lora.file);
        let own: BTreeSet<&str> = external
            .filter_map(External::own_name)
            .chain(loras)
            .collect();
        let files = manifest.files().filter(|file| own.contains(&*file.name));
        Ok(files.cloned().collect())
    }

    /// Writes the card anew, and the sample picture that it names.
    pub fn keep(&self, card: &CardFile, sample: Option<&[u8]>) -> anyhow::Result<()> {
        if let (Some(named), Some(png)) = (&card.sample, sample) {
            fs::write(self.dir().join(&named.file), png)?;
        }
        fs::write(self.dir().join(CARD), pretty(card)?)?;
        Ok(())
    }

    /// Writes where its author's files can be had as well; gives their names.
    ///
    /// # Errors
    /// When it holds no such file.
    pub fn address(
        &self,
        of: impl Fn(&Path) -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<Vec<String>> {
        let mut addresses = Addresses::default();
        for (name, from) in &self.taken {
            if let Some(address) = of(from)? {
                addresses.files.insert(name.clone(), vec![address]);
            }
        }
        ensure!(
            !addresses.files.is_empty(),
            "--from-hub: no file of the package is its author's as it is; weights of fewer bits are nowhere else"
        );
        fs::write(self.dir().join(Addresses::FILE), pretty(&addresses)?)?;
        Ok(addresses.files.into_keys().collect())
    }

    /// Removes files that are elsewhere.
    pub fn leave(&self, files: &[String]) -> anyhow::Result<()> {
        for file in files {
            let path = self.dir().join(file);
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        Ok(())
    }

    /// Gives it its name; gives the folder.
    pub fn finish(self) -> anyhow::Result<PathBuf> {
        self.dir.finish()
    }
}
