//! Casts to the element type that a value has already go: exporters write them for models that run in mixed precision.

use crate::graph::{Graph, Node, ValueId, is_onnx};
use crate::proto::AttributeValue;
use crate::tensor::DType;

/// Operators whose first output has the type of their first input, whatever else they take.
#[rustfmt::skip]
const KEEPING: [&str; 58] = [
    "Abs", "Add", "AveragePool", "BatchNormalization", "Ceil", "Clip", "Concat", "Conv",
    "ConvTranspose", "Cos", "CumSum", "DepthToSpace", "Div", "Einsum", "Erf", "Exp", "Expand",
    "Flatten", "Floor", "Gather", "Gelu", "Gemm", "GlobalAveragePool", "GroupNormalization",
    "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LayerNormalization",
    "LeakyRelu", "Log", "MatMul", "Max", "Mean", "Min", "Mul", "Neg", "Pad", "Pow", "Reciprocal",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Relu", "Reshape", "Resize", "Round",
    "Sigmoid", "Sin", "Slice", "Softmax", "SpaceToDepth", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh",
];
/// Those of several outputs, all of that type, and of one.
const KEEPING_ALL: [&str; 4] = ["Split", "Tile", "Transpose", "Unsqueeze"];

impl Graph {
    pub(super) fn drop_casts(&mut self) {
        let mut types: Vec<Option<DType>> = vec![None; self.values];
        for (id, info) in &self.inputs {
            types[*id] = Some(info.dtype);
        }
        for (&id, tensor) in &self.constants {
            types[id] = Some(tensor.dtype());
        }
        for (&id, weight) in &self.weights {
            types[id] = Some(weight.dtype);
        }
        let mut alias: Vec<ValueId> = (0..self.values).collect();
        let named: Vec<ValueId> = self.outputs.iter().map(|&(id, _)| id).collect();
        self.nodes.retain_mut(|node| {
            node.rename(&alias);
            let kind = result(node, &types);
            for &id in node.outputs.iter().flatten() {
                types[id] = kind;
            }
            let (&[Some(from)], &[Some(to)]) = (&*node.inputs, &*node.outputs) else {
                return true;
            };
            let idle = node.op == "Cast" && is_onnx(&node.domain) && types[from].is_some();
            if !idle || types[from] != kind || named.contains(&to) {
                return true;
            }
            alias[to] = from;
            false
        });
    }
}

/// The type of all outputs of a node, where it is known.
fn result(node: &Node, types: &[Option<DType>]) -> Option<DType> {
    if !is_onnx(&node.domain) {
        return None;
    }
    let input = |place: usize| types[(*node.inputs.get(place)?)?];
    let op = node.op.as_str();
    match op {
        "Cast" => {
            let to = node.attributes.iter().find(|a| a.name == "to")?;
            let AttributeValue::Int(to) = to.value else {
                return None;
            };
            DType::from_onnx(to).ok()
        }
        "Shape" | "Size" => Some(DType::I64),
        "Where" => input(1),
        "DequantizeLinear" if node.attributes.iter().all(|a| a.name != "output_dtype") => input(1),
        _ if KEEPING_ALL.contains(&op) => input(0),
        _ if KEEPING.contains(&op) && node.outputs.len() == 1 => input(0),
        _ => None,
    }
}
