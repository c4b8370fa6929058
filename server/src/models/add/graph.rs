//! The graph of a part: its ports, and where its weights are.

mod table;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use architectures::{Header, Kind, Packed, Weights};
use diffusion::manifest::{self, Dim, Port, PortType, Symbol};
use onnx_gpu::DType;
use onnx_gpu::proto::{self, Contents, Model, ValueInfo};

use super::layout::Part;
use super::network::Network;
use super::pipeline::Family;

/// Largest graph that is read: what a file of this format can hold.
const MAX_GRAPH_BYTES: u64 = 2 << 30;

/// A graph of a folder, or one that was built over its weights.
pub(super) struct Graph {
    /// The file, or that of the configuration.
    pub path: PathBuf,
    /// Its bytes, without those of its external data.
    pub bytes: Vec<u8>,
    /// Files of its external data by the locations that it names.
    pub external: BTreeMap<String, External>,
    /// Its weights by name, where it was built over them.
    pub tensors: Option<Tensors>,
    inputs: Vec<ValueInfo>,
    outputs: Vec<ValueInfo>,
    /// Rows of the table that its first input picks from.
    pub rows: Option<usize>,
}

/// Weights that a graph was built over.
pub(super) struct Tensors {
    pub weights: Weights,
    /// Name of their author's folder.
    pub folder: &'static str,
    /// Names of their files in the package, in the order of those of the weights; none where they are made smaller.
    pub files: Option<Vec<String>>,
}

/// A file of external data.
pub(super) enum External {
    /// It is there.
    File {
        path: PathBuf,
        /// Its name in the package, where it keeps its own.
        name: Option<String>,
    },
    /// It is written with the package.
    Smaller(Packing),
}

/// Weights that are made smaller.
pub(super) struct Packing {
    pub kind: Kind,
    pub file: Packed,
    /// Path of the folder of their author's files.
    pub folder: PathBuf,
    /// Name of that folder.
    pub component: &'static str,
    /// Name in the package.
    pub name: String,
}

impl External {
    /// The name that it keeps in the package.
    pub fn own_name(&self) -> Option<&str> {
        match self {
            Self::File { name, .. } => name.as_deref(),
            Self::Smaller(_) => None,
        }
    }

    /// The weights that are made smaller, if it is that.
    pub fn smaller(&self) -> Option<&Packing> {
        match self {
            Self::File { .. } => None,
            Self::Smaller(packing) => Some(packing),
        }
    }
}

impl Graph {
    /// Reads the graph at `path` below `folder`.
    ///
    /// # Errors
    /// When it is no graph, or a file of its external data is missing.
    pub fn read(folder: &Path, path: &str) -> anyhow::Result<Self> {
        let path = folder.join(path);
        let shown = path.display().to_string();
        let length = fs::metadata(&path)
            .with_context(|| format!("reading {shown}"))?
            .len();
        ensure!(
            length <= MAX_GRAPH_BYTES,
            "{shown} has {length} bytes, more than {MAX_GRAPH_BYTES}"
        );
        let bytes = fs::read(&path).with_context(|| format!("reading {shown}"))?;
        let graph = parsed(&path, &bytes)?;
        let beside = path.parent().unwrap_or(folder);
        let mut external = BTreeMap::new();
        for location in locations(&graph) {
            let file = beside.join(&location);
            ensure!(
                file.is_file(),
                "{shown} keeps weights in {location}, which is missing"
            );
            let name = None;
            external.insert(location, External::File { path: file, name });
        }
        Ok(Self::of(path, bytes, external, &graph))
    }

    /// Builds the graph of a part over the weights that lie below `folder`.
    ///
    /// # Errors
    /// When the weights cannot be read, or are not those of the configuration.
    pub fn built(
        folder: &Path,
        network: &Network,
        part: Part,
        family: Family,
    ) -> anyhow::Result<Self> {
        let headers = headers(folder, network)?;
        let built = network.build(folder, part, family, &headers)?;
        let (_, weights) = network.described(folder, &headers)?;
        let home = network.home(folder);
        let kept_name = |file: &String| network.packaged(file);
        let tensors = Tensors {
            folder: network.folder,
            files: Some(weights.files().iter().map(kept_name).collect()),
            weights,
        };
        let external = built.external.into_iter().map(|(location, file)| {
            let kept = External::File {
                path: home.join(&file),
                name: Some(kept_name(&file)),
            };
            (location, kept)
        });
        let own = folder.join(network.folder);
        Self::of_network(&own, built.graph, external.collect(), tensors)
    }

