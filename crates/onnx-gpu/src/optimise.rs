//! Makes a graph smaller before any plan: constants are computed, equal nodes joined, patterns fused, and weights left in their files.

mod casts;
mod cse;
mod fold;
mod fuse;
mod in_files;

pub(crate) use in_files::InFiles;

use crate::graph::{Graph, Pass, ValueId};
use crate::proto::{Contents, Initializer, Storage};
use crate::tensor::{DType, Tensor};
use crate::weights::{MAX_HOST_BYTES, Weight};

impl Graph {
    /// Runs the passes of the graph.
    pub fn optimise(&mut self) {
        let passes = self.passes;
        if passes.contains(Pass::Constants) {
            self.fold();
        }
        if passes.contains(Pass::Casts) {
            self.drop_casts();
        }
        if passes.contains(Pass::CommonSubexpressions) {
            self.share_common();
        }
        self.fuse();
        self.remove_dead();
        self.evict();
        self.note_inputs_read_by_plans();
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
                storage: match tensor.dtype() {
                    DType::F16 => Storage::F16,
                    DType::BF16 => Storage::BF16,
                    _ => Storage::F32,
                },
                contents: Contents::Known(tensor),
            };
            self.weights.insert(id, Weight::new(contents));
        }
    }
}
