//! What fewer bits cost: pictures with the weights of one component made smaller, against the picture with its author's weights.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use diffusion::manifest::Graph;
use diffusion::{CpuEngine, Engine, Error, ErrorKind, Files, Manifest, Package, Picture};
use protocol::SmallerWeights;
use serde_json::{Value, json};

use super::graph::External;
use super::source::Source;
use super::trial;
use crate::catalog::MANIFEST;

/// A package of smaller weights, and the same pipeline with its author's.
pub(super) struct Pair<'p> {
    /// Folder of the package.
    pub dir: &'p Path,
    pub smaller: &'p Source,
    pub whole: &'p Source,
}

/// Mean squares of the differences by component.
type Errors = BTreeMap<&'static str, f64>;

impl Pair<'_> {
    /// What is known of the smaller weights, by the names of the graphs. Where the author's cannot be tried, the report says why.
    pub fn measured(
        &self,
        engine: &dyn Engine,
        sample: Option<&str>,
        report: &mut dyn Write,
    ) -> anyhow::Result<BTreeMap<String, SmallerWeights>> {
        let errors = match self.errors(engine, sample) {
            Ok(errors) => errors,
            Err(error) => {
                writeln!(report, "what fewer bits cost was not measured: {error:#}")?;
                Errors::new()
            }
        };
        let mut known = BTreeMap::new();
        for (name, wired) in &self.smaller.wiring.graphs {
            let packings = wired.graph.external.values().filter_map(External::smaller);
            for packing in packings {
                let weights = SmallerWeights {
                    kind: packing.kind.name().to_owned(),
                    bytes_before: packing.file.bytes_before(),
                    mean_square_error: errors.get(packing.component).copied(),
                };
                known.insert((*name).to_owned(), weights);
            }
        }
        for (component, mean_square_error) in errors {
            let psnr = protocol::psnr(mean_square_error);
            writeln!(
                report,
                "the trial picture with smaller weights of {component} alone: {psnr} from that of its author's weights"
            )?;
        }
        Ok(known)
    }

    fn errors(&self, engine: &dyn Engine, sample: Option<&str>) -> anyhow::Result<Errors> {
        self.has_room(engine)?;
        let of_authors = self.picture(None, engine, sample)?;
        let components: BTreeSet<&'static str> = self
            .smaller
            .smaller()
            .map(|packing| packing.component)
            .collect();
        let mut errors = Errors::new();
        for component in components {
            let picture = self.picture(Some(component), engine, sample)?;
            let error = picture.mean_square_error(&of_authors);
            errors.insert(component, error.context("the pictures have two sizes")?);
        }
        Ok(errors)
    }

    /// Refuses weights that the processor's memory does not hold in 32 bits, as far as this system says how much there is.
    fn has_room(&self, engine: &dyn Engine) -> anyhow::Result<()> {
        if engine.backend() != CpuEngine::new().backend() {
            return Ok(());
        }
        let before = self
            .smaller
            .smaller()
            .map(|packing| packing.file.bytes_before());
        let needed = 2 * before.sum::<u64>();
        match available() {
            Some(free) if free < needed => bail!(
                "its author's weights take up to {:.1} GB, {:.1} GB are free",
                needed as f64 / 1e9,
                free as f64 / 1e9
            ),
            _ => Ok(()),
        }
    }

    /// The picture with the author's weights, but for one component.
    fn picture(
        &self,
        component: Option<&str>,
        engine: &dyn Engine,
        sample: Option<&str>,
    ) -> anyhow::Result<Picture> {
        let mut manifest: Value = serde_json::from_slice(&fs::read(self.dir.join(MANIFEST))?)?;
        let mut files = Mixed::default();
        for entry in Manifest::parse(manifest.to_string().as_bytes())?.files() {
            files
                .paths
                .insert(entry.name.clone(), self.dir.join(&entry.name));
        }
        for (name, wired) in &self.smaller.wiring.graphs {
            let mut packings = wired.graph.external.values().filter_map(External::smaller);
            let Some(packing) = packings.next() else {
                continue;
            };
            if component != Some(packing.component) {
                let graph = self.of_authors(name, &mut files)?;
                manifest["graphs"][*name] = serde_json::to_value(graph)?;
            }
        }
        let Value::Array(listed) = &mut manifest["files"] else {
            bail!("the manifest lists no files");
        };
        for name in files.added()? {
            let bytes = files.size(&name)?;
            // Nobody checks it: these files are read where they are.
            listed.push(json!({"name": name, "bytes": bytes, "sha256": "0".repeat(64)}));
        }
        let manifest = Manifest::parse(manifest.to_string().as_bytes())?;
        let package = Package::from_source(manifest, Box::new(files));
        Ok(trial::make(package, engine, sample, None)?.picture)
    }

    /// A graph over its author's weights.
    fn of_authors(&self, name: &str, files: &mut Mixed) -> anyhow::Result<Graph> {
        let wired = self.whole.wiring.graphs.get(name);
        let wired = wired.with_context(|| format!("there is no {name} of its author"))?;
        let own = |file: &str| format!("{AUTHORS}{name}.{file}");
        let file = own("onnx");
        files.bytes.insert(file.clone(), wired.graph.bytes.clone());
        let mut external = BTreeMap::new();
        for (index, (location, found)) in wired.graph.external.iter().enumerate() {
            let External::File { path, .. } = found else {
                bail!("{name} has no weights of its author");
            };
            let data = own(&index.to_string());
            files.paths.insert(data.clone(), path.clone());
            external.insert(location.clone(), data);
        }
        Ok(wired.entry(file, external))
    }
}

