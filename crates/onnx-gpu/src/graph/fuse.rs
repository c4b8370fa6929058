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

use super::{CONTRIB_DOMAIN, Epilogue, FUSED_DOMAIN, Graph, Node, Pass, ValueId, is_onnx};
use crate::tensor::Tensor;

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

/// A graph with who writes and how many read each value.
struct View<'a> {
    graph: &'a Graph,
    readers: &'a [usize],
    producers: &'a [Option<usize>],
}

impl<'a> View<'a> {
    fn producer(&self, id: ValueId) -> Option<&'a Node> {
        self.producers[id].map(|index| &self.graph.nodes[index])
    }

    /// The node that makes a value which nobody else reads.
    fn sole(&self, id: ValueId) -> Option<&'a Node> {
        self.producer(id).filter(|_| self.readers[id] == 1)
    }

    /// [`View::sole`] for an ONNX operator.
    fn sole_op(&self, id: ValueId, op: &str) -> Option<&'a Node> {
        self.sole(id).filter(|node| is_op(node, op))
    }

    fn constant(&self, id: ValueId) -> Option<&'a Tensor> {
        self.graph.constants.get(&id)
    }

    /// Shape of a constant, also of one that is widened on the device: by a cast, or from blocks of quantised rows, which a
    /// reshape joins.
    fn constant_shape(&self, id: ValueId) -> Option<Vec<usize>> {
        let widened = |id: ValueId| {
            let node = self.producer(id)?;
            let widens = is_op(node, "Cast") || is_op(node, "DequantizeLinear");
            let stored = node.inputs.first().filter(|_| widens)?;
            self.graph.constant_shape((*stored)?)
        };
        let shape = |id| self.graph.constant_shape(id).or_else(|| widened(id));
        if let Some(shape) = shape(id) {
            return Some(shape.to_vec());
        }
        let joined = self.producer(id).filter(|node| is_op(node, "Reshape"))?;
        let [blocks, target] = two(joined)?;
        let target = self.constant(target)?.to_i64_vec().ok()?;
        let target = target.into_iter().map(|n| usize::try_from(n).ok());
        let target: Vec<usize> = target.collect::<Option<_>>()?;
        // A target with 0 or -1 has another product than the shape it stands for.
        (target.iter().product::<usize>() == shape(blocks)?.iter().product()).then_some(target)
    }

    /// The element of a float constant that has just one.
    fn scalar(&self, id: ValueId) -> Option<f32> {
        let constant = self.constant(id)?;
        (constant.dtype().is_float() && constant.len() == 1).then(|| constant.to_f32_vec()[0])
    }

    /// Whether a value is a constant of one element close to `wanted`.
    fn is_scalar(&self, id: ValueId, wanted: f32) -> bool {
        self.scalar(id)
            .is_some_and(|x| (x - wanted).abs() <= 1e-3 * wanted.abs())
    }
}

/// Whether a node calls an ONNX operator and carries nothing fused.
fn is_op(node: &Node, op: &str) -> bool {
    node.op == op && is_onnx(&node.domain) && node.epilogue == Epilogue::default()
}

/// The two inputs of a node that has exactly two.
fn two(node: &Node) -> Option<[ValueId; 2]> {
    match node.inputs.as_slice() {
        &[Some(a), Some(b)] => Some([a, b]),
        _ => None,
    }
}

/// The two inputs of an ONNX operator, in both orders.
fn either(node: &Node) -> impl Iterator<Item = [ValueId; 2]> + use<> {
    two(node).into_iter().flat_map(|[a, b]| [[a, b], [b, a]])
}

/// A fused operator in the place of `last`.
fn fused(last: &Node, op: &str, inputs: &[ValueId]) -> Node {
    Node {
        name: last.name.clone(),
        op: op.into(),
        domain: FUSED_DOMAIN.into(),
        inputs: inputs.iter().copied().map(Some).collect(),
        outputs: last.outputs.clone(),
        attributes: Vec::new(),
        epilogue: Epilogue::default(),
        branches: Vec::new(),
    }
}
