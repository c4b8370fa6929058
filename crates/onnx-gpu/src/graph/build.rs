//! From a parsed model to values by index: names are resolved through the scopes of subgraphs, nodes put in topological order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::{Branch, Epilogue, FUSED_DOMAIN, IF, Node, OutputInfo, ValueId, is_onnx};
use crate::error::{Error, ErrorKind, Result, invalid_model};
use crate::proto::{self, AttributeValue, Contents, Initializer, Subgraph, ValueInfo};
use crate::tensor::Tensor;
use crate::weights::{Constants, Weight};

/// The branches of an `If` in the order in which [`Branch`]es are kept.
const BRANCHES: [&str; 2] = ["then_branch", "else_branch"];

/// Takes the constants of a model and of its branches out of it, each under a name of its own, and leaves stubs behind.
pub(crate) fn take_initializers(model: &mut proto::Model) -> Vec<Initializer> {
    let mut taken = Vec::new();
    take(&mut model.graph.initializers, None, &mut taken);
    let mut count = 0;
    take_branches(&mut model.graph.nodes, &mut count, &mut taken);
    taken
}

fn take(list: &mut [Initializer], subgraph: Option<usize>, taken: &mut Vec<Initializer>) {
    for initializer in list {
        let shape = initializer.shape.clone();
        taken.push(Initializer {
            name: key(&initializer.name, subgraph),
            shape,
            storage: initializer.storage,
            contents: std::mem::replace(&mut initializer.contents, Contents::Stored(NOWHERE)),
        });
    }
}

const NOWHERE: proto::Location = proto::Location {
    file: None,
    offset: 0,
    length: 0,
};

fn take_branches(nodes: &mut [proto::Node], count: &mut usize, taken: &mut Vec<Initializer>) {
    for node in nodes.iter_mut().filter(|node| is_if(node)) {
        for name in BRANCHES {
            let Some(branch) = branch_of(&mut node.attributes, name) else {
                continue;
            };
            *count += 1;
            take(&mut branch.initializers, Some(*count), taken);
            take_branches(&mut branch.nodes, count, taken);
        }
    }
}

/// The name of a constant among those of all subgraphs, which are counted in the order of the file.
fn key(name: &str, subgraph: Option<usize>) -> String {
    match subgraph {
        None => name.to_owned(),
        Some(number) => format!("{name} (subgraph {number})"),
    }
}

fn is_if(node: &proto::Node) -> bool {
    node.op == IF && is_onnx(&node.domain)
}

fn branch_of<'a>(attributes: &'a mut [proto::Attribute], name: &str) -> Option<&'a mut Subgraph> {
    attributes.iter_mut().find_map(|a| match &mut a.value {
        AttributeValue::Graph(graph) if a.name == name => Some(graph.as_mut()),
        _ => None,
    })
}

/// What a model consists of.
pub(super) struct Parts {
    pub nodes: Vec<Node>,
    pub constants: HashMap<ValueId, Tensor>,
    pub weights: HashMap<ValueId, Weight>,
    pub inputs: Vec<(ValueId, ValueInfo)>,
    pub outputs: Vec<(ValueId, OutputInfo)>,
    pub values: usize,
}

/// Resolves the names of a model whose constants were taken out by [`take_initializers`]. Outputs are the values that `wanted`
/// names, or those that the model declares.
pub(super) fn build(
    graph: proto::Graph,
    known: Constants,
    wanted: Option<&[String]>,
) -> Result<Parts> {
    let mut builder = Builder::default();
    let mut constants = HashMap::new();
    for (name, tensor) in known.host {
        constants.insert(builder.constant(name)?, tensor);
    }
    let mut weights = HashMap::new();
    for (name, weight) in known.device {
        weights.insert(builder.constant(name)?, weight);
    }
    builder.scopes.push(HashMap::new());
    for initializer in &graph.initializers {
        builder.adopt(&initializer.name, None)?;
    }
    let mut inputs = Vec::new();
    for info in graph.inputs {
        // Files older than IR version 4 list initializers among the inputs.
        if builder.find(&info.name).is_none() {
            inputs.push((builder.define(&info.name)?, info));
        }
    }
    let nodes = builder.nodes(graph.nodes)?;
    let mut declared = Vec::new();
    for info in graph.outputs {
        declared.push((builder.named(&info.name)?, OutputInfo::from(info)));
    }
    let outputs = match wanted {
        Some(names) => builder.wanted(names, &inputs, declared)?,
        None if declared.is_empty() => return Err(invalid_model("the graph has no output")),
        None => declared,
    };
    Ok(Parts {
        nodes,
        constants,
        weights,
        inputs,
        outputs,
        values: builder.values,
    })
}

