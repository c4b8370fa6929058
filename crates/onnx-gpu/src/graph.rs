//! The graph in the form that is walked: values by index, nodes in topological order, constants folded, dead code gone.

pub(crate) mod attributes;
mod casts;
mod cse;
mod fold;
mod fuse;
mod passes;
mod report;

use std::collections::HashMap;

pub use passes::{Pass, Passes};
pub use report::Report;

use crate::error::{Result, invalid_model, unsupported};
use crate::proto::{self, Attribute, ValueInfo};
use crate::proto::{Contents, Initializer, Storage};
use crate::tensor::{DType, Tensor};
use crate::weights::{Constants, MAX_HOST_BYTES, Weight};

/// Index of a value in its graph.
pub(crate) type ValueId = usize;

/// Operator sets this crate was written against.
pub const OPSETS: std::ops::RangeInclusive<i64> = 7..=28;

/// Domain of the operators that [`fuse`] introduces; a file that names it is refused.
pub(crate) const FUSED_DOMAIN: &str = "onnx-gpu.fused";

/// One operator call.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub name: String,
    pub op: String,
    pub domain: String,
    pub inputs: Vec<Option<ValueId>>,
    pub outputs: Vec<Option<ValueId>>,
    pub attributes: Vec<Attribute>,
    pub epilogue: Epilogue,
}

/// Work that fusion moved from following nodes into this one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Epilogue {
    /// Added to every output row.
    pub bias: Option<ValueId>,
    /// Added after the bias.
    pub residual: Option<ValueId>,
    /// Applied last.
    pub activation: crate::kernels::Activation,
}

impl Node {
    /// Every value that the node reads.
    pub fn reads(&self) -> impl Iterator<Item = ValueId> + '_ {
        let epilogue = self.epilogue.bias.into_iter().chain(self.epilogue.residual);
        self.inputs.iter().flatten().copied().chain(epilogue)
    }

    /// Name for messages: the node's own, or its first output's position in the file.
    pub fn label(&self) -> &str {
        if self.name.is_empty() {
            "unnamed"
        } else {
            &self.name
        }
    }
}

/// A checked graph.
#[derive(Debug)]
pub(crate) struct Graph {
    pub opset: i64,
    pub nodes: Vec<Node>,
    /// Constants in main memory.
    pub constants: HashMap<ValueId, Tensor>,
    /// Constants on the device only.
    pub weights: HashMap<ValueId, Weight>,
    pub inputs: Vec<(ValueId, ValueInfo)>,
    pub outputs: Vec<(ValueId, ValueInfo)>,
    pub values: usize,
    pub passes: Passes,
}

/// Version of the ONNX operator set that a model imports.
pub(crate) fn opset(model: &proto::Model) -> Result<i64> {
    let version = model
        .opsets
        .iter()
        .find(|(domain, _)| is_onnx(domain))
        .map(|&(_, version)| version)
        .ok_or_else(|| invalid_model("the model imports no ONNX operator set"))?;
    if !OPSETS.contains(&version) {
        return Err(unsupported(format!(
            "opset {version} is outside {}..={}",
            OPSETS.start(),
            OPSETS.end()
        )));
    }
    Ok(version)
}

