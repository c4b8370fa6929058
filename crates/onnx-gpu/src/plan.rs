//! Where each buffer of a program lives: lifetimes over the launches, and reuse of whole buffers.

mod turns;

pub(crate) use turns::{Place, Turns};

use crate::program::{BufferId, Program, Source, Step, Value};

/// A program without dead launches, each written buffer assigned to a slot.
#[derive(Debug)]
pub(crate) struct Plan {
    pub steps: Vec<Step>,
    /// Launches that may have to run once before the others; what they write is used if a step reads it.
    pub prepare: Vec<Step>,
    /// Slot per buffer; `None` for inputs, constants and buffers that nothing writes any more.
    pub slots: Vec<Option<usize>>,
    /// Bytes per slot.
    pub slot_bytes: Vec<u64>,
    /// Buffers that a launch or an output still reads or writes.
    pub used: Vec<bool>,
}

impl Plan {
    /// Takes the launches out of a program and places its buffers.
    pub fn new(program: &mut Program) -> Self {
        let outputs: Vec<BufferId> = program
            .outputs
            .iter()
            .filter_map(|value| match value {
                Value::Device(device) => Some(device.buffer),
                Value::Const(_) => None,
            })
            .collect();
        let (steps, used) = live(
            std::mem::take(&mut program.steps),
            &outputs,
            program.buffers.len(),
        );
        let mut last = vec![0; program.buffers.len()];
        for (i, step) in steps.iter().enumerate() {
            last[step.output] = i;
            for &input in &step.inputs {
                last[input] = i;
            }
        }
        for &output in &outputs {
            last[output] = usize::MAX;
        }
        let mut slots = vec![None; program.buffers.len()];
        let mut slot_bytes: Vec<u64> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        for (i, step) in steps.iter().enumerate() {
            if slots[step.output].is_none() {
                let bytes = program.buffers[step.output].bytes;
                let slot = match take_best(&mut free, &slot_bytes, bytes) {
                    Some(slot) => slot,
                    None => {
                        slot_bytes.push(0);
                        slot_bytes.len() - 1
                    }
                };
                slot_bytes[slot] = slot_bytes[slot].max(bytes);
                slots[step.output] = Some(slot);
            }
            // Freed only after the step, so that a launch never writes what it reads.
            let mut ended: Vec<BufferId> = step.inputs.clone();
            ended.push(step.output);
            ended.sort_unstable();
            ended.dedup();
            for buffer in ended {
                if last[buffer] == i
                    && let Some(slot) = slots[buffer]
                {
                    free.push(slot);
                }
            }
        }
        Self {
            steps,
            prepare: std::mem::take(&mut program.prepare),
            slots,
            slot_bytes,
            used,
        }
    }

    /// Bytes of scratch memory and inputs.
    pub fn working_bytes(&self, program: &Program) -> u64 {
        let inputs: u64 = program
            .buffers
            .iter()
            .zip(&self.used)
            .filter(|(buffer, used)| **used && matches!(buffer.source, Source::Input))
            .map(|(buffer, _)| buffer.bytes)
            .sum();
        inputs + self.slot_bytes.iter().sum::<u64>()
    }
}

/// Drops launches whose results nobody reads.
fn live(steps: Vec<Step>, outputs: &[BufferId], buffers: usize) -> (Vec<Step>, Vec<bool>) {
    let mut used = vec![false; buffers];
    for &output in outputs {
        used[output] = true;
    }
    let mut kept: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps.into_iter().rev() {
        if used[step.output] {
            for &input in &step.inputs {
                used[input] = true;
            }
            kept.push(step);
        }
    }
    kept.reverse();
    (kept, used)
}

/// The smallest free slot that fits, else the largest one, to be grown.
fn take_best(free: &mut Vec<usize>, sizes: &[u64], bytes: u64) -> Option<usize> {
    let best = (0..free.len()).min_by_key(|&i| {
        let size = sizes[free[i]];
        if size >= bytes {
            (0, size)
        } else {
            (1, u64::MAX - size)
        }
    })?;
    Some(free.swap_remove(best))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::borrow::Cow;

    use super::*;
    use crate::DType;
    use crate::kernels::Launch;
    use crate::program::{BufferInfo, Device};

    fn program(sizes: &[u64], steps: &[(&[usize], usize)], output: usize) -> Program {
        let launch = Launch {
            label: "test",
            key: "test".into(),
            wgsl: Cow::Borrowed(""),
            params: vec![],
            workgroups: [1; 3],
            turns: 0,
            bindings: 1,
            flops: 0,
        };
        Program {
            buffers: sizes
                .iter()
                .enumerate()
                .map(|(i, &bytes)| BufferInfo {
                    bytes,
                    source: if i == 0 {
                        Source::Input
                    } else {
                        Source::Scratch
                    },
                })
                .collect(),
            steps: steps
                .iter()
                .map(|(inputs, output)| Step {
                    launch: launch.clone(),
                    inputs: inputs.to_vec(),
                    output: *output,
                })
                .collect(),
            prepare: vec![],
            inputs: vec![Some(0)],
            rows: vec![],
            outputs: vec![Value::Device(Device {
                buffer: output,
                shape: vec![1],
                dtype: DType::F32,
                half: false,
                packing: Default::default(),
                layout: None,
            })],
        }
    }

    #[test]
    fn a_chain_needs_two_slots_and_drops_dead_steps() {
        let steps: &[(&[usize], usize)] = &[(&[0], 1), (&[1], 2), (&[1], 5), (&[2], 3), (&[3], 4)];
        let mut p = program(&[8, 16, 32, 16, 8, 99], steps, 4);
        let plan = Plan::new(&mut p);
        assert_eq!(plan.steps.len(), 4);
        assert!(!plan.used[5]);
        assert_eq!(plan.slot_bytes.len(), 2);
        assert_eq!(plan.working_bytes(&p), 8 + 16 + 32);
    }

    #[test]
    fn no_launch_reads_the_slot_that_it_writes() {
        let steps: &[(&[usize], usize)] = &[
            (&[0], 1),
            (&[0, 1], 2),
            (&[1, 2], 3),
            (&[2, 3], 4),
            (&[4, 1], 5),
        ];
        let mut p = program(&[4; 6], steps, 5);
        let plan = Plan::new(&mut p);
        for step in &plan.steps {
            for &input in &step.inputs {
                assert!(
                    plan.slots[input].is_none() || plan.slots[input] != plan.slots[step.output]
                );
            }
        }
        // Buffer 1 lives to the end: no later output may take its slot.
        for later in [2, 3, 4, 5] {
            assert_ne!(plan.slots[1], plan.slots[later]);
        }
    }

    #[test]
    fn a_buffer_written_by_parts_keeps_its_slot() {
        let steps: &[(&[usize], usize)] = &[(&[0], 1), (&[0], 2), (&[0], 1), (&[1, 2], 3)];
        let plan = Plan::new(&mut program(&[4; 4], steps, 3));
        assert_eq!(plan.steps.len(), 4);
        assert_ne!(plan.slots[1], plan.slots[2]);
    }
}
