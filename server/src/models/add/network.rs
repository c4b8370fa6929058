//! Parts that their authors published as a configuration and weights: their graphs are built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use architectures::original::Checkpoint;
use architectures::{Built, Header, Index, Kind, Smaller, States, Texts, Weights};
use serde_json::Value;

use super::json::json;
use super::language;
use super::layout::Part;
use super::pipeline::Family;

/// Most layers of a text encoder of CLIP that a request may skip: AUTOMATIC1111's web UI offers as many.
pub(super) const MAX_SKIPPED: usize = 11;
/// Endings of files whose reading runs code that they hold.
const PICKLES: [&str; 5] = [".bin", ".ckpt", ".pickle", ".pt", ".pth"];
/// Largest index of weights that lie in several files.
const MAX_INDEX_BYTES: u64 = 16 << 20;

/// A folder with a network's configuration and weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Network {
    /// The folder.
    pub folder: &'static str,
    weights: Stored,
}

/// Where the weights are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stored {
    /// In the file of this name.
    One(String),
    /// In those that the index of this name names.
    Several(String),
    /// Among those of a checkpoint in one file, at this path below the root, or at all.
    Checkpoint(String),
}

/// Whether a file's name ends as that of a pickle.
pub(super) fn is_pickle(file: &str) -> bool {
    PICKLES.iter().any(|ending| file.ends_with(ending))
}

impl Network {
    /// A network of a checkpoint in one file.
    pub fn of_checkpoint(folder: &'static str, path: &str) -> Self {
        let weights = Stored::Checkpoint(path.to_owned());
        Self { folder, weights }
    }

