//! The graphs of a package and their ports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Element type of a [`Port`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortType {
    /// ONNX `float`.
    Float32,
    /// ONNX `float16`.
    Float16,
    /// ONNX `int64`.
    Int64,
    /// ONNX `int32`.
    Int32,
    /// ONNX `bool`.
    Bool,
}

impl PortType {
    /// Whether its elements are floats.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float32 | Self::Float16)
    }

    /// Bytes of an element on a GPU, where float16 is widened.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Float32 | Self::Float16 | Self::Int32 | Self::Bool => 4,
            Self::Int64 => 8,
        }
    }
}

/// What a dimension that depends on the request stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Symbol {
    /// Prompts of a run.
    #[serde(rename = "n")]
    Rows,
    /// Tokens of a prompt.
    #[serde(rename = "tokens")]
    Tokens,
    /// Height of the latents.
    #[serde(rename = "h")]
    Height,
    /// Width of the latents.
    #[serde(rename = "w")]
    Width,
    /// Height of the picture in pixels.
    #[serde(rename = "height")]
    PixelHeight,
    /// Width of the picture in pixels.
    #[serde(rename = "width")]
    PixelWidth,
}

/// A dimension of a [`Port`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    /// The same for every request.
    Is(usize),
    /// What the request makes of it.
    Of(Symbol),
}

/// An input or output of a [`Graph`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Name in the ONNX graph.
    pub name: String,
    /// Element type.
    pub dtype: PortType,
    /// Dimensions, outermost first.
    pub shape: Vec<Dim>,
}

impl Port {
    /// Prompts that a run takes at once: the first dimension, one where the graph leaves it open.
    pub fn rows(&self) -> usize {
        match self.shape.first() {
            Some(Dim::Is(rows)) => *rows,
            Some(Dim::Of(_)) | None => 1,
        }
    }
}

/// An ONNX graph of the package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// Name of its file.
    pub file: String,
    /// Files of its external data: the package's file by the location that the graph names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub external: BTreeMap<String, String>,
    /// Inputs that the pipeline gives.
    pub inputs: Vec<Port>,
    /// Outputs that the pipeline reads.
    pub outputs: Vec<Port>,
}

impl Graph {
    /// The input of that name.
    pub fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|port| port.name == name)
    }

    /// The output of that name.
    pub fn output(&self, name: &str) -> Option<&Port> {
        self.outputs.iter().find(|port| port.name == name)
    }

    /// Its file and those of its external data.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let external = self.external.values().map(String::as_str);
        std::iter::once(&*self.file).chain(external)
    }
}

/// What the symbols are for one run of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bindings {
    /// Prompts.
    pub rows: usize,
    /// Tokens of a prompt.
    pub tokens: usize,
    /// Height and width of the latents.
    pub latents: [usize; 2],
    /// Height and width of the picture in pixels.
    pub pixels: [usize; 2],
}

impl Bindings {
    /// The shape of a port.
    pub fn shape(&self, port: &Port) -> Vec<usize> {
        let size = |dim: &Dim| match dim {
            Dim::Is(size) => *size,
            Dim::Of(symbol) => self.of(*symbol),
        };
        port.shape.iter().map(size).collect()
    }

    fn of(&self, symbol: Symbol) -> usize {
        match symbol {
            Symbol::Rows => self.rows,
            Symbol::Tokens => self.tokens,
            Symbol::Height => self.latents[0],
            Symbol::Width => self.latents[1],
            Symbol::PixelHeight => self.pixels[0],
            Symbol::PixelWidth => self.pixels[1],
        }
    }
}
