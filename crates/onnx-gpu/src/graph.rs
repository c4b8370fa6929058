//! The graph in the form that is walked: values by index, nodes in topological order.

pub(crate) mod attributes;
mod build;
mod known;
mod passes;
mod rows;

use std::collections::{HashMap, HashSet};

pub(crate) use build::take_initializers;
pub use passes::{Pass, Passes};
pub(crate) use rows::Rows;

use crate::error::{Result, invalid_model, unsupported};
use crate::proto::{self, Attribute, Dim, ValueInfo};
use crate::tensor::{DType, Tensor};
use crate::weights::{Constants, Weight};

/// Index of a value in its graph.
pub(crate) type ValueId = usize;

/// Name of an output, and what the file says of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutputInfo {
    /// Name.
    pub name: String,
    /// Element type; `None` for a value inside of the graph that was asked for.
    pub dtype: Option<DType>,
    /// Dimensions; `None` where the file does not say the rank.
    pub shape: Option<Vec<Dim>>,
}

impl From<ValueInfo> for OutputInfo {
    fn from(info: ValueInfo) -> Self {
        Self {
            name: info.name,
            dtype: Some(info.dtype),
            shape: info.shape,
        }
    }
}

/// Operator sets this crate was written against.
pub const OPSETS: std::ops::RangeInclusive<i64> = 6..=28;

/// The operator whose branches are subgraphs.
pub(crate) const IF: &str = "If";

/// Domain of the operators that fusion introduces; a file that names it is refused.
pub(crate) const FUSED_DOMAIN: &str = "onnx-gpu.fused";
/// The domain of ONNX Runtime's own operators.
pub(crate) const CONTRIB_DOMAIN: &str = "com.microsoft";

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
    /// Of an `If`, what it does where its condition holds and where not; else empty.
    pub branches: Vec<Branch>,
}

