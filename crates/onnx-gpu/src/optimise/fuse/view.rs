//! What rules see of a graph.

use crate::graph::{Epilogue, FUSED_DOMAIN, Graph, Node, ValueId, is_onnx};
use crate::tensor::Tensor;

/// A graph with who writes and how many read each value.
pub(super) struct View<'a> {
    pub graph: &'a Graph,
    pub readers: &'a [usize],
    pub producers: &'a [Option<usize>],
}

impl<'a> View<'a> {
    pub fn producer(&self, id: ValueId) -> Option<&'a Node> {
        self.producers[id].map(|index| &self.graph.nodes[index])
    }

    /// The node that makes a value which nobody else reads.
    pub fn sole(&self, id: ValueId) -> Option<&'a Node> {
        self.producer(id).filter(|_| self.readers[id] == 1)
    }

    /// [`View::sole`] for an ONNX operator.
    pub fn sole_op(&self, id: ValueId, op: &str) -> Option<&'a Node> {
        self.sole(id).filter(|node| is_op(node, op))
    }

    pub fn constant(&self, id: ValueId) -> Option<&'a Tensor> {
        self.graph.constants.get(&id)
    }

    /// Shape of a constant, also of one that is widened on the device: by a cast, or from blocks of quantised rows, which a
    /// reshape joins.
    pub fn constant_shape(&self, id: ValueId) -> Option<Vec<usize>> {
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
    pub fn scalar(&self, id: ValueId) -> Option<f32> {
        let constant = self.constant(id)?;
        (constant.dtype().is_float() && constant.len() == 1).then(|| constant.to_f32_vec()[0])
    }

    /// Whether a value is a constant of one element close to `wanted`.
    pub fn is_scalar(&self, id: ValueId, wanted: f32) -> bool {
        self.scalar(id)
            .is_some_and(|x| (x - wanted).abs() <= 1e-3 * wanted.abs())
    }
}

/// Whether a node calls an ONNX operator and carries nothing fused.
pub(super) fn is_op(node: &Node, op: &str) -> bool {
    node.op == op && is_onnx(&node.domain) && node.epilogue == Epilogue::default()
}

/// The two inputs of a node that has exactly two.
pub(super) fn two(node: &Node) -> Option<[ValueId; 2]> {
    match node.inputs.as_slice() {
        &[Some(a), Some(b)] => Some([a, b]),
        _ => None,
    }
}

/// The two inputs of an ONNX operator, in both orders.
pub(super) fn either(node: &Node) -> impl Iterator<Item = [ValueId; 2]> + use<> {
    two(node).into_iter().flat_map(|[a, b]| [[a, b], [b, a]])
}

/// A fused operator in the place of `last`.
pub(super) fn fused(last: &Node, op: &str, inputs: &[ValueId]) -> Node {
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
