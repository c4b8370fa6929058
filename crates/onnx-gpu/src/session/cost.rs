//! What a run costs, without a device.

use super::dry::planned_for;
use super::{Session, inputs};
use crate::error::Result;
use crate::graph::Passes;
use crate::kernels::AdapterClass;
use crate::lower::{Program, lower_graph};
use crate::plan::Plan;
use crate::proto::{Dim, ValueInfo};
use crate::weights::Bytes;

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
    /// Bytes of all constants, inputs and intermediate results.
    pub total_bytes: u64,
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
    let shape = |input: &ValueInfo| -> Vec<usize> {
        let dims = input.shape.iter().flatten().enumerate();
        dims.map(|(place, dim)| match dim {
            Dim::Fixed(size) => *size,
            Dim::Symbol(_) => open(&input.name, place),
        })
        .collect()
    };
    let files = Bytes::new();
    let planned = planned_for(bytes, &files, Passes::ALL, class, &shape)?;
    Ok(Cost::of(&planned.program, &planned.plan))
}

impl Cost {
    fn of(program: &Program, plan: &Plan) -> Self {
        let used = || {
            let buffers = program.buffers.iter().zip(&plan.used);
            buffers.filter_map(|(buffer, used)| used.then_some(buffer))
        };
        let largest = used().map(|buffer| buffer.bytes).max().unwrap_or_default();
        let slots = plan.slot_bytes.iter().copied().max().unwrap_or_default();
        let constants: u64 = used()
            .filter(|buffer| buffer.source.is_constant())
            .map(|buffer| buffer.bytes)
            .sum();
        Self {
            flops: plan.steps.iter().map(|step| step.launch.flops()).sum(),
            dispatches: plan.steps.len(),
            largest_buffer: largest.max(slots),
            total_bytes: plan.working_bytes(program) + constants,
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
        let mut program = lower_graph(&self.graph, &shapes, self.gpu.target())?;
        let plan = Plan::new(&mut program);
        Ok(Cost::of(&program, &plan))
    }
}
