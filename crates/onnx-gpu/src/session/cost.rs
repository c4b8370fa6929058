//! What a run costs, without a device.

use std::collections::HashSet;

use super::dry::planned_for;
use super::{Session, inputs};
use crate::error::Result;
use crate::graph::Passes;
use crate::kernels::AdapterClass;
use crate::lower::{Given, Program, lower_graph};
use crate::plan::Plan;
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
    /// Those that it holds while it is loaded: constants as they are stored, beside what is prepared from them. A model whose
    /// inputs have open dimensions keeps them, for plans to come.
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
    dry_cost_beside(bytes, &Bytes::new(), class, open)
}

/// [`dry_cost`] of a model with small constants in other files, which have to be there at once; large ones are not read.
///
/// # Errors
/// As [`crate::dry_run`].
pub fn dry_cost_beside(
    bytes: &[u8],
    files: &dyn WeightSource,
    class: AdapterClass,
    open: &dyn Fn(&str, usize) -> usize,
) -> Result<Cost> {
    let shape = |input: &ValueInfo| -> Vec<usize> {
        let dims = input.shape.iter().flatten().enumerate();
        dims.map(|(place, dim)| match dim {
            Dim::Fixed(size) => *size,
            Dim::Symbol(_) => open(&input.name, place),
        })
        .collect()
    };
    let planned = planned_for(bytes, files, Passes::ALL, class, &shape)?;
    Ok(Cost::of(&planned.program, &planned.plan, planned.fixed))
}

impl Cost {
    fn of(program: &Program, plan: &Plan, fixed: bool) -> Self {
        let used = || {
            let buffers = program.buffers.iter().zip(&plan.used);
            buffers.filter_map(|(buffer, used)| used.then_some(buffer))
        };
        let largest = used().map(|buffer| buffer.bytes).max().unwrap_or_default();
        let slots = plan.slot_bytes.iter().copied().max().unwrap_or_default();
        let bytes_of = |held: &dyn Fn(usize) -> bool| -> u64 {
            let buffers = program.buffers.iter().enumerate();
            let constants = buffers.filter(|(id, buffer)| buffer.source.is_constant() && held(*id));
            constants.map(|(_, buffer)| buffer.bytes).sum()
        };
        let touched: HashSet<usize> = plan
            .prepare
            .iter()
            .flat_map(|step| step.inputs.iter().copied().chain([step.output]))
            .collect();
        let working = plan.working_bytes(program);
        let load_bytes = working + bytes_of(&|id| plan.used[id] || touched.contains(&id));
        Self {
            flops: plan.steps.iter().map(|step| step.launch.flops()).sum(),
            dispatches: plan.steps.len(),
            largest_buffer: largest.max(slots),
            total_bytes: if fixed {
                working + bytes_of(&|id| plan.used[id])
            } else {
                load_bytes
            },
            load_bytes,
        }
    }
}

impl Session {
    /// What a run on inputs of these shapes costs on this session's device, by a plan for which no buffer is made.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] for a missing or unknown input, [`crate::ErrorKind::ShapeMismatch`] for shapes
    /// that the model does not take.
    pub fn cost(&self, inputs: &[(&str, &[usize])]) -> Result<Cost> {
        let shapes = inputs::check_shapes(&self.inputs, inputs)?;
        let shapes: Vec<Given> = shapes.into_iter().map(Given::from).collect();
        let mut program = lower_graph(&self.graph, &shapes, self.gpu.target())?;
        let plan = Plan::new(&mut program);
        Ok(Cost::of(&program, &plan, self.fixed().is_some()))
    }
}
