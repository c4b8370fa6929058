//! Tables of which a run reads rows.

use std::collections::{HashMap, HashSet};

use super::{Graph, Node, ValueId};
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::{DType, Tensor};
use crate::weights::Weight;

/// Rows of a table that a run reads from its file, in the place of a `Gather`.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// What the `Gather` would give; nothing in the graph makes it any more.
    pub value: ValueId,
    pub table: Weight,
    /// The type of the rows: the table's, or what the graph casts it to.
    pub dtype: DType,
    /// The indices: an input of the graph, or what `nodes` make of inputs and constants.
    pub indices: ValueId,
    /// In topological order.
    pub nodes: Vec<Node>,
    /// What they read beside the inputs; nothing else in the graph may need it.
    pub constants: HashMap<ValueId, Tensor>,
}

impl Rows {
    /// The inputs of the graph that the indices follow from.
    pub fn inputs<'g>(&self, graph: &'g Graph) -> impl Iterator<Item = ValueId> + use<'g> {
        let mut read: HashSet<ValueId> = self.nodes.iter().flat_map(Node::reads).collect();
        read.insert(self.indices);
        let inputs = graph.inputs.iter().map(|(id, _)| *id);
        inputs.filter(move |id| read.contains(id))
    }

    /// Places in the table for indices that may count from its end.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for one outside of the table.
    pub fn places(&self, indices: &Tensor) -> Result<Vec<usize>> {
        let count = self.table.shape.first().copied().unwrap_or_default();
        let place = |index: i64| {
            let from_start = if index < 0 {
                index.checked_add(count as i64)?
            } else {
                index
            };
            usize::try_from(from_start).ok().filter(|at| *at < count)
        };
        let indices = indices.to_i64_vec()?.into_iter();
        indices
            .map(|index| {
                place(index).ok_or_else(|| {
                    let message = format!("index {index} is outside a table of {count} rows");
                    Error::new(ErrorKind::InvalidInput, message)
                })
            })
            .collect()
    }
}