/// Whether a domain names ONNX's own operators.
pub(crate) fn is_onnx(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

impl Graph {
    /// Checks a parsed model (single assignment, topological order) and runs the passes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidModel`] where the graph breaks the ONNX rules, [`crate::ErrorKind::UnsupportedOp`] for an
    /// operator set out of range.
    pub fn new(model: proto::Model, known: Constants, passes: Passes) -> Result<Self> {
        let opset = opset(&model)?;
        let mut names = Names::default();
        let mut constants = HashMap::new();
        let mut inputs = Vec::new();
        for (name, tensor) in known.host {
            constants.insert(names.define(&name)?, tensor);
        }
        let mut weights = HashMap::new();
        for (name, weight) in known.device {
            weights.insert(names.define(&name)?, weight);
        }
        for info in model.graph.inputs {
            // Files older than IR version 4 list initializers among the inputs.
            if !names.ids.contains_key(&info.name) {
                inputs.push((names.define(&info.name)?, info));
            }
        }
        let mut nodes = Vec::with_capacity(model.graph.nodes.len());
        for node in model.graph.nodes {
            if node.domain == FUSED_DOMAIN {
                return Err(invalid_model(format!(
                    "domain '{FUSED_DOMAIN}' is reserved"
                )));
            }
            let resolved = node
                .inputs
                .iter()
                .map(|name| names.find(name))
                .collect::<Result<_>>()
                .map_err(|e| e.in_node(&node.name, &node.op))?;
            let outputs = node
                .outputs
                .iter()
                .map(|name| (!name.is_empty()).then(|| names.define(name)).transpose())
                .collect::<Result<_>>()
                .map_err(|e| e.in_node(&node.name, &node.op))?;
            nodes.push(Node {
                name: if node.name.is_empty() {
                    node.outputs.first().cloned().unwrap_or_default()
                } else {
                    node.name
                },
                op: node.op,
                domain: node.domain,
                inputs: resolved,
                outputs,
                attributes: node.attributes,
                epilogue: Epilogue::default(),
            });
        }
        let mut outputs = Vec::new();
        for info in model.graph.outputs {
            let id = names
                .find(&info.name)?
                .ok_or_else(|| invalid_model("a graph output has no name"))?;
            outputs.push((id, info));
        }
        if outputs.is_empty() {
            return Err(invalid_model("the graph has no output"));
        }
        let mut graph = Self {
            opset,
            nodes,
            constants,
            weights,
            inputs,
            outputs,
            values: names.ids.len(),
            passes,
        };
        graph.remove_dead();
        if passes.contains(Pass::Constants) {
            graph.fold();
        }
        if passes.contains(Pass::Casts) {
            graph.drop_casts();
        }
        if passes.contains(Pass::CommonSubexpressions) {
            graph.share_common();
        }
        graph.fuse();
        graph.remove_dead();
        graph.evict();
        Ok(graph)
    }

    /// Turns large constants that folding or the file's own lists of numbers left in main memory into weights.
    fn evict(&mut self) {
        let large =
            |tensor: &Tensor| (tensor.len() * tensor.dtype().size()) as u64 > MAX_HOST_BYTES;
        let ids: Vec<ValueId> = self
            .constants
            .iter()
            .filter(|(_, t)| t.dtype().is_float() && large(t))
            .map(|(&id, _)| id)
            .collect();
        for id in ids {
            let Some(tensor) = self.constants.remove(&id) else {
                continue;
            };
            let contents = Initializer {
                name: format!("value {id}"),
                shape: tensor.shape().to_vec(),
                storage: if tensor.dtype() == DType::F16 {
                    Storage::F16
                } else {
                    Storage::F32
                },
                contents: Contents::Known(tensor),
            };
            self.weights.insert(id, Weight::new(contents));
        }
    }

    /// Drops what main memory still holds of the weights, once they are on the device.
    pub fn forget_contents(&mut self) {
        for weight in self.weights.values_mut() {
            weight.forget();
        }
    }

    /// Shape of a constant, wherever it lives.
    pub(super) fn constant_shape(&self, id: ValueId) -> Option<&[usize]> {
        let host = self.constants.get(&id).map(Tensor::shape);
        host.or_else(|| Some(&self.weights.get(&id)?.shape))
    }

    /// Keeps what the outputs depend on.
    pub(super) fn remove_dead(&mut self) {
        if !self.passes.contains(Pass::DeadCode) {
            return;
        }
        let mut live = vec![false; self.values];
        for &(id, _) in &self.outputs {
            live[id] = true;
        }
        let mut kept: Vec<Node> = Vec::with_capacity(self.nodes.len());
        while let Some(node) = self.nodes.pop() {
            if node.outputs.iter().flatten().any(|&id| live[id]) {
                for id in node.reads() {
                    live[id] = true;
                }
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
        self.constants.retain(|&id, _| live[id]);
        self.weights.retain(|&id, _| live[id]);
    }

    /// How many nodes read each value; a graph output counts as a reader.
    pub(super) fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.values];
        for node in &self.nodes {
            for id in node.reads() {
                readers[id] += 1;
            }
        }
        for &(id, _) in &self.outputs {
            readers[id] += 1;
        }
        readers
    }
}

/// Value names met so far.
#[derive(Default)]
struct Names {
    ids: HashMap<String, ValueId>,
}

impl Names {
    fn define(&mut self, name: &str) -> Result<ValueId> {
        let id = self.ids.len();
        match self.ids.entry(name.to_owned()) {
            std::collections::hash_map::Entry::Occupied(_) => {
                Err(invalid_model(format!("value '{name}' is defined twice")))
            }
            std::collections::hash_map::Entry::Vacant(entry) => Ok(*entry.insert(id)),
        }
    }

    fn find(&self, name: &str) -> Result<Option<ValueId>> {
        if name.is_empty() {
            return Ok(None);
        }
        self.ids.get(name).copied().map(Some).ok_or_else(|| {
            invalid_model(format!(
                "value '{name}' is used before it is defined (a cycle, or nodes out of order)"
            ))
        })
    }
}
