//! Planning without a device.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::{Stats, fixed_or_one};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Passes, take_initializers};
use crate::kernels::AdapterClass;
use crate::lower::{Given, lower_graph};
use crate::optimise::InFiles;
use crate::plan::Plan;
use crate::program::Program;
use crate::proto::{Dim, Model, ValueInfo};
use crate::weights::{Bytes, Origin, WeightSource, read_small};

/// What a model would cost on a device of a class: parses, optimises, infers shapes and places buffers, without opening one.
///
/// The device is taken to bind 128 MiB at a time, as every WebGPU device does. Dimensions that the model leaves open count as 1. `pipelines` and `weight_bytes` are those of the plan.
///
/// # Errors
/// As [`crate::Session::from_bytes`], but for the device's own; a large weight outside of `bytes` is not asked for.
pub fn dry_run(bytes: &[u8], class: AdapterClass) -> Result<Stats> {
    let planned = planned(bytes, &Bytes::new(), Passes::ALL, class)?;
    let weight_bytes = planned.weight_bytes();
    let Planned {
        graph,
        program,
        plan,
        ..
    } = planned;
    let keys: std::collections::HashSet<&str> =
        plan.steps.iter().map(|s| s.launch.key.as_str()).collect();
    Ok(Stats {
        dispatches: plan.steps.len(),
        pipelines: keys.len(),
        peak_bytes: plan.working_bytes(&program),
        weight_bytes,
        streamed_bytes: 0,
        nodes: graph.nodes.len(),
        flops: plan.steps.iter().map(|step| step.launch.flops).sum(),
    })
}

/// A model's graph, launches and buffers.
pub(super) struct Planned {
    pub graph: Graph,
    pub program: Program,
    pub plan: Plan,
    /// Whether the model leaves no dimension of its inputs open.
    pub fixed: bool,
}

impl Planned {
    /// Bytes of the constants that a run reads.
    pub fn weight_bytes(&self) -> u64 {
        let buffers = self.program.buffers.iter().zip(&self.plan.used);
        buffers
            .filter(|(buffer, used)| **used && buffer.source.is_constant())
            .map(|(buffer, _)| buffer.bytes)
            .sum()
    }
}

/// Parses, optimises and plans, with 1 for open dimensions. `files` have to be there at once.
pub(super) fn planned(
    bytes: &[u8],
    files: &dyn WeightSource,
    passes: Passes,
    class: AdapterClass,
) -> Result<Planned> {
    planned_for(bytes, files, passes, class, None, &fixed_or_one)
}

/// [`planned`] with `shape` of each input, and with what stays in the files.
pub(super) fn planned_for(
    bytes: &[u8],
    files: &dyn WeightSource,
    passes: Passes,
    class: AdapterClass,
    in_files: Option<InFiles>,
    shape: &dyn Fn(&ValueInfo) -> Vec<usize>,
) -> Result<Planned> {
    let mut model = Model::parse(bytes)?;
    let origin = Origin {
        graph: bytes,
        files,
    };
    let initializers = take_initializers(&mut model);
    let reading = pin!(read_small(initializers, &origin));
    let known = match reading.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(known) => known?,
        Poll::Pending => return Err(Error::new(ErrorKind::Io, "a file is not ready")),
    };
    let mut graph = Graph::new(model, known, passes, None)?;
    graph.optimise();
    if let Some(in_files) = in_files {
        graph.leave_in_files(in_files);
    }
    let inputs = || graph.inputs.iter().map(|(_, info)| info);
    let is_fixed = |dim: &Dim| matches!(dim, Dim::Fixed(_));
    let fixed = inputs().all(|i| i.shape.as_ref().is_some_and(|s| s.iter().all(is_fixed)));
    let shapes: Vec<Given> = inputs().map(|info| shape(info).into()).collect();
    let mut program = lower_graph(&graph, &shapes, class.into())?;
    let plan = Plan::new(&mut program);
    Ok(Planned {
        graph,
        program,
        plan,
        fixed,
    })
}
