//! LoRAs that a package is given: what they add to, and where that lies in the package's files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use architectures::lora::{Addition, Component, Target, additions};
use architectures::{Element, Header, Stored};
use diffusion::lora::{self, Bindings, Factor, Update};
use diffusion::manifest::LoraEntry;
use protocol::{MAX_LORA_NAME_CHARS, is_lora_name};
use sha2::{Digest, Sha256};

use super::smaller::Opened;
use super::wiring::Wiring;
use crate::config::LoraOf;

/// The graphs whose weights LoRAs add to.
const GRAPHS: [(&str, Component); 4] = [
    ("denoiser", Component::Denoiser),
    ("text_encoder", Component::TextEncoder(0)),
    ("text_encoder_2", Component::TextEncoder(1)),
    ("text_encoder_3", Component::TextEncoder(2)),
];
/// Where kohya's scripts note the hash that AUTOMATIC1111's web UI knows a file by.
const HASH_NOTE: &str = "sshs_model_hash";
/// Digits of that hash which the web UI writes.
const HASH_DIGITS: usize = 12;

/// A LoRA that goes into a package.
pub(super) struct Lora {
    pub path: PathBuf,
    pub entry: LoraEntry,
    pub bindings: Bindings,
}

impl Lora {
    /// Reads the LoRAs that were asked for, and finds what they add to.
    ///
    /// # Errors
    /// By name, what is no LoRA, or does not fit the model.
    pub fn read(options: &[LoraOf], wiring: &Wiring) -> anyhow::Result<Vec<Self>> {
        let mut loras: Vec<Self> = Vec::with_capacity(options.len());
        for option in options {
            let lora = Self::one(option, wiring, loras.len())
                .with_context(|| format!("the LoRA {}", option.file.display()))?;
            let name = &lora.entry.name;
            ensure!(
                loras.iter().all(|other| other.entry.name != *name),
                "two LoRAs are called {name:?}; they are called after their files"
            );
            loras.push(lora);
        }
        Ok(loras)
    }

    fn one(option: &LoraOf, wiring: &Wiring, place: usize) -> anyhow::Result<Self> {
        let path = &option.file;
        let ending = path
            .extension()
            .is_some_and(|ending| ending == "safetensors");
        ensure!(
            ending,
            "its name does not end in .safetensors; other files run whatever code is in them when they are read"
        );
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        ensure!(
            is_lora_name(name),
            "prompts cannot call it {name:?}: a name has up to {MAX_LORA_NAME_CHARS} characters and none of < > : = , \""
        );
        let header = Header::read(path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let file = path
            .file_name()
            .and_then(|file| file.to_str())
            .unwrap_or_default();
        let graphs = GRAPHS.iter().filter_map(|&(graph, component)| {
            let tensors = wiring.graphs.get(graph)?.graph.tensors.as_ref()?;
            Some((component, (graph, tensors)))
        });
        let graphs: BTreeMap<Component, _> = graphs.collect();
        ensure!(
            !graphs.is_empty(),
            "it is for authors' safetensors, and this model is made of graphs, whose weights have other names"
        );
        let targets: Vec<Target<'_>> = graphs
            .iter()
            .map(|(&component, (_, tensors))| Target {
                component,
                weights: &tensors.weights,
            })
            .collect();
        let added = additions(file, &header, &mut Opened::new(folder), &targets)?;
        let updates = added.iter().map(|addition| {
            let found = graphs.get(&addition.component);
            let (graph, tensors) = found.context("it adds to no graph")?;
            let Some(files) = &tensors.files else {
                bail!(
                    "it adds to {folder}, whose weights are made smaller; --weights {folder}=kept keeps them as they are",
                    folder = tensors.folder
                );
            };
            let file = files.get(addition.file).context("its weight is in no file")?;
            update(graph, file, addition)
        });
        let bindings = Bindings {
            format: lora::FORMAT,
            updates: updates.collect::<anyhow::Result<_>>()?,
        };
        let plain: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "._-".contains(c) {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        let begin = format!("lora.{place}.{plain}");
        Ok(Self {
            entry: LoraEntry {
                name: name.to_owned(),
                file: format!("{begin}.safetensors"),
                bindings: format!("{begin}.json"),
                weight: option.weight,
                hash: hash(path, &header)?,
            },
            path: path.clone(),
            bindings,
        })
    }

    /// Says what it adds to, and when.
    pub fn report(&self, report: &mut dyn Write) -> anyhow::Result<()> {
        let graphs: BTreeSet<&str> = self
            .bindings
            .updates
            .iter()
            .map(|update| &*update.graph)
            .collect();
        let graphs: Vec<&str> = graphs.into_iter().collect();
        let name = &self.entry.name;
        let when = match self.entry.weight {
            Some(weight) => {
                format!("at {weight} in every picture whose prompt does not say <lora:{name}:…>")
            }
            None => format!("where a prompt says <lora:{name}:0.8>"),
        };
        writeln!(
            report,
            "the LoRA {name} adds to {} weights of {}, {when}",
            self.bindings.updates.len(),
            graphs.join(", ")
        )?;
        Ok(())
    }
}

fn update(graph: &str, file: &str, addition: &Addition) -> anyhow::Result<Update> {
    Ok(Update {
        graph: graph.to_owned(),
        tensor: addition.tensor.clone(),
        file: file.to_owned(),
        offset: addition.weight.offset,
        element: element(&addition.weight)?,
        size: addition.size(),
        down: factor(&addition.down)?,
        up: factor(&addition.up)?,
        rank: addition.rank,
        scale: addition.scale,
    })
}

fn factor(stored: &Stored) -> anyhow::Result<Factor> {
    Ok(Factor {
        offset: stored.offset,
        element: element(stored)?,
    })
}

fn element(stored: &Stored) -> anyhow::Result<lora::Element> {
    Ok(match stored.element {
        Element::F32 => lora::Element::F32,
        Element::F16 => lora::Element::F16,
        Element::BF16 => lora::Element::BF16,
        Element::Other(dtype) => bail!("{dtype:?} are no floats"),
    })
}

/// The hash by which AUTOMATIC1111's web UI knows a file: the one that its author noted, else the SHA-256 of what follows the header
/// (`modules/hashes.py`, `addnet_hash_safetensors`).
fn hash(path: &Path, header: &Header) -> anyhow::Result<String> {
    let of_hash = |text: &str| {
        let digits = text.get(..HASH_DIGITS)?;
        let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| digits.to_ascii_lowercase())
    };
    if let Some(noted) = header
        .metadata()
        .get(HASH_NOTE)
        .and_then(|text| of_hash(text))
    {
        return Ok(noted);
    }
    let digest = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(header.header_bytes()))?;
        let mut hasher = Sha256::new();
        std::io::copy(&mut file, &mut hasher)?;
        Ok(hex::encode(hasher.finalize()))
    };
    let digest = digest().with_context(|| format!("reading {}", path.display()))?;
    of_hash(&digest).context("it has no hash")
}