#[derive(Default)]
struct Builder {
    values: usize,
    /// Subgraphs met so far.
    subgraphs: usize,
    /// Every constant by its [`key`].
    constants: HashMap<String, ValueId>,
    /// Names that are seen, the innermost scope last.
    scopes: Vec<HashMap<String, ValueId>>,
}

fn twice(name: &str) -> crate::Error {
    invalid_model(format!("value '{name}' is defined twice"))
}

impl Builder {
    fn value(&mut self) -> ValueId {
        self.values += 1;
        self.values - 1
    }

    fn constant(&mut self, key: String) -> Result<ValueId> {
        let id = self.value();
        if self.constants.contains_key(&key) {
            return Err(twice(&key));
        }
        self.constants.insert(key, id);
        Ok(id)
    }

    /// Brings a constant into the innermost scope.
    fn adopt(&mut self, name: &str, subgraph: Option<usize>) -> Result<()> {
        let id = self.constants.get(&key(name, subgraph)).copied();
        let id = id.ok_or_else(|| invalid_model(format!("constant '{name}' has no data")))?;
        self.insert(name, id)
    }

    fn define(&mut self, name: &str) -> Result<ValueId> {
        let id = self.value();
        self.insert(name, id)?;
        Ok(id)
    }

    fn insert(&mut self, name: &str, id: ValueId) -> Result<()> {
        let scope = self.scopes.last_mut();
        match scope.and_then(|scope| scope.insert(name.to_owned(), id)) {
            None => Ok(()),
            Some(_) => Err(twice(name)),
        }
    }

    fn find(&self, name: &str) -> Option<ValueId> {
        let mut scopes = self.scopes.iter().rev();
        scopes.find_map(|scope| scope.get(name).copied())
    }

    /// The value of a name that must be there.
    fn named(&self, name: &str) -> Result<ValueId> {
        if name.is_empty() {
            return Err(invalid_model("an output has no name"));
        }
        self.find(name)
            .ok_or_else(|| invalid_model(format!("value '{name}' is used and nothing defines it")))
    }

    /// The values of these names, whatever makes them; what the model declares of them is noted.
    fn wanted(
        &self,
        names: &[String],
        inputs: &[(ValueId, ValueInfo)],
        declared: Vec<(ValueId, OutputInfo)>,
    ) -> Result<Vec<(ValueId, OutputInfo)>> {
        let refuse = |message: String| Error::new(ErrorKind::InvalidInput, message);
        if names.is_empty() {
            return Err(refuse("no output is asked for".to_owned()));
        }
        let mut outputs: Vec<(ValueId, OutputInfo)> = Vec::with_capacity(names.len());
        for name in names {
            if outputs.iter().any(|(_, info)| info.name == *name) {
                return Err(refuse(format!("output '{name}' is asked for twice")));
            }
            let id = self.find(name).filter(|_| !name.is_empty());
            let id = id.ok_or_else(|| refuse(format!("the model has no value '{name}'")))?;
            let known = declared.iter().map(|(_, info)| info);
            let mut known = known.filter(|info| info.name == *name).cloned();
            let input = || inputs.iter().find(|(input, _)| *input == id);
            let info = known
                .next()
                .or_else(|| Some(OutputInfo::from(input()?.1.clone())))
                .unwrap_or_else(|| OutputInfo {
                    name: name.clone(),
                    dtype: None,
                    shape: None,
                });
            outputs.push((id, info));
        }
        Ok(outputs)
    }

