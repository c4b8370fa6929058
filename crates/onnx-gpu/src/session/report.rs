//! What the optimiser makes of a model, without a device.

use std::collections::BTreeMap;

use super::dry::planned;
use crate::error::Result;
use crate::graph::{FUSED_DOMAIN, Passes};
use crate::kernels::AdapterClass;
use crate::weights::WeightSource;

/// A model after some passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Nodes per operator; those that fusion introduces are in the domain `fused`.
    pub operators: BTreeMap<String, usize>,
    /// Dispatches per kernel family, if every input shape is fixed.
    pub kernels: Option<BTreeMap<&'static str, usize>>,
    /// Bytes of inputs and intermediate results, if every input shape is fixed.
    pub working_bytes: Option<u64>,
    /// Bytes of constants as the device holds them, if every input shape is fixed.
    pub weight_bytes: Option<u64>,
    /// Bytes of the largest buffer, weights included, if every input shape is fixed.
    pub largest_buffer: Option<u64>,
}

impl Report {
    /// Runs the passes and plans the dispatches for an adapter of the given class. Of the `files` beside the graph only small
    /// constants are read, and the source has to have them at once, as memory and a folder do.
    ///
    /// # Errors
    /// As [`crate::Session::load`] for the files.
    pub fn new(
        onnx: &[u8],
        files: &dyn WeightSource,
        passes: Passes,
        class: AdapterClass,
    ) -> Result<Self> {
        let planned = planned(onnx, files, passes, class)?;
        let mut report = Self::default();
        for node in &planned.graph.nodes {
            let name = match node.domain.as_str() {
                FUSED_DOMAIN => format!("fused::{}", node.op),
                "" | "ai.onnx" => node.op.clone(),
                domain => format!("{domain}::{}", node.op),
            };
            *report.operators.entry(name).or_default() += 1;
        }
        if !planned.fixed {
            return Ok(report);
        }
        let mut kernels = BTreeMap::new();
        for step in &planned.plan.steps {
            *kernels.entry(step.launch.label).or_default() += 1;
        }
        report.kernels = Some(kernels);
        let buffers = planned.program.buffers.iter().zip(&planned.plan.used);
        let used = buffers.filter(|(_, used)| **used).map(|(buffer, _)| buffer);
        report.largest_buffer = used.map(|buffer| buffer.bytes).max();
        report.weight_bytes = Some(planned.weight_bytes());
        report.working_bytes = Some(planned.plan.working_bytes(&planned.program));
        Ok(report)
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.operators.values().sum()
    }

    /// Dispatches per run, if every input shape is fixed.
    pub fn dispatches(&self) -> Option<usize> {
        self.kernels.as_ref().map(|kernels| kernels.values().sum())
    }
}
