//! Which graph inputs have to be known before a run, because a shape or the branch of an `If` follows from them.

use super::{CONTRIB_DOMAIN, FUSED_DOMAIN, Graph, IF, Node, ValueId, is_onnx};

/// The inputs of a node whose values are read when a plan is made.
fn read_by_plans(node: &Node) -> std::ops::Range<usize> {
    if node.domain == FUSED_DOMAIN {
        return if node.op == "GroupNorm" { 3..5 } else { 0..0 };
    }
    if !is_onnx(&node.domain) {
        let grouped = node.domain == CONTRIB_DOMAIN && node.op == "GroupQueryAttention";
        return if grouped { 5..7 } else { 0..0 };
    }
    match node.op.as_str() {
        IF | "ConstantOfShape" | "NonZero" => 0..1,
        "Range" => 0..3,
        "CumSum" | "Expand" | "OneHot" | "Reshape" | "Split" | "Squeeze" | "Tile" | "TopK"
        | "Trilu" | "Unsqueeze" | "Upsample" => 1..2,
        "Dropout" => 2..3,
        "Pad" | "Resize" => 1..4,
        "Slice" => 1..5,
        reduction if reduction.starts_with("Reduce") => 1..2,
        _ => 0..0,
    }
}

impl Graph {
    /// Notes per graph input whether a plan may have to know its value.
    pub fn note_inputs_read_by_plans(&mut self) {
        let mut wanted = vec![false; self.values];
        visit(&self.nodes, &mut wanted);
        self.read_by_plans = self.inputs.iter().map(|(id, _)| wanted[*id]).collect();
    }
}

/// Marks what is read by plans, and what that is computed from, from the last node to the first.
fn visit(nodes: &[Node], wanted: &mut [bool]) {
    for node in nodes.iter().rev() {
        let of_outputs: Vec<bool> = node
            .outputs
            .iter()
            .map(|id| id.is_some_and(|id| wanted[id]))
            .collect();
        for branch in &node.branches {
            for (&id, _) in branch.outputs.iter().zip(&of_outputs).filter(|(_, w)| **w) {
                wanted[id] = true;
            }
            visit(&branch.nodes, wanted);
        }
        // Of its input's value, a shape does not depend.
        let from_all = of_outputs.contains(&true) && !matches!(node.op.as_str(), "Shape" | "Size");
        let mut mark = |ids: &[Option<ValueId>]| {
            for &id in ids.iter().flatten() {
                wanted[id] = true;
            }
        };
        if from_all {
            mark(&node.inputs);
        } else {
            let places = read_by_plans(node);
            let end = places.end.min(node.inputs.len());
            mark(node.inputs.get(places.start..end).unwrap_or_default());
        }
    }
}