/// A subgraph of a node: values of the graphs around it are among those that its nodes read.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    /// In topological order.
    pub nodes: Vec<Node>,
    /// One for each output of the node.
    pub outputs: Vec<ValueId>,
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
    /// Every value that the node reads; of a node with branches also what is read, and made, inside of them.
    pub fn reads(&self) -> Box<dyn Iterator<Item = ValueId> + '_> {
        let epilogue = self.epilogue.bias.into_iter().chain(self.epilogue.residual);
        let own = self.inputs.iter().flatten().copied().chain(epilogue);
        if self.branches.is_empty() {
            return Box::new(own);
        }
        let inner = self.branches.iter().flat_map(|branch| {
            let outputs = branch.outputs.iter().copied();
            outputs.chain(branch.nodes.iter().flat_map(Node::reads))
        });
        Box::new(own.chain(inner))
    }

    /// Reads other values in the place of its inputs, inside branches too.
    pub fn rename(&mut self, alias: &[ValueId]) {
        for id in self.inputs.iter_mut().flatten() {
            *id = alias[*id];
        }
        for branch in &mut self.branches {
            branch.nodes.iter_mut().for_each(|node| node.rename(alias));
            branch.outputs.iter_mut().for_each(|id| *id = alias[*id]);
        }
    }

    /// The branch that a condition chooses.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidModel`] unless the condition is one truth value.
    pub fn chosen(&self, condition: &Tensor) -> Result<&Branch> {
        let &[holds] = condition.as_bool().unwrap_or_default() else {
            return Err(invalid_model(format!(
                "the condition is {} {:?}, not one truth value",
                condition.dtype(),
                condition.shape()
            )));
        };
        self.branches
            .get(usize::from(!holds))
            .ok_or_else(|| invalid_model("a branch is missing"))
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
    pub outputs: Vec<(ValueId, OutputInfo)>,
    /// Names of inputs that no output depends on, where outputs were chosen.
    pub spare: Vec<String>,
    pub values: usize,
    pub passes: Passes,
    /// Per input, whether a plan may have to know its value: a shape or a branch follows from it.
    pub read_by_plans: Vec<bool>,
    /// Rows that runs read from files.
    pub rows: Vec<Rows>,
    /// Weights that are brought to the device during runs.
    pub streamed: HashSet<ValueId>,
    /// Bytes that are brought there at a time, unless one launch reads more.
    pub bank_bytes: u64,
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
    /// Checks a parsed model (single assignment, no cycles), whose constants are in `known`. Only what leads to
    /// the values named by `wanted` is kept; without them, what leads to the model's outputs.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidModel`] where the graph breaks the ONNX rules, [`crate::ErrorKind::UnsupportedOp`] for an
    /// operator set out of range, [`crate::ErrorKind::InvalidInput`] for a name that no value has.
    pub fn new(
        model: proto::Model,
        known: Constants,
        passes: Passes,
        wanted: Option<&[String]>,
    ) -> Result<Self> {
        let opset = opset(&model)?;
        let parts = build::build(model.graph, known, wanted)?;
        let mut graph = Self {
            opset,
            nodes: parts.nodes,
            constants: parts.constants,
            weights: parts.weights,
            inputs: parts.inputs,
            outputs: parts.outputs,
            spare: Vec::new(),
            values: parts.values,
            passes,
            read_by_plans: Vec::new(),
            rows: Vec::new(),
            streamed: HashSet::new(),
            bank_bytes: 0,
        };
        if wanted.is_some() {
            graph.keep_wanted();
        }
        graph.remove_dead();
        graph.note_inputs_read_by_plans();
        Ok(graph)
    }

    /// Drops what main memory still holds of the weights, once they are on the device.
    pub fn forget_contents(&mut self) {
        for weight in self.weights.values_mut() {
            weight.forget();
        }
    }

    /// Shape of a constant, wherever it lives.
    pub fn constant_shape(&self, id: ValueId) -> Option<&[usize]> {
        let host = self.constants.get(&id).map(Tensor::shape);
        host.or_else(|| Some(&self.weights.get(&id)?.shape))
    }

    /// Keeps what the outputs depend on, whatever the passes, and the inputs among it.
    fn keep_wanted(&mut self) {
        let live = self.drop_dead();
        let (kept, spare): (Vec<_>, Vec<_>) = std::mem::take(&mut self.inputs)
            .into_iter()
            .partition(|(id, _)| live[*id]);
        self.inputs = kept;
        self.spare = spare.into_iter().map(|(_, info)| info.name).collect();
    }

    /// Keeps what the outputs depend on.
    pub fn remove_dead(&mut self) {
        if self.passes.contains(Pass::DeadCode) {
            self.drop_dead();
        }
    }

    /// Keeps what the outputs depend on; tells it per value.
    fn drop_dead(&mut self) -> Vec<bool> {
        let mut live = vec![false; self.values];
        for &(id, _) in &self.outputs {
            live[id] = true;
        }
        keep_live(&mut self.nodes, &mut live);
        self.constants.retain(|&id, _| live[id]);
        self.weights.retain(|&id, _| live[id]);
        live
    }

    /// How many nodes read each value; a graph output counts as a reader.
    pub fn readers(&self) -> Vec<usize> {
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

/// Keeps the nodes that make what is live, and marks what they read.
fn keep_live(nodes: &mut Vec<Node>, live: &mut [bool]) {
    let mut kept: Vec<Node> = Vec::with_capacity(nodes.len());
    while let Some(mut node) = nodes.pop() {
        if !node.outputs.iter().flatten().any(|&id| live[id]) {
            continue;
        }
        for branch in &mut node.branches {
            branch.outputs.iter().for_each(|&id| live[id] = true);
            keep_live(&mut branch.nodes, live);
        }
        for id in node.reads() {
            live[id] = true;
        }
        kept.push(node);
    }
    kept.reverse();
    *nodes = kept;
}
