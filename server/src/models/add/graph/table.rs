//! How many embeddings a graph has.

use std::collections::{HashMap, HashSet};

use onnx_gpu::proto::{Graph, Node};

/// Operators that pass ids on.
const PASSING: [&str; 6] = [
    "Cast",
    "Identity",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
];
/// Operators that pass a table of weights on.
const WIDENING: [&str; 3] = ["Cast", "Identity", "DequantizeLinear"];

/// Rows of the table that the input `ids` picks from; nothing where no such table is found.
pub(super) fn rows(graph: &Graph, ids: &str) -> Option<usize> {
    let mut carry: HashSet<&str> = HashSet::from([ids]);
    // Nodes may be in any order; each round finds at least one more, or none is left.
    loop {
        let passes = |node: &&Node| {
            PASSING.contains(&&*node.op)
                && node
                    .inputs
                    .first()
                    .is_some_and(|name| carry.contains(&**name))
        };
        let further: Vec<&str> = graph
            .nodes
            .iter()
            .filter(passes)
            .flat_map(|node| &node.outputs)
            .map(|name| &**name)
            .filter(|name| !carry.contains(name))
            .collect();
        if further.is_empty() {
            break;
        }
        carry.extend(further);
    }
    let made: HashMap<&str, &Node> = graph
        .nodes
        .iter()
        .flat_map(|node| node.outputs.iter().map(move |name| (&**name, node)))
        .collect();
    let weights: HashMap<&str, &[usize]> = graph
        .initializers
        .iter()
        .map(|weight| (&*weight.name, &*weight.shape))
        .collect();
    graph.nodes.iter().find_map(|node| {
        let [table, picked, ..] = &node.inputs[..] else {
            return None;
        };
        if node.op != "Gather" || !carry.contains(&**picked) {
            return None;
        }
        let mut name = &**table;
        for _ in 0..graph.nodes.len() {
            let Some(node) = made.get(name).filter(|node| WIDENING.contains(&&*node.op)) else {
                break;
            };
            name = node.inputs.first()?;
        }
        weights
            .get(name)
            .filter(|shape| shape.len() == 2)
            .and_then(|shape| shape.first().copied())
    })
}

#[cfg(test)]
mod tests {
    use onnx_gpu::proto::{Contents, Initializer, Location, Storage};

    use super::*;

    fn node(op: &str, inputs: &[&str], output: &str) -> Node {
        Node {
            op: op.into(),
            inputs: inputs.iter().map(|&name| name.into()).collect(),
            outputs: vec![output.into()],
            ..Node::default()
        }
    }

    fn weight(name: &str, shape: &[usize]) -> Initializer {
        Initializer {
            name: name.into(),
            shape: shape.to_vec(),
            storage: Storage::F32,
            contents: Contents::Stored(Location {
                file: None,
                offset: 0,
                length: 0,
            }),
        }
    }

    /// As exporters write it: ids reshaped and cast, positions from a table of their own, weights widened.
    #[test]
    fn the_table_is_that_of_the_ids() {
        let graph = Graph {
            nodes: vec![
                node("Gather", &["positions", "places"], "p"),
                node("Gather", &["wide", "whole"], "e"),
                node("Cast", &["flat"], "whole"),
                node("Cast", &["half"], "wide"),
                node("Reshape", &["input_ids", "shape"], "flat"),
            ],
            initializers: vec![weight("positions", &[77, 8]), weight("half", &[540, 8])],
            ..Graph::default()
        };
        assert_eq!(rows(&graph, "input_ids"), Some(540));
        assert_eq!(rows(&graph, "attention_mask"), None);
    }
}