    /// [`Self::built`] over weights that are made smaller.
    ///
    /// # Errors
    /// Those of [`Self::built`].
    pub fn smaller(
        folder: &Path,
        network: &Network,
        (part, family): (Part, Family),
        kind: Kind,
    ) -> anyhow::Result<Self> {
        let headers = headers(folder, network)?;
        let built = network.build_smaller(folder, (part, family), &headers, kind)?;
        let (_, weights) = network.described(folder, &headers)?;
        let own = folder.join(network.folder);
        let packing = Packing {
            kind,
            file: built.file,
            folder: network.home(folder),
            component: network.folder,
            name: format!("{}.{kind}.data", part.name()),
        };
        let external = BTreeMap::from([(built.location, External::Smaller(packing))]);
        let tensors = Tensors {
            folder: network.folder,
            files: None,
            weights,
        };
        Self::of_network(&own, built.graph, external, tensors)
    }

    fn of_network(
        own: &Path,
        bytes: Vec<u8>,
        external: BTreeMap<String, External>,
        tensors: Tensors,
    ) -> anyhow::Result<Self> {
        let model = Model::parse(&bytes).context("the graph that was built cannot be read")?;
        let path = own.join("config.json");
        Ok(Self {
            tensors: Some(tensors),
            ..Self::of(path, bytes, external, &model.graph)
        })
    }

    fn of(
        path: PathBuf,
        bytes: Vec<u8>,
        external: BTreeMap<String, External>,
        graph: &proto::Graph,
    ) -> Self {
        let constants: HashSet<&str> = graph
            .initializers
            .iter()
            .map(|weight| &*weight.name)
            .collect();
        let inputs = graph
            .inputs
            .iter()
            .filter(|input| !constants.contains(&*input.name));
        let inputs: Vec<ValueInfo> = inputs.cloned().collect();
        Self {
            rows: inputs
                .first()
                .and_then(|input| table::rows(graph, &input.name)),
            inputs,
            outputs: graph.outputs.clone(),
            path,
            bytes,
            external,
            tensors: None,
        }
    }

    /// The one input of these names.
    pub fn input(&self, what: &str, wanted: &[&str]) -> anyhow::Result<&ValueInfo> {
        let found = self.find(&self.inputs, wanted);
        found.with_context(|| {
            format!(
                "{} has no input for {what} ({}); there are {}",
                self.path.display(),
                wanted.join(" or "),
                names(&self.inputs)
            )
        })
    }

    /// An input of that name, if there is one.
    pub fn optional(&self, name: &str) -> Option<&ValueInfo> {
        self.find(&self.inputs, &[name])
    }

    /// The output of one of these names, or the only one.
    pub fn output(&self, what: &str, wanted: &[&str]) -> anyhow::Result<&ValueInfo> {
        let only = || self.outputs.first().filter(|_| self.outputs.len() == 1);
        let found = self.find(&self.outputs, wanted).or_else(only);
        found.with_context(|| {
            format!(
                "{} has no output for {what}; there are {}",
                self.path.display(),
                names(&self.outputs)
            )
        })
    }

    /// The outputs.
    pub fn outputs(&self) -> &[ValueInfo] {
        &self.outputs
    }

    fn find<'i>(&self, ports: &'i [ValueInfo], wanted: &[&str]) -> Option<&'i ValueInfo> {
        ports.iter().find(|port| wanted.contains(&&*port.name))
    }

    /// Refuses inputs beside these.
    pub fn has_only(&self, known: &[&str]) -> anyhow::Result<()> {
        let other = self
            .inputs
            .iter()
            .find(|port| !known.contains(&&*port.name));
        match other {
            Some(port) => bail!(
                "{} takes {:?}, which this kind of pipeline gives nothing",
                self.path.display(),
                port.name
            ),
            None => Ok(()),
        }
    }
}

/// The headers of a network's weights by their paths below `folder`.
fn headers(folder: &Path, network: &Network) -> anyhow::Result<BTreeMap<String, Header>> {
    let mut headers = BTreeMap::new();
    for path in network.files(folder)? {
        let header = Header::read(&folder.join(&path)).with_context(|| network.folder)?;
        headers.insert(path, header);
    }
    Ok(headers)
}

/// Names of the files of external data of the graph at `path`, which lie beside it.
///
/// # Errors
/// When it is no graph.
pub(super) fn external(path: &Path) -> anyhow::Result<Vec<String>> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(locations(&parsed(path, &bytes)?))
}

