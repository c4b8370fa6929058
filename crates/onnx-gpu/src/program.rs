//! The launches of a graph for one set of input shapes, and the values that they compute.

mod layout;
mod recipe;
mod value;

use std::sync::Arc;

pub(crate) use layout::{Layout, Run, refine};
pub(crate) use recipe::{Ingredient, Recipe, Write};
pub(crate) use value::{Device, Value, data_key, elem};

use crate::graph::ValueId;
use crate::kernels::Launch;
use crate::tensor::Tensor;

/// Index of a buffer in a [`Program`].
pub(crate) type BufferId = usize;

/// Where a buffer's contents come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Written by launches.
    Scratch,
    /// Written before each run: the graph input of this index.
    Input,
    /// Uploaded once.
    Constant(Tensor),
    /// On the device since the model was loaded.
    Weight(ValueId),
    /// Written once, by [`Program::prepare`]; equal recipes give equal contents.
    Prepared(Option<Arc<Recipe>>),
}

impl Source {
    /// Whether the contents are the same in every run.
    pub fn is_constant(&self) -> bool {
        matches!(
            self,
            Self::Constant(_) | Self::Weight(_) | Self::Prepared(_)
        )
    }
}

/// A buffer of a program.
#[derive(Clone, Debug)]
pub(crate) struct BufferInfo {
    pub bytes: u64,
    pub source: Source,
}

/// One launch with its buffers.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub launch: Launch,
    pub inputs: Vec<BufferId>,
    pub output: BufferId,
}

/// The launches of one graph for one set of input shapes.
#[derive(Debug)]
pub(crate) struct Program {
    pub buffers: Vec<BufferInfo>,
    /// Launches that read nothing but constants: run once, before the first run.
    pub prepare: Vec<Step>,
    pub steps: Vec<Step>,
    /// Per graph input; `None` for one without elements and one whose value is part of the program.
    pub inputs: Vec<Option<BufferId>>,
    /// Per table of which a run reads rows; `None` where it reads none.
    pub rows: Vec<Option<BufferId>>,
    pub outputs: Vec<Value>,
}
