//! Folds nodes whose inputs are constants, once per model, so that every plan shares the results.

use super::Graph;
use crate::kernels::AdapterClass;
use crate::lower::{Lowering, Value, lower_node};

impl Graph {
    /// Evaluates constant nodes on the CPU. A node without a CPU implementation stays, and so do errors: they surface, with
    /// the node's name, when a plan is made.
    pub(super) fn fold(&mut self) {
        let nodes = std::mem::take(&mut self.nodes);
        let mut lowering = Lowering::fold_only(self.opset, AdapterClass::Hardware);
        for node in nodes {
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
}
