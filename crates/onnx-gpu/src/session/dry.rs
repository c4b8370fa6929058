//! Planning without a device.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::{Stats, fixed_or_one};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Graph;
use crate::kernels::AdapterClass;
use crate::lower::lower_graph;
use crate::plan::Plan;
use crate::proto::Model;
use crate::weights::{Bytes, Origin, read_small};

/// What a model would cost on a device of a class: parses, optimises, infers shapes and places buffers, without opening one.
///
/// Dimensions that the model leaves open count as 1. `pipelines` and `weight_bytes` are those of the plan.
///
/// # Errors
/// As [`crate::Session::from_bytes`], but for the device's own; a weight outside of `bytes` is not read.
pub fn dry_run(bytes: &[u8], class: AdapterClass) -> Result<Stats> {
    let mut model = Model::parse(bytes)?;
    let files = Bytes::new();
    let origin = Origin {
        graph: bytes,
        files: &files,
    };
    let initializers = std::mem::take(&mut model.graph.initializers);
    let reading = pin!(read_small(initializers, &origin));
    // Bytes in memory are there at once.
    let known = match reading.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(known) => known?,
        Poll::Pending => return Err(Error::new(ErrorKind::Io, "bytes in memory are not ready")),
    };
    let graph = Graph::new(model, known)?;
    let shapes: Vec<Vec<usize>> = graph
        .inputs
        .iter()
        .map(|(_, info)| fixed_or_one(info))
        .collect();
    let mut program = lower_graph(&graph, &shapes, class)?;
    let plan = Plan::new(&mut program);
    let keys: std::collections::HashSet<&str> =
        plan.steps.iter().map(|s| s.launch.key.as_str()).collect();
    Ok(Stats {
        dispatches: plan.steps.len(),
        pipelines: keys.len(),
        peak_bytes: plan.working_bytes(&program),
        weight_bytes: program
            .buffers
            .iter()
            .zip(&plan.used)
            .filter(|(buffer, used)| **used && buffer.source.is_constant())
            .map(|(buffer, _)| buffer.bytes)
            .sum(),
        nodes: graph.nodes.len(),
    })
}