    /// The network among the `files` of a folder, if there is one. Of weights in two precisions, those of 16 bits are taken.
    ///
    /// # Errors
    /// When weights are there that are not read, or several of which none has a name that says so.
    pub fn find(folder: &'static str, files: &[&str]) -> anyhow::Result<Option<Self>> {
        let indexes = files.iter().copied().filter(|file| is_index(file));
        let singles = files
            .iter()
            .copied()
            .filter(|file| file.ends_with(".safetensors") && !is_shard(file));
        let found: Vec<Stored> = singles
            .map(|file| Stored::One(file.to_owned()))
            .chain(indexes.map(|file| Stored::Several(file.to_owned())))
            .collect();
        let pick = |variant: &str| {
            let mut fitting = found.iter().filter(|stored| stored.variant() == variant);
            fitting.next().cloned()
        };
        let weights = match (
            &found[..],
            pick("fp16").or_else(|| pick("bf16")).or_else(|| pick("")),
        ) {
            (_, Some(stored)) => stored,
            ([], None) => {
                let pickle = files.iter().find(|file| is_pickle(file));
                match pickle {
                    Some(file) => bail!(
                        "{folder} has its weights in {file} alone, a pickle: reading one runs whatever code is in it, so none is read; \
                         safetensors are"
                    ),
                    None => return Ok(None),
                }
            }
            ([one], None) => one.clone(),
            (several, None) => bail!(
                "{folder} holds several sets of weights: {}; none is called as the first one is",
                several
                    .iter()
                    .map(Stored::name)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        ensure!(
            files.contains(&"config.json"),
            "{folder}/config.json is missing beside {}",
            weights.name()
        );
        Ok(Some(Self { folder, weights }))
    }

    /// Paths of its small files.
    pub fn small(&self) -> Vec<String> {
        let mut paths = vec![format!("{}/config.json", self.folder)];
        if let Stored::Several(index) = &self.weights {
            paths.push(format!("{}/{index}", self.folder));
        }
        paths
    }

    /// The folder that its weights lie in, below `root`.
    pub fn home(&self, root: &Path) -> PathBuf {
        match self.weights {
            Stored::One(_) | Stored::Several(_) => root.join(self.folder),
            Stored::Checkpoint(_) => root.to_owned(),
        }
    }

    /// Name of a file of its weights in a package.
    pub fn packaged(&self, file: &str) -> String {
        match self.weights {
            Stored::One(_) | Stored::Several(_) => format!("{}.{file}", self.folder),
            Stored::Checkpoint(_) => plain(file),
        }
    }

    /// Paths of its weights, below `root` unless they are of a checkpoint elsewhere; there is its index, if it has one.
    pub fn files(&self, root: &Path) -> anyhow::Result<Vec<String>> {
        let names: BTreeSet<String> = match &self.weights {
            Stored::Checkpoint(path) => return Ok(vec![path.clone()]),
            Stored::One(file) => BTreeSet::from([file.clone()]),
            Stored::Several(index) => self
                .index(root, index)?
                .files()
                .into_iter()
                .map(str::to_owned)
                .collect(),
        };
        Ok(names
            .into_iter()
            .map(|name| format!("{}/{name}", self.folder))
            .collect())
    }

    fn index(&self, root: &Path, name: &str) -> anyhow::Result<Index> {
        let path = root.join(self.folder).join(name);
        let shown = path.display();
        let length = fs::metadata(&path)
            .with_context(|| format!("reading {shown}"))?
            .len();
        ensure!(
            length <= MAX_INDEX_BYTES,
            "{shown} has {length} bytes, more than {MAX_INDEX_BYTES}"
        );
        let json = fs::read(&path).with_context(|| format!("reading {shown}"))?;
        Index::parse(&json).with_context(|| format!("{shown}"))
    }

    /// The graph of a part, over headers by the paths of [`Self::files`]; the files' names are without the folder.
    pub fn build(
        &self,
        root: &Path,
        part: Part,
        family: Family,
        headers: &BTreeMap<String, Header>,
    ) -> anyhow::Result<Built> {
        let (config, weights) = self.described(root, headers)?;
        let built = architectures::build(part.name(), &wanted(part, family), &config, &weights);
        built.with_context(|| self.unbuilt())
    }

    /// [`Self::build`] over weights that are made smaller.
    pub fn build_smaller(
        &self,
        root: &Path,
        (part, family): (Part, Family),
        headers: &BTreeMap<String, Header>,
        kind: Kind,
    ) -> anyhow::Result<Smaller> {
        let (config, weights) = self.described(root, headers)?;
        let part_of = wanted(part, family);
        let built = architectures::build_smaller(part.name(), &part_of, &config, &weights, kind);
        built.with_context(|| self.unbuilt())
    }

    fn unbuilt(&self) -> String {
        format!("the graph of {} cannot be built", self.folder)
    }

    /// Its configuration, and what its files hold.
    pub fn described(
        &self,
        root: &Path,
        all: &BTreeMap<String, Header>,
    ) -> anyhow::Result<(Value, Weights)> {
        let prefix = format!("{}/", self.folder);
        let own = |(path, header): (&String, &Header)| {
            Some((path.strip_prefix(&prefix)?.to_owned(), header.clone()))
        };
        let headers: BTreeMap<String, Header> = all.iter().filter_map(own).collect();
        let weights = match &self.weights {
            Stored::One(file) => {
                let header = headers
                    .get(file)
                    .with_context(|| format!("{prefix}{file} is missing"))?;
                Weights::one(file, header)
            }
            Stored::Several(name) => Weights::sharded(&self.index(root, name)?, &headers)
                .with_context(|| prefix.clone())?,
            Stored::Checkpoint(path) => self.of_whole(path, all)?,
        };
        Ok((json(&root.join(self.folder).join("config.json"))?, weights))
    }

    /// Its weights among those of a checkpoint.
    fn of_whole(&self, path: &str, headers: &BTreeMap<String, Header>) -> anyhow::Result<Weights> {
        let header = headers
            .get(path)
            .with_context(|| format!("{path} is missing"))?;
        let checkpoint = Checkpoint::read(path, header)?;
        let mut components = checkpoint.components();
        let own = components.find(|component| component.folder() == self.folder);
        let own = own.with_context(|| format!("{path} has no {}", self.folder))?;
        Ok(checkpoint.weights(own))
    }

    /// Its class.
    pub fn class(&self, root: &Path) -> anyhow::Result<String> {
        let path = root.join(self.folder).join("config.json");
        let config = json(&path)?;
        let class = architectures::class(&config).with_context(|| path.display().to_string())?;
        Ok(class.to_owned())
    }

    /// Whether there is a builder for its class.
    pub fn is_known(&self, root: &Path) -> anyhow::Result<()> {
        let class = self.class(root)?;
        let known: Vec<&str> = architectures::classes().collect();
        ensure!(
            known.contains(&&*class),
            "{} is a {class}; {} can be built",
            self.folder,
            known.join(", ")
        );
        Ok(())
    }
}

impl Stored {
    fn name(&self) -> &str {
        match self {
            Self::One(name) | Self::Several(name) | Self::Checkpoint(name) => name,
        }
    }

    /// What stands in the name beside `model` or `diffusion_pytorch_model`: `fp16`, `non_ema`.
    fn variant(&self) -> String {
        let name = self.name().trim_end_matches(".json");
        let parts = name
            .split('.')
            .filter(|part| !matches!(*part, "safetensors" | "index"));
        let parts: Vec<&str> = parts.collect();
        match parts.as_slice() {
            ["model" | "diffusion_pytorch_model", rest @ ..] => rest.join("."),
            _ => name.to_owned(),
        }
    }
}

/// The name of the file at a path, as packages name files: letters, digits, dots, dashes and underscores.
fn plain(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept = |c: char| match c {
        _ if c.is_ascii_alphanumeric() => c,
        '.' | '-' => c,
        _ => '_',
    };
    name.trim_start_matches('.').chars().map(kept).collect()
}

/// `model.safetensors.index.json`, or with a variant before or behind `index`.
fn is_index(file: &str) -> bool {
    file.ends_with(".json") && file.contains(".safetensors.index.")
}

/// `model-00001-of-00002.safetensors`.
fn is_shard(file: &str) -> bool {
    let name = file.trim_end_matches(".safetensors");
    let numbers = name
        .rsplit_once("-of-")
        .and_then(|(before, last)| Some([before.rsplit_once('-')?.1, last]));
    numbers.is_some_and(|numbers| {
        numbers
            .iter()
            .all(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// What a pipeline reads of a part.
fn wanted(part: Part, family: Family) -> architectures::Part {
    match part {
        Part::TextEncoder | Part::TextEncoder2 | Part::TextEncoder3 => {
            architectures::Part::TextEncoder(texts(part, family))
        }
        Part::Unet => architectures::Part::Denoiser,
        Part::VaeDecoder => architectures::Part::Decoder,
        Part::VaeEncoder => architectures::Part::Encoder,
    }
}

/// What a pipeline reads of a text encoder.
fn texts(part: Part, family: Family) -> Texts {
    let second = part == Part::TextEncoder2;
    let clip = matches!(part, Part::TextEncoder | Part::TextEncoder2);
    let (states, pooled, skips) = match family {
        Family::StableDiffusion | Family::LatentConsistency => (States::Last, second, MAX_SKIPPED),
        Family::StableDiffusionXl => (States::BeforeLast, second, MAX_SKIPPED),
        Family::ZImage | Family::Lumina2 => (States::BeforeLast, false, 0),
        Family::Sana | Family::SanaSprint => (States::Last, false, 0),
        Family::Flux2Klein => (States::Behind(language::LAYERS.to_vec()), false, 0),
        Family::StableDiffusion3 if clip => (States::BeforeLast, true, 0),
        Family::Flux if part == Part::TextEncoder => (States::Behind(Vec::new()), true, 0),
        Family::StableDiffusion3 | Family::Flux | Family::PixArtAlpha | Family::PixArtSigma => {
            (States::Last, false, 0)
        }
    };
    Texts {
        states,
        pooled,
        skips,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn found(files: &[&str]) -> Result<Option<String>, String> {
        let all = [&["config.json"], files].concat();
        let network = Network::find("unet", &all).map_err(|error| error.to_string())?;
        Ok(network.map(|network| network.weights.name().to_owned()))
    }

    #[test]
    fn sixteen_bits_are_taken_where_there_are_both() {
        let (plain, half) = (
            "diffusion_pytorch_model.safetensors",
            "diffusion_pytorch_model.fp16.safetensors",
        );
        let non_ema = "diffusion_pytorch_model.non_ema.safetensors";
        assert_eq!(
            found(&[plain, half, non_ema, "diffusion_pytorch_model.bin"]),
            Ok(Some(half.to_owned()))
        );
        assert_eq!(found(&[non_ema, plain]), Ok(Some(plain.to_owned())));
        let brain = "diffusion_pytorch_model.bf16.safetensors";
        assert_eq!(found(&[plain, brain]), Ok(Some(brain.to_owned())));
        assert_eq!(
            found(&["sd15.safetensors"]),
            Ok(Some("sd15.safetensors".to_owned()))
        );
        let index = "model.safetensors.index.json";
        assert_eq!(
            found(&[
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                index
            ]),
            Ok(Some(index.to_owned()))
        );
        let old = "diffusion_pytorch_model.safetensors.index.fp16.json";
        let shard = "diffusion_pytorch_model.fp16-00001-of-00001.safetensors";
        assert_eq!(found(&[shard, old, plain]), Ok(Some(old.to_owned())));
        assert_eq!(found(&["README.md"]), Ok(None));
        assert_eq!(found(&[]), Ok(None));
    }

    #[test]
    fn checkpoints_keep_their_names_as_far_as_packages_have_such() {
        let checkpoint = Network::of_checkpoint("unet", "/a b/Dream Shaper (8).safetensors");
        let packaged = checkpoint.packaged("/a b/Dream Shaper (8).safetensors");
        assert_eq!(packaged, "Dream_Shaper__8_.safetensors");
        assert_eq!(plain("..v1-5.safetensors"), "v1-5.safetensors");
    }

    #[test]
    fn what_is_not_read_is_said_with_the_reason() {
        for pickle in ["diffusion_pytorch_model.bin", "unet.ckpt", "a.pt"] {
            let error = found(&[pickle]).unwrap_err();
            assert!(
                error.contains(pickle) && error.contains("runs whatever code"),
                "{error}"
            );
        }
        let error = found(&["a.safetensors", "b.safetensors"]).unwrap_err();
        assert!(error.contains("a.safetensors, b.safetensors"), "{error}");
        let error = Network::find("unet", &["model.safetensors"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("unet/config.json is missing"), "{error}");
    }
}
