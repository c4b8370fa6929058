//! Takes launches that depend on constants alone out of a program: they run once, on the device.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::graph::Graph;
use crate::program::{BufferId, Ingredient, Program, Recipe, Source, Step, Write, data_key};

/// Largest growth of a constant by a hoisted launch: beyond, recomputing is cheaper than keeping the result.
const MAX_GROWTH: u64 = 8;

pub(super) fn hoist(program: &mut Program, graph: &Graph) {
    let constant = constant_buffers(program, graph, false);
    let shared: std::collections::HashSet<_> = graph.constants.values().map(data_key).collect();
    let (prepare, steps): (Vec<Step>, Vec<Step>) = std::mem::take(&mut program.steps)
        .into_iter()
        .partition(|step| constant[step.output]);
    program.steps = steps;
    if !graph.streamed.is_empty() {
        let derived = constant_buffers(program, graph, true);
        program.steps = sink(std::mem::take(&mut program.steps), &derived);
    }
    let mut writes: Vec<Option<Vec<Write>>> = vec![Some(Vec::new()); program.buffers.len()];
    let mut last = vec![0; program.buffers.len()];
    for (index, step) in prepare.iter().enumerate() {
        last[step.output] = index;
    }
    for (index, step) in prepare.iter().enumerate() {
        let ingredients: Option<Vec<Ingredient>> = step
            .inputs
            .iter()
            .map(|&input| match &program.buffers[input].source {
                Source::Weight(id) => Some(Ingredient::Weight(*id)),
                Source::Constant(tensor) => {
                    let key = data_key(tensor);
                    shared.contains(&key).then_some(Ingredient::Constant(key))
                }
                Source::Prepared(recipe) => recipe.clone().map(Ingredient::Prepared),
                Source::Scratch | Source::Input => None,
            })
            .collect();
        let list = &mut writes[step.output];
        match (list.as_mut(), ingredients) {
            (Some(list), Some(ingredients)) => list.push((
                step.launch.key.clone(),
                step.launch.params.clone(),
                ingredients,
            )),
            _ => *list = None,
        }
        if last[step.output] == index {
            let recipe = writes[step.output].take().map(|w| Arc::new(Recipe(w)));
            program.buffers[step.output].source = Source::Prepared(recipe);
        }
    }
    program.prepare = prepare;
}

/// Moves the steps that write nothing but `derived` buffers to right before the first step that reads these: what is made of a weight
/// that is there for a while is then made while it is there, and does not lie around before.
fn sink(steps: Vec<Step>, derived: &[bool]) -> Vec<Step> {
    enum Visit {
        Buffer(BufferId),
        Step(Step),
    }
    let mut waiting: BTreeMap<BufferId, Vec<Step>> = BTreeMap::new();
    let mut stack: Vec<Visit> = Vec::with_capacity(steps.len());
    for step in steps {
        if derived[step.output] {
            waiting.entry(step.output).or_default().push(step);
        } else {
            stack.push(Visit::Step(step));
        }
    }
    // What no step reads is an output.
    let unread = waiting.keys().copied().map(Visit::Buffer);
    stack.extend(unread.collect::<Vec<_>>());
    stack.reverse();
    let mut sunk = Vec::with_capacity(stack.len());
    while let Some(visit) = stack.pop() {
        let writers = match visit {
            Visit::Buffer(buffer) => waiting.remove(&buffer).unwrap_or_default(),
            Visit::Step(step) if step.inputs.iter().any(|id| waiting.contains_key(id)) => {
                let inputs: Vec<Visit> = step.inputs.iter().copied().map(Visit::Buffer).collect();
                stack.push(Visit::Step(step));
                stack.extend(inputs.into_iter().rev());
                continue;
            }
            Visit::Step(step) => {
                sunk.push(step);
                continue;
            }
        };
        stack.extend(writers.into_iter().rev().map(Visit::Step));
    }
    sunk
}

/// Which buffers hold the same in every run: constants, and what is written from nothing else. Weights that are brought to the
/// device during runs are there for a part of each, and so is what is made of them.
/// With `streamed`, those count as constants.
fn constant_buffers(program: &Program, graph: &Graph, streamed: bool) -> Vec<bool> {
    let mut constant: Vec<bool> = program
        .buffers
        .iter()
        .map(|buffer| match &buffer.source {
            Source::Input => false,
            Source::Weight(id) => streamed || !graph.streamed.contains(id),
            _ => true,
        })
        .collect();
    for step in &program.steps {
        let read: u64 = step
            .inputs
            .iter()
            .map(|&input| program.buffers[input].bytes)
            .sum();
        let small = program.buffers[step.output].bytes <= read.saturating_mul(MAX_GROWTH);
        // Steps are in order: every input has its final say, unless a later step writes to it again.
        constant[step.output] &= small && step.inputs.iter().all(|&input| constant[input]);
    }
    // A buffer that a later step spoils spoils what was read from it before.
    loop {
        let before = constant.clone();
        for step in &program.steps {
            constant[step.output] &= step.inputs.iter().all(|&input| constant[input]);
        }
        if before == constant {
            return constant;
        }
    }
}
