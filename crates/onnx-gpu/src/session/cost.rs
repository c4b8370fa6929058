//! What a run costs, without a device.

use super::dry::{Planned, planned_for};
use crate::error::Result;
use crate::graph::Passes;
use crate::kernels::AdapterClass;
use crate::proto::{Dim, ValueInfo};
use crate::weights::Bytes;

/// Arithmetic and memory of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point operations of convolutions, matrix products and attention, a multiplication and an addition counted
    /// as two.
    pub flops: u64,
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
    let constants = planned.weight_bytes();
    let Planned { program, plan, .. } = planned;
    let used = || {
        program
            .buffers
            .iter()
            .zip(&plan.used)
            .filter(|(_, used)| **used)
    };
    let largest = used()
        .map(|(buffer, _)| buffer.bytes)
        .max()
        .unwrap_or_default();
    let slots = plan.slot_bytes.iter().copied().max().unwrap_or_default();
    Ok(Cost {
        flops: plan.steps.iter().map(|step| step.launch.flops()).sum(),
        largest_buffer: largest.max(slots),
        total_bytes: plan.working_bytes(&program) + constants,
    })
}
