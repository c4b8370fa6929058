//! Nodes, constants and ports of a graph by number.

mod smaller;

use prost::Message;

use super::PortType;
use super::message::{
    AttributeProto, Dimension, Entry, GraphProto, ModelProto, NodeProto, OperatorSetId, Shape,
    TensorProto, TensorType, TypeProto, ValueInfoProto,
};
use crate::weights::Element;

/// The operator set: the first with Attention.
const OPSET: i64 = 23;
/// The version of the format that goes with it.
const IR_VERSION: i64 = 11;
/// The operators of ONNX Runtime's own set that graphs have here, and its name.
const CONTRIB: (&[&str], &str) = (&["MatMulNBits"], "com.microsoft");

/// ONNX's numbers of element types.
mod element {
    pub const FLOAT: i32 = 1;
    pub const UINT8: i32 = 2;
    pub const INT8: i32 = 3;
    pub const INT64: i32 = 7;
    pub const FLOAT16: i32 = 10;
    pub const BFLOAT16: i32 = 16;
}

/// A value of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Value(usize);

impl Value {
    /// An input that is left out.
    pub const NONE: Self = Self(0);
}

/// A dimension of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dim {
    Is(usize),
    /// Open, by its name.
    Of(&'static str),
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Attribute {
    Int(i64),
    Float(f32),
    Text(&'static str),
    Ints(Vec<i64>),
}

impl From<i64> for Attribute {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f32> for Attribute {
    fn from(value: f32) -> Self {
        Self::Float(value)
    }
}

impl From<&'static str> for Attribute {
    fn from(value: &'static str) -> Self {
        Self::Text(value)
    }
}

impl<const N: usize> From<[i64; N]> for Attribute {
    fn from(values: [i64; N]) -> Self {
        Self::Ints(values.to_vec())
    }
}

/// Where a weight lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub file: usize,
    pub offset: u64,
    pub length: u64,
}

/// A tensor of the graph.
#[derive(Clone)]
struct Initializer {
    value: Value,
    element: i32,
    shape: Vec<usize>,
    contents: Contents,
}

#[derive(Clone)]
enum Contents {
    Raw(Vec<u8>),
    At(Place),
}

#[derive(Clone)]
struct Node {
    op: &'static str,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
    attributes: Vec<(&'static str, Attribute)>,
}

struct Port {
    value: Value,
    kind: PortType,
    dims: Vec<Dim>,
}

/// A graph.
pub(super) struct Graph {
    /// Names of the values.
    names: Vec<String>,
    nodes: Vec<Node>,
    initializers: Vec<Initializer>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl Default for Graph {
    fn default() -> Self {
        Self {
            names: vec![String::new()],
            nodes: Vec::new(),
            initializers: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        }
    }
}

impl Graph {
    fn value(&mut self, name: String) -> Value {
        self.names.push(name);
        Value(self.names.len() - 1)
    }

    /// A node with `N` outputs, which are called after `name`, the place that it is in.
    pub fn node<const N: usize>(
        &mut self,
        op: &'static str,
        name: &str,
        inputs: &[Value],
        attributes: &[(&'static str, Attribute)],
    ) -> [Value; N] {
        let outputs = [(); N].map(|()| {
            let number = self.names.len();
            self.value(format!("{name}:{op}.{number}"))
        });
        self.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
            attributes: attributes.to_vec(),
        });
        outputs
    }

    pub fn input(&mut self, name: &str, kind: PortType, dims: &[Dim]) -> Value {
        let value = self.value(name.to_owned());
        self.inputs.push(Port {
            value,
            kind,
            dims: dims.to_vec(),
        });
        value
    }

    pub fn output(&mut self, value: Value, name: &str, dims: &[Dim]) {
        let port = |value| Port {
            value,
            kind: PortType::Float32,
            dims: dims.to_vec(),
        };
        let taken = self
            .inputs
            .iter()
            .chain(&self.outputs)
            .any(|port| port.value == value);
        if taken {
            let [copy] = self.node("Identity", name, &[value], &[]);
            self.names[copy.0] = name.to_owned();
            self.outputs.push(port(copy));
        } else {
            self.names[value.0] = name.to_owned();
            self.outputs.push(port(value));
        }
    }

    /// A weight in a file; nothing for a type that is not computed with.
    pub fn weight(
        &mut self,
        name: &str,
        element: Element,
        shape: &[usize],
        place: Place,
    ) -> Option<Value> {
        let element = match element {
            Element::F32 => element::FLOAT,
            Element::F16 => element::FLOAT16,
            Element::BF16 => element::BFLOAT16,
            Element::Other(_) => return None,
        };
        Some(self.initializer(name.to_owned(), element, shape, Contents::At(place)))
    }

    pub fn floats(&mut self, shape: &[usize], values: &[f32]) -> Value {
        let raw = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let name = format!("constant.{}", self.names.len());
        self.initializer(name, element::FLOAT, shape, Contents::Raw(raw))
    }

    pub fn integers(&mut self, values: &[i64]) -> Value {
        let raw = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let name = format!("constant.{}", self.names.len());
        self.initializer(name, element::INT64, &[values.len()], Contents::Raw(raw))
    }

    fn initializer(
        &mut self,
        name: String,
        element: i32,
        shape: &[usize],
        contents: Contents,
    ) -> Value {
        let value = self.value(name);
        self.initializers.push(Initializer {
            value,
            element,
            shape: shape.to_vec(),
            contents,
        });
        value
    }

    /// The graph as a file; `location` names the files of weights.
    pub fn encode(self, location: &dyn Fn(usize) -> String) -> Vec<u8> {
        let name = |value: &Value| self.names[value.0].clone();
        let nodes = self.nodes.iter().map(|node| NodeProto {
            input: node.inputs.iter().map(name).collect(),
            output: node.outputs.iter().map(name).collect(),
            name: node.outputs.first().map(name),
            op_type: Some(node.op.to_owned()),
            domain: node.domain().map(str::to_owned),
            attribute: node.attributes.iter().map(attribute).collect(),
        });
        let initializers = self.initializers.iter().map(|tensor| {
            let (raw_data, place) = match &tensor.contents {
                Contents::Raw(raw) => (Some(raw.clone()), None),
                Contents::At(place) => (None, Some(place)),
            };
            TensorProto {
                dims: tensor.shape.iter().map(|&size| size as i64).collect(),
                data_type: Some(tensor.element),
                name: Some(name(&tensor.value)),
                raw_data,
                external_data: place
                    .into_iter()
                    .flat_map(|place| entries(place, location))
                    .collect(),
                data_location: place.map(|_| 1),
            }
        });
        let port = |port: &Port| ValueInfoProto {
            name: Some(name(&port.value)),
            r#type: Some(TypeProto {
                tensor_type: Some(TensorType {
                    elem_type: Some(match port.kind {
                        PortType::Float32 => element::FLOAT,
                        PortType::Int64 => element::INT64,
                    }),
                    shape: Some(Shape {
                        dim: port.dims.iter().map(dimension).collect(),
                    }),
                }),
            }),
        };
        let graph = GraphProto {
            node: nodes.collect(),
            name: Some("main".to_owned()),
            initializer: initializers.collect(),
            input: self.inputs.iter().map(port).collect(),
            output: self.outputs.iter().map(port).collect(),
        };
        let contrib = self.nodes.iter().find_map(Node::domain);
        let own = contrib.map(|domain| OperatorSetId {
            domain: Some(domain.to_owned()),
            version: Some(1),
        });
        let onnx = OperatorSetId {
            domain: None,
            version: Some(OPSET),
        };
        let model = ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: Some("demo-hub".to_owned()),
            graph: Some(graph),
            opset_import: [onnx].into_iter().chain(own).collect(),
        };
        model.encode_to_vec()
    }
}

