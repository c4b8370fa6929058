//! What a run costs, without a device.

use std::collections::HashSet;

use super::compile::TOGETHER;
use super::dry::planned_for;
use super::{LEAST_TABLE, Session, inputs};
use crate::error::Result;
use crate::graph::{Graph, Passes};
use crate::kernels::AdapterClass;
use crate::lower::{Given, lower_graph};
use crate::optimise::InFiles;
use crate::plan::{Plan, Turns};
use crate::program::{BufferId, Program, Source, Step};
use crate::proto::{Dim, ValueInfo};
use crate::weights::{Bytes, WeightSource};

/// Arithmetic and memory of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point operations of convolutions, matrix products and attention, a multiplication and an addition counted
    /// as two.
    pub flops: u64,
    /// Dispatches.
    pub dispatches: usize,
    /// Bytes of the largest buffer.
    pub largest_buffer: u64,
    /// Bytes of all constants, inputs and intermediate results that a loaded model holds.
    pub total_bytes: u64,
    /// Those of constants that stay on the device, of [`Cost::total_bytes`].
    pub constant_bytes: u64,
    /// Bytes of constants that each run brings to the device, see [`super::Options::weights_budget`].
    pub streamed_bytes: u64,
    /// Those that it holds while it is loaded, at most: beside what is prepared from constants also constants as they are stored. A
    /// model whose inputs have open dimensions keeps those, for plans to come; else 32 MiB of them are there at a time, or what one
    /// launch reads.
    pub load_bytes: u64,
}

/// What a run of a model costs; `open` gives dimensions that the model leaves open by the name of their input and their place.
///
/// # Errors
/// As [`crate::dry_run`].
pub fn dry_cost(
    bytes: &[u8],
    class: AdapterClass,
    open: &dyn Fn(&str, usize) -> usize,
) -> Result<Cost> {
    counted(bytes, &Bytes::new(), class, None, open)
}

/// What [`Session::open_reading`] takes of a model with small constants in other files, which have to be there at once; large ones
/// are not read. Of tables with at least [`LEAST_TABLE`] bytes, rows are on the device.
///
/// # Errors
/// As [`crate::dry_run`].
pub fn dry_cost_beside(
    bytes: &[u8],
    files: &dyn WeightSource,
    class: AdapterClass,
    open: &dyn Fn(&str, usize) -> usize,
) -> Result<Cost> {
    dry_cost_within(bytes, files, class, None, open)
}

/// [`dry_cost_beside`] with [`super::Options::weights_budget`].
///
/// # Errors
/// As [`crate::dry_run`].
pub fn dry_cost_within(
    bytes: &[u8],
    files: &dyn WeightSource,
    class: AdapterClass,
    weights_budget: Option<u64>,
    open: &dyn Fn(&str, usize) -> usize,
) -> Result<Cost> {
    let in_files = InFiles {
        least_table: LEAST_TABLE,
        budget: weights_budget,
    };
    counted(bytes, files, class, Some(in_files), open)
}

/// One dispatch of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dispatch {
    /// Kernel family.
    pub label: &'static str,
    /// Pipeline, see [`crate::kernels::Launch::key`].
    pub key: String,
    /// Bytes of the buffers that it binds: the least that it reads and writes, each byte once.
    pub bytes: u64,
    /// Multiplications and additions of products, convolutions and attention; 0 for other kernels.
    pub flops: u64,
}

/// The dispatches of a run in order, counted without a device; arguments as for [`dry_cost_beside`].
///
/// # Errors
/// As [`crate::dry_run`].
pub fn dry_dispatches(
    bytes: &[u8],
    files: &dyn WeightSource,
    class: AdapterClass,
    open: &dyn Fn(&str, usize) -> usize,
) -> Result<Vec<Dispatch>> {
    let in_files = InFiles {
        least_table: LEAST_TABLE,
        budget: None,
    };
    let shape = |input: &ValueInfo| shape_of(input, open);
    let planned = planned_for(bytes, files, Passes::ALL, class, Some(in_files), &shape)?;
    let buffers = &planned.program.buffers;
    let dispatch = |step: Step| {
        let mut bound: Vec<BufferId> = step.inputs;
        bound.push(step.output);
        bound.sort_unstable();
        bound.dedup();
        Dispatch {
            label: step.launch.label,
            key: step.launch.key,
            bytes: bound.into_iter().map(|id| buffers[id].bytes).sum(),
            flops: step.launch.flops,
        }
    };
    Ok(planned.plan.steps.into_iter().map(dispatch).collect())
}

