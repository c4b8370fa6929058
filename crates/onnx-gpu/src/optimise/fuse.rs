//! Rewrites node patterns that a kernel computes in one dispatch.
//!
//! A rewrite replaces the last node of a pattern; what it leaves behind unread is removed afterwards. Shapes are not known here:
//! where a rewrite depends on them, the lowering of the fused node checks and computes the parts if they do not fit.

mod activation;
mod attention;
mod channels;
mod epilogue;
mod group_norm;
mod layer_norm;
mod mul_add;
mod view;

use crate::graph::{Graph, Node, Pass};
use view::View;

/// The node that takes the place of one whose pattern is known.
type Rule = fn(&View<'_>, &Node) -> Option<Node>;

impl Graph {
    /// Applies every rewrite.
    pub(super) fn fuse(&mut self) {
        let has = |pass| self.passes.contains(pass);
        let mut rules: Vec<Rule> = Vec::new();
        if has(Pass::GroupNorm) {
            rules.push(group_norm::matches);
        }
        if has(Pass::LayerNorm) {
            rules.push(layer_norm::matches);
        }
        if has(Pass::Activation) {
            rules.push(activation::matches);
        }
        if has(Pass::Attention) {
            rules.push(attention::matches);
        }
        if has(Pass::Epilogue) {
            rules.extend([
                epilogue::bias as Rule,
                epilogue::residual,
                epilogue::activation,
                channels::matches,
            ]);
        }
        if has(Pass::MulAdd) {
            rules.push(mul_add::matches);
        }
        for rule in rules {
            self.rewrite(rule);
        }
    }

    /// Replaces every node for which `rule` gives a new one.
    fn rewrite(&mut self, rule: Rule) {
        let readers = self.readers();
        let mut producers = vec![None; self.values];
        for (index, node) in self.nodes.iter().enumerate() {
            for &id in node.outputs.iter().flatten() {
                producers[id] = Some(index);
            }
        }
        for index in 0..self.nodes.len() {
            let view = View {
                graph: self,
                readers: &readers,
                producers: &producers,
            };
            if let Some(fused) = rule(&view, &self.nodes[index]) {
                self.nodes[index] = fused;
            }
        }
        self.remove_dead();
    }
}