    /// The nodes of the innermost scope, in topological order; nodes that are in order stay so.
    fn nodes(&mut self, list: Vec<proto::Node>) -> Result<Vec<Node>> {
        let mut outputs = Vec::with_capacity(list.len());
        for node in &list {
            let ids: Result<Vec<_>> = node
                .outputs
                .iter()
                .map(|name| (!name.is_empty()).then(|| self.define(name)).transpose())
                .collect();
            outputs.push(ids.map_err(|e| e.in_node(&node.name, &node.op))?);
        }
        let mut nodes = Vec::with_capacity(list.len());
        for (node, outputs) in list.into_iter().zip(outputs) {
            let (name, op) = (node.name.clone(), node.op.clone());
            nodes.push(
                self.node(node, outputs)
                    .map_err(|e| e.in_node(&name, &op))?,
            );
        }
        sorted(nodes)
    }

    fn node(&mut self, mut node: proto::Node, outputs: Vec<Option<ValueId>>) -> Result<Node> {
        if node.domain == FUSED_DOMAIN {
            return Err(invalid_model(format!(
                "domain '{FUSED_DOMAIN}' is reserved"
            )));
        }
        let inputs = node
            .inputs
            .iter()
            .map(|name| (!name.is_empty()).then(|| self.named(name)).transpose())
            .collect::<Result<_>>()?;
        let mut branches = Vec::new();
        if is_if(&node) {
            for name in BRANCHES {
                let branch = branch_of(&mut node.attributes, name)
                    .ok_or_else(|| invalid_model(format!("'{name}' is missing")))?;
                let branch = self.branch(std::mem::take(branch), outputs.len())?;
                branches.push(branch);
            }
            let is_branch = |name: &str| BRANCHES.contains(&name);
            node.attributes.retain(|a| !is_branch(&a.name));
        }
        Ok(Node {
            name: if node.name.is_empty() {
                node.outputs.first().cloned().unwrap_or_default()
            } else {
                node.name
            },
            op: node.op,
            domain: node.domain,
            inputs,
            outputs,
            attributes: node.attributes,
            epilogue: Epilogue::default(),
            branches,
        })
    }

    fn branch(&mut self, graph: Subgraph, outputs: usize) -> Result<Branch> {
        if !graph.inputs.is_empty() || graph.outputs.len() != outputs {
            return Err(invalid_model(format!(
                "a branch has {} inputs and {} outputs, none and {outputs} are wanted",
                graph.inputs.len(),
                graph.outputs.len()
            )));
        }
        self.subgraphs += 1;
        let number = self.subgraphs;
        self.scopes.push(HashMap::new());
        for initializer in &graph.initializers {
            self.adopt(&initializer.name, Some(number))?;
        }
        let nodes = self.nodes(graph.nodes)?;
        let outputs = graph.outputs.iter().map(|name| self.named(name));
        let outputs = outputs.collect::<Result<_>>()?;
        self.scopes.pop();
        Ok(Branch { nodes, outputs })
    }
}

/// Puts every node behind those whose outputs it, or a node in one of its branches, reads.
fn sorted(nodes: Vec<Node>) -> Result<Vec<Node>> {
    let made = |(index, node): (usize, &Node)| -> Vec<(ValueId, usize)> {
        node.outputs
            .iter()
            .flatten()
            .map(|&id| (id, index))
            .collect()
    };
    let producers: HashMap<ValueId, usize> = nodes.iter().enumerate().flat_map(made).collect();
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut waiting = vec![0usize; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for &producer in node.reads().filter_map(|id| producers.get(&id)) {
            readers[producer].push(index);
            waiting[index] += 1;
        }
    }
    let ready = (0..nodes.len()).filter(|&index| waiting[index] == 0);
    let mut ready: BinaryHeap<Reverse<usize>> = ready.map(Reverse).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for &reader in &readers[index] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    if let Some(index) = waiting.iter().position(|&count| count > 0) {
        let node = &nodes[index];
        return Err(invalid_model("the node waits for its own output: a cycle")
            .in_node(node.label(), &node.op));
    }
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    Ok(order
        .into_iter()
        .filter_map(|index| nodes[index].take())
        .collect())
}