/// The declared shape of an input, with what `open` gives for dimensions that are open.
fn shape_of(input: &ValueInfo, open: &dyn Fn(&str, usize) -> usize) -> Vec<usize> {
    let dims = input.shape.iter().flatten().enumerate();
    dims.map(|(place, dim)| match dim {
        Dim::Fixed(size) => *size,
        Dim::Symbol(_) => open(&input.name, place),
    })
    .collect()
}

fn counted(
    bytes: &[u8],
    files: &dyn WeightSource,
    class: AdapterClass,
    in_files: Option<InFiles>,
    open: &dyn Fn(&str, usize) -> usize,
) -> Result<Cost> {
    let shape = |input: &ValueInfo| shape_of(input, open);
    let planned = planned_for(bytes, files, Passes::ALL, class, in_files, &shape)?;
    let (graph, fixed) = (&planned.graph, planned.fixed);
    Ok(Cost::of(graph, &planned.program, &planned.plan, fixed))
}

impl Cost {
    fn of(graph: &Graph, program: &Program, plan: &Plan, fixed: bool) -> Self {
        let turns = if graph.streamed.is_empty() {
            Turns::default()
        } else {
            Turns::new(graph, program, plan)
        };
        let stays = |source: &Source| match source {
            Source::Weight(id) => !graph.streamed.contains(id),
            other => other.is_constant(),
        };
        let used = || {
            let buffers = program.buffers.iter().zip(&plan.used);
            buffers.filter_map(|(buffer, used)| used.then_some(buffer))
        };
        let largest = used().map(|buffer| buffer.bytes).max().unwrap_or_default();
        let slots = plan.slot_bytes.iter().copied().max().unwrap_or_default();
        let slots = slots.max(turns.bank_bytes);
        let bytes_of = |held: &dyn Fn(usize) -> bool| -> u64 {
            let buffers = program.buffers.iter().enumerate();
            let constants = buffers.filter(|(id, buffer)| stays(&buffer.source) && held(*id));
            constants.map(|(_, buffer)| buffer.bytes).sum()
        };
        let touched: HashSet<usize> = plan
            .prepare
            .iter()
            .flat_map(|step| step.inputs.iter().copied().chain([step.output]))
            .collect();
        let working = plan.working_bytes(program) + turns.bytes();
        let loaded = bytes_of(&|id| plan.used[id] || touched.contains(&id));
        let constant_bytes = if fixed {
            bytes_of(&|id| plan.used[id])
        } else {
            loaded
        };
        Self {
            flops: plan.steps.iter().map(|step| step.launch.flops).sum(),
            dispatches: plan.steps.len(),
            largest_buffer: largest.max(slots),
            total_bytes: working + constant_bytes,
            constant_bytes,
            load_bytes: if fixed {
                working + constant_bytes + (loaded - constant_bytes).min(at_once(program, plan))
            } else {
                working + loaded
            },
            streamed_bytes: turns.brought(),
        }
    }
}

/// Most bytes of constants that are on the device only to prepare others of them.
fn at_once(program: &Program, plan: &Plan) -> u64 {
    let read = plan.prepare.iter().map(|step| -> u64 {
        let inputs = step.inputs.iter().filter(|id| !plan.used[**id]);
        inputs.map(|id| program.buffers[*id].bytes).sum()
    });
    read.max().unwrap_or_default().max(TOGETHER)
}

impl Session {
    /// What a run on inputs of these shapes costs on this session's device, by a plan for which no buffer is made.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] for a missing or unknown input, [`crate::ErrorKind::ShapeMismatch`] for shapes
    /// that the model does not take.
    pub fn cost(&self, inputs: &[(&str, &[usize])]) -> Result<Cost> {
        let shapes = inputs::check_shapes(&self.inputs, &self.graph.spare, inputs)?;
        let shapes: Vec<Given> = shapes.into_iter().map(Given::from).collect();
        let mut program = lower_graph(&self.graph, &shapes, self.gpu.target())?;
        let plan = Plan::new(&mut program);
        let fixed = self.fixed().is_some();
        Ok(Cost::of(&self.graph, &program, &plan, fixed))
    }
}
