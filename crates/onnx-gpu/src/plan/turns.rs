//! When weights that stay in their files are brought to the device: in turns between launches, into two banks by turns, so that those
//! of the next launches are read while the last ones compute.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::Plan;
use crate::gpu::PART_ALIGNMENT;
use crate::graph::{Graph, ValueId};
use crate::program::{BufferId, Program, Source, Step};

/// Where a weight lies for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub bank: usize,
    /// In bytes, a multiple of [`PART_ALIGNMENT`].
    pub offset: u64,
    /// Whole `vec4`s, as buffers are.
    pub bytes: u64,
}

/// Weights to bring, and the launches that then run.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub loads: Vec<(ValueId, Place)>,
    pub steps: Range<usize>,
    /// Where what the launches read is, brought in this turn or in the one before.
    pub places: HashMap<BufferId, Place>,
}

/// All launches of a plan in turns.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    pub list: Vec<Turn>,
    pub bank_bytes: u64,
    pub banks: usize,
}

impl Turns {
    /// Turns of a plan whose graph streams weights; a bank has the bytes that the graph says, or what one launch reads if that is
    /// more.
    pub fn new(graph: &Graph, program: &Program, plan: &Plan) -> Self {
        let streamed = |step: &Step| -> BTreeMap<BufferId, (ValueId, u64)> {
            let inputs = step.inputs.iter().copied();
            inputs
                .filter_map(|id| match program.buffers[id].source {
                    Source::Weight(value) if graph.streamed.contains(&value) => {
                        let bytes = program.buffers[id].bytes;
                        Some((id, (value, bytes.next_multiple_of(PART_ALIGNMENT))))
                    }
                    _ => None,
                })
                .collect()
        };
        let sum = |read: &BTreeMap<BufferId, (ValueId, u64)>| -> u64 {
            read.values().map(|(_, bytes)| bytes).sum()
        };
        let most = plan.steps.iter().map(|step| sum(&streamed(step))).max();
        let bank_bytes = graph
            .bank_bytes
            .next_multiple_of(PART_ALIGNMENT)
            .max(most.unwrap_or_default());
        let mut turns = Self {
            bank_bytes,
            ..Self::default()
        };
        let mut held: [HashMap<BufferId, Place>; 2] = Default::default();
        let (mut bank, mut filled) = (0, 0);
        let mut turn = Turn::default();
        for (index, step) in plan.steps.iter().enumerate() {
            let read = streamed(step);
            let is_held = |held: &[HashMap<BufferId, Place>; 2], id: &BufferId| {
                held.iter().any(|bank| bank.contains_key(id))
            };
            let missing = read.iter().filter(|(id, _)| !is_held(&held, id));
            let missing: u64 = missing.map(|(_, (_, bytes))| bytes).sum();
            if filled + missing > bank_bytes {
                turn.steps.end = index;
                turns.list.push(std::mem::take(&mut turn));
                turn.steps.start = index;
                bank = 1 - bank;
                filled = 0;
                held[bank].clear();
            }
            for (id, (value, bytes)) in read {
                let known = held.iter().find_map(|bank| bank.get(&id)).copied();
                let place = known.unwrap_or_else(|| {
                    let place = Place {
                        bank,
                        offset: filled,
                        bytes: program.buffers[id].bytes.next_multiple_of(16),
                    };
                    filled += bytes;
                    turns.banks = turns.banks.max(bank + 1);
                    held[bank].insert(id, place);
                    turn.loads.push((value, place));
                    place
                });
                turn.places.insert(id, place);
            }
        }
        turn.steps.end = plan.steps.len();
        turns.list.push(turn);
        turns
    }

    /// Bytes of the banks.
    pub fn bytes(&self) -> u64 {
        self.banks as u64 * self.bank_bytes
    }

    /// Bytes that a run brings to the device.
    pub fn brought(&self) -> u64 {
        let loads = self.list.iter().flat_map(|turn| &turn.loads);
        loads.map(|(_, place)| place.bytes).sum()
    }
}