impl Node {
    /// The set of its operator, where it is not ONNX's.
    fn domain(&self) -> Option<&'static str> {
        let (operators, domain) = CONTRIB;
        operators.contains(&self.op).then_some(domain)
    }
}

fn entries(place: &Place, location: &dyn Fn(usize) -> String) -> Vec<Entry> {
    let entry = |key: &str, value: String| Entry {
        key: Some(key.to_owned()),
        value: Some(value),
    };
    vec![
        entry("location", location(place.file)),
        entry("offset", place.offset.to_string()),
        entry("length", place.length.to_string()),
    ]
}

fn dimension(dim: &Dim) -> Dimension {
    match dim {
        Dim::Is(size) => Dimension {
            dim_value: Some(*size as i64),
            dim_param: None,
        },
        Dim::Of(symbol) => Dimension {
            dim_value: None,
            dim_param: Some((*symbol).to_owned()),
        },
    }
}

fn attribute((name, value): &(&'static str, Attribute)) -> AttributeProto {
    let plain = AttributeProto {
        name: Some((*name).to_owned()),
        ..AttributeProto::default()
    };
    match value {
        Attribute::Float(value) => AttributeProto {
            f: Some(*value),
            r#type: Some(1),
            ..plain
        },
        Attribute::Int(value) => AttributeProto {
            i: Some(*value),
            r#type: Some(2),
            ..plain
        },
        Attribute::Text(value) => AttributeProto {
            s: Some(value.as_bytes().to_vec()),
            r#type: Some(3),
            ..plain
        },
        Attribute::Ints(values) => AttributeProto {
            ints: values.clone(),
            r#type: Some(7),
            ..plain
        },
    }
}