fn parsed(path: &Path, bytes: &[u8]) -> anyhow::Result<proto::Graph> {
    let model = Model::parse(bytes);
    let model = model.with_context(|| format!("{} is no graph that can be read", path.display()));
    Ok(model?.graph)
}

/// The files of external data that a graph names.
fn locations(graph: &proto::Graph) -> Vec<String> {
    let stored = graph.initializers.iter().filter_map(|weight| {
        let Contents::Stored(location) = &weight.contents else {
            return None;
        };
        location.file.clone()
    });
    let mut files: Vec<String> = stored.collect();
    files.sort();
    files.dedup();
    files
}

/// A size that a port declares.
pub(super) fn fixed(info: &ValueInfo, place: usize) -> Option<usize> {
    match info.shape.as_ref()?.get(place)? {
        proto::Dim::Fixed(size) => Some(*size),
        proto::Dim::Symbol(_) => None,
    }
}

/// What stands at a place of a port: a number that is known, or what a graph that leaves it open takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Prompts: what the graph declares, or any number.
    Rows,
    /// A size of every picture.
    Is(usize),
    /// What the request makes of it; a graph that declares a number takes this one alone.
    Varies(Symbol, usize),
}

/// A port of the manifest: the graph's own declaration, with what open dimensions stand for.
pub(super) fn port(graph: &Graph, info: &ValueInfo, places: &[Place]) -> anyhow::Result<Port> {
    let (path, name) = (graph.path.display(), &info.name);
    let declared = info.shape.as_deref();
    ensure!(
        declared.is_none_or(|dims| dims.len() == places.len()),
        "{name} of {path} has {} dimensions; {} are needed",
        declared.unwrap_or_default().len(),
        places.len()
    );
    let dims = places.iter().enumerate().map(|(at, place)| {
        let declares = fixed(info, at);
        let (dim, size) = match (*place, declares) {
            (Place::Rows, Some(rows)) => (Dim::Is(rows), rows),
            (Place::Rows, None) => return Ok(Dim::Of(Symbol::Rows)),
            (Place::Is(size), _) => (Dim::Is(size), size),
            (Place::Varies(_, size), Some(_)) => (Dim::Is(size), size),
            (Place::Varies(symbol, _), None) => return Ok(Dim::Of(symbol)),
        };
        ensure!(
            declares.is_none_or(|declared| declared == size),
            "{name} of {path} is declared as {declared:?}; {size} is needed at {at}"
        );
        Ok(dim)
    });
    Ok(Port {
        name: info.name.clone(),
        dtype: dtype(info).with_context(|| format!("{path}"))?,
        shape: dims.collect::<anyhow::Result<_>>()?,
    })
}

fn dtype(info: &ValueInfo) -> anyhow::Result<PortType> {
    Ok(match info.dtype {
        DType::F32 => PortType::Float32,
        DType::F16 => PortType::Float16,
        DType::I64 => PortType::Int64,
        DType::I32 => PortType::Int32,
        DType::Bool => PortType::Bool,
        other @ (DType::BF16 | DType::U8 | DType::I8) => {
            bail!("{} has the type {other}", info.name)
        }
    })
}

fn names(ports: &[ValueInfo]) -> String {
    let names: Vec<&str> = ports.iter().map(|port| &*port.name).collect();
    names.join(", ")
}

/// A graph and the ports that the pipeline uses of it.
pub(super) struct Wired {
    pub graph: Graph,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

impl Wired {
    /// The manifest's entry; the graph is in `file`, its external data in `external`.
    pub fn entry(&self, file: String, external: BTreeMap<String, String>) -> manifest::Graph {
        manifest::Graph {
            file,
            external,
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
        }
    }

    /// Whether a port leaves the size of pictures open.
    pub fn takes_any_size(&self) -> bool {
        let side = |dim: &Dim| {
            matches!(
                dim,
                Dim::Of(Symbol::Height | Symbol::Width | Symbol::PixelHeight | Symbol::PixelWidth)
            )
        };
        let sides = |port: &Port| port.shape.iter().filter(|dim| side(dim)).count();
        let ports = self.inputs.iter().chain(&self.outputs);
        // Ports of pictures and latents have four dimensions, two of them sides.
        ports
            .filter(|port| port.shape.len() == 4)
            .all(|port| sides(port) == 2)
    }
}