/// What the names of files begin with that the package does not have.
const AUTHORS: &str = "author.";

/// Files in main memory, and others wherever they are.
#[derive(Default)]
struct Mixed {
    bytes: HashMap<String, Vec<u8>>,
    paths: HashMap<String, PathBuf>,
}

impl Mixed {
    /// Names of those that the package does not have.
    fn added(&self) -> anyhow::Result<Vec<String>> {
        let names = self.bytes.keys().chain(self.paths.keys());
        let added: Vec<String> = names
            .filter(|name| name.starts_with(AUTHORS))
            .cloned()
            .collect();
        ensure!(
            !added.is_empty() || self.bytes.is_empty(),
            "a graph has no file"
        );
        Ok(added)
    }

    fn path(&self, file: &str) -> diffusion::Result<&PathBuf> {
        let kind = ErrorKind::MissingFile {
            file: file.to_owned(),
        };
        let found = self.paths.get(file);
        found.ok_or_else(|| Error::new(kind, format!("{file} is missing")))
    }
}

fn unread(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {error}", path.display()))
}

#[async_trait]
impl Files for Mixed {
    fn size(&self, file: &str) -> diffusion::Result<u64> {
        if let Some(bytes) = self.bytes.get(file) {
            return Ok(bytes.len() as u64);
        }
        let path = self.path(file)?;
        let meta = fs::metadata(path).map_err(|error| unread(path, &error))?;
        Ok(meta.len())
    }

    async fn read(
        &self,
        file: &str,
        offset: u64,
        length: usize,
    ) -> diffusion::Result<Cow<'_, [u8]>> {
        if let Some(bytes) = self.bytes.get(file) {
            let start = usize::try_from(offset).ok();
            let range = start.and_then(|start| bytes.get(start..start.checked_add(length)?));
            let kind = ErrorKind::TruncatedModel {
                file: file.to_owned(),
            };
            let ended = || Error::new(kind, format!("{file} ends before what is read of it"));
            return range.map(Cow::Borrowed).ok_or_else(ended);
        }
        let path = self.path(file)?;
        let part = || -> std::io::Result<Vec<u8>> {
            let mut opened = File::open(path)?;
            opened.seek(SeekFrom::Start(offset))?;
            let mut bytes = vec![0; length];
            opened.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        part().map(Cow::Owned).map_err(|error| unread(path, &error))
    }
}

/// Bytes of main memory that new work can have, where the system says it.
fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}
