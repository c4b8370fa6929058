//! Constants that stay in their files: tables of which a run reads rows, and weights that are brought to the device during runs.

use std::collections::{HashMap, HashSet};

use crate::graph::{Epilogue, Graph, Node, Rows, ValueId, is_onnx};
use crate::proto::AttributeValue;
use crate::tensor::DType;
use crate::weights::Weight;

/// Most bytes that are brought to the device at a time, unless one weight has more.
const LARGEST_BANK: u64 = 64 << 20;

/// Operators through which indices are followed to the inputs of the graph.
const FOLLOWED: [&str; 19] = [
    "Add",
    "Cast",
    "Clip",
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Max",
    "Min",
    "Mul",
    "Reshape",
    "Shape",
    "Slice",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// What may stay in the files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFiles {
    /// Bytes of the smallest table whose rows are read when a run asks for them.
    pub least_table: u64,
    /// Most bytes of weights on the device; `None`: all of them.
    pub budget: Option<u64>,
}

impl Graph {
    /// Leaves in the files what need not be on the device for as long as the model is.
    pub fn leave_in_files(&mut self, which: InFiles) {
        let tables: Vec<ValueId> = self
            .weights
            .iter()
            .filter(|(_, weight)| weight.has_rows() && weight.file_bytes() >= which.least_table)
            .map(|(&id, _)| id)
            .collect();
        let derived = self.derived_from_inputs();
        for table in tables {
            if let Some(rows) = self.rows_of(table, &derived) {
                self.rows.extend(rows);
            }
        }
        if !self.rows.is_empty() {
            let read: Vec<ValueId> = self.rows.iter().map(|rows| rows.value).collect();
            let made = |node: &Node| {
                let outputs = node.outputs.iter().flatten();
                outputs.clone().any(|id| read.contains(id))
            };
            self.nodes.retain(|node| !made(node));
            self.remove_dead();
        }
        if let Some(budget) = which.budget {
            self.stream_beyond(budget);
        }
    }

    /// Per value, whether it follows from integer inputs of the graph by operators that are followed.
    fn derived_from_inputs(&self) -> Vec<bool> {
        let mut derived = vec![false; self.values];
        for (id, info) in &self.inputs {
            derived[*id] = matches!(info.dtype, DType::I64 | DType::I32);
        }
        for node in &self.nodes {
            let followed = is_onnx(&node.domain)
                && FOLLOWED.contains(&&*node.op)
                && node.branches.is_empty()
                && node.epilogue == Epilogue::default();
            let mut reads = node.inputs.iter().flatten();
            let known = |id: &ValueId| derived[*id] || self.constants.contains_key(id);
            if followed && reads.clone().all(known) && reads.any(|id| derived[*id]) {
                for &id in node.outputs.iter().flatten() {
                    derived[id] = true;
                }
            }
        }
        derived
    }

    /// The rows that the graph takes of a table, if it does nothing else with it.
    fn rows_of(&self, table: ValueId, derived: &[bool]) -> Option<Vec<Rows>> {
        let weight = self.weights.get(&table)?;
        let mut names = HashMap::from([(table, weight.dtype)]);
        let mut found = Vec::new();
        for node in &self.nodes {
            if !node.reads().any(|id| names.contains_key(&id)) {
                continue;
            }
            let plain = is_onnx(&node.domain) && node.epilogue == Epilogue::default();
            match (node.op.as_str(), &*node.inputs, &*node.outputs) {
                ("Cast", [Some(_)], &[Some(to)]) if plain && casts_to_floats(node) => {
                    names.insert(to, DType::F32);
                }
                ("Gather", &[Some(data), Some(indices)], &[Some(value)])
                    if plain
                        && is_along_first_axis(node)
                        && derived[indices]
                        && !names.contains_key(&indices) =>
                {
                    let nodes = self.leading_to(indices);
                    let read = nodes.iter().flat_map(Node::reads);
                    let known = read.filter_map(|id| Some((id, self.constants.get(&id)?.clone())));
                    found.push(Rows {
                        value,
                        table: weight.clone(),
                        dtype: *names.get(&data)?,
                        indices,
                        constants: known.collect(),
                        nodes,
                    });
                }
                _ => return None,
            }
        }
        let leaves = self.outputs.iter().any(|(id, _)| names.contains_key(id));
        (!leaves && !found.is_empty()).then_some(found)
    }

    /// The nodes that a value is computed by.
    fn leading_to(&self, value: ValueId) -> Vec<Node> {
        let mut wanted = HashSet::from([value]);
        let mut nodes = Vec::new();
        for node in self.nodes.iter().rev() {
            if node.outputs.iter().flatten().any(|id| wanted.contains(id)) {
                wanted.extend(node.reads());
                nodes.push(node.clone());
            }
        }
        nodes.reverse();
        nodes
    }

    /// Notes the weights that are brought to the device during runs, so that no more than `budget` bytes are there; as far as
    /// that goes, those that several nodes read stay there, then those that are read first.
    fn stream_beyond(&mut self, budget: u64) {
        let in_files = |id: &ValueId| self.weights.get(id).filter(|weight| weight.is_in_file());
        let all: u64 = self.weights.values().map(Weight::bytes).sum();
        let fixed = self.weights.values().filter(|weight| !weight.is_in_file());
        let fixed: u64 = fixed.map(Weight::bytes).sum();
        let mut order: Vec<(ValueId, u64)> = Vec::new();
        let mut seen = HashSet::new();
        for id in self.nodes.iter().flat_map(Node::reads) {
            if let Some(weight) = in_files(&id).filter(|_| seen.insert(id)) {
                order.push((id, weight.bytes()));
            }
        }
        let largest = order.iter().map(|(_, bytes)| *bytes).max();
        let Some(largest) = largest.filter(|_| all > budget) else {
            return;
        };
        let bank = (budget / 4).clamp(largest, largest.max(LARGEST_BANK));
        if fixed + 2 * bank >= all {
            return;
        }
        let mut room = budget.saturating_sub(fixed + 2 * bank);
        let readers = self.readers();
        order.sort_by_key(|(id, _)| readers[*id] < 2);
        for (id, bytes) in order {
            if bytes <= room {
                room -= bytes;
            } else {
                self.streamed.insert(id);
            }
        }
        self.bank_bytes = bank;
    }
}

fn is_along_first_axis(node: &Node) -> bool {
    let mut attributes = node.attributes.iter();
    attributes.all(|a| a.name == "axis" && matches!(a.value, AttributeValue::Int(0)))
}

/// Whether a cast widens what is stored in 16 bits.
fn casts_to_floats(node: &Node) -> bool {
    let to = node.attributes.iter().find(|a| a.name == "to");
    to.is_some_and(|a| {
        matches!(a.value, AttributeValue::Int(to) if DType::from_onnx(to).is_ok_and(|t| t == DType::F32))
    })
}
