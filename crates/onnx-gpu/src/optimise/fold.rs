//! Folds nodes whose inputs are constants, once per model, so that every plan shares the results.

use std::collections::VecDeque;

use crate::context::Lowering;
use crate::graph::{Epilogue, Graph, Node};
use crate::kernels::AdapterClass;
use crate::lower::lower_node;
use crate::program::Value;

impl Graph {
    /// Evaluates constant nodes on the CPU. A node without a CPU implementation stays, and so do errors: they surface, with
    /// the node's name, when a plan is made. An `If` whose condition is constant gives way to its branch.
    pub(super) fn fold(&mut self) {
        let mut nodes: VecDeque<Node> = std::mem::take(&mut self.nodes).into();
        let mut lowering = Lowering::fold_only(self.opset, AdapterClass::Hardware);
        while let Some(node) = nodes.pop_front() {
            if !node.branches.is_empty() {
                match self.branch_of(&node) {
                    Some(inlined) => inlined.into_iter().rev().for_each(|n| nodes.push_front(n)),
                    None => self.nodes.push(node),
                }
                continue;
            }
            let inputs: Option<Vec<Option<Value>>> = node
                .inputs
                .iter()
                .map(|id| match id {
                    None => Some(None),
                    Some(id) => self
                        .constants
                        .get(id)
                        .cloned()
                        .map(|t| Some(Value::Const(t))),
                })
                .collect();
            let folded = inputs.and_then(|inputs| lower_node(&mut lowering, &node, inputs).ok());
            match folded {
                Some(outputs) => {
                    for (id, value) in node.outputs.iter().zip(outputs) {
                        if let (Some(id), Some(Value::Const(tensor))) = (id, value) {
                            self.constants.insert(*id, tensor);
                        }
                    }
                }
                None => self.nodes.push(node),
            }
        }
        self.remove_dead();
    }

    /// The nodes that an `If` stands for, where its condition is known.
    fn branch_of(&self, node: &Node) -> Option<Vec<Node>> {
        let condition = self.constants.get(node.inputs.first()?.as_ref()?)?;
        let branch = node.chosen(condition).ok()?;
        let mut nodes = branch.nodes.clone();
        for (&made, out) in branch.outputs.iter().zip(&node.outputs) {
            nodes.push(Node {
                name: node.name.clone(),
                op: "Identity".into(),
                domain: String::new(),
                inputs: vec![Some(made)],
                outputs: vec![*out],
                attributes: Vec::new(),
                epilogue: Epilogue::default(),
                branches: Vec::new(),
            });
        }
        Some(nodes)
    }
}
