//! Equal nodes on equal inputs are computed once.

use std::collections::HashMap;

use crate::graph::{Graph, ValueId};
use crate::proto::AttributeValue;

/// Operators whose results differ from call to call.
const RANDOM: [&str; 6] = [
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
];

impl Graph {
    pub(super) fn share_common(&mut self) {
        let mut alias: Vec<ValueId> = (0..self.values).collect();
        let mut seen: HashMap<String, Vec<Option<ValueId>>> = HashMap::new();
        let kept: Vec<ValueId> = self.outputs.iter().map(|&(id, _)| id).collect();
        let mut nodes = std::mem::take(&mut self.nodes);
        nodes.retain_mut(|node| {
            node.rename(&alias);
            let named = node.outputs.iter().flatten().any(|id| kept.contains(id));
            // Tensors, subgraphs and unknown attribute types are not compared.
            let plain = node.branches.is_empty()
                && node.attributes.iter().all(|a| {
                    use AttributeValue::{Graph, Other, Tensor};
                    !matches!(a.value, Tensor(_) | Graph(_) | Other)
                });
            if named || !plain || RANDOM.contains(&node.op.as_str()) {
                return true;
            }
            let mut attributes: Vec<String> =
                node.attributes.iter().map(|a| format!("{a:?}")).collect();
            attributes.sort_unstable();
            let wanted: Vec<bool> = node.outputs.iter().map(Option::is_some).collect();
            let key = format!(
                "{}:{} {:?} {attributes:?} {:?} {wanted:?}",
                node.domain, node.op, node.inputs, node.epilogue
            );
            match seen.get(&key) {
                None => {
                    seen.insert(key, node.outputs.clone());
                    true
                }
                Some(first) => {
                    for (id, same) in node.outputs.iter().zip(first) {
                        if let (Some(id), Some(same)) = (id, same) {
                            alias[*id] = *same;
                        }
                    }
                    false
                }
            }
        });
        self.nodes = nodes;
    }
}
