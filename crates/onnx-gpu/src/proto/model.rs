//! `ModelProto`, `GraphProto`, `NodeProto`, `AttributeProto` and `ValueInfoProto`.

use super::tensor::{Contents, Initializer, parse_tensor};
use super::{Reader, Wire, malformed};
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::{DType, Tensor};

/// A parsed file.
#[derive(Debug)]
pub struct Model {
    /// Version of the file format.
    pub ir_version: i64,
    /// Program that wrote the file.
    pub producer: String,
    /// Imported operator sets as (domain, version); the empty domain is ONNX itself.
    pub opsets: Vec<(String, i64)>,
    /// The graph.
    pub graph: Graph,
}

/// Most subgraphs around a node.
const MAX_DEPTH: usize = 16;

/// A graph as written in the file.
#[derive(Debug, Default)]
pub struct Graph {
    /// Nodes in file order.
    pub nodes: Vec<Node>,
    /// Named constants.
    pub initializers: Vec<Initializer>,
    /// Declared inputs; older files list initializers here as well.
    pub inputs: Vec<ValueInfo>,
    /// Declared outputs.
    pub outputs: Vec<ValueInfo>,
}

/// One operator call.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Name, often empty.
    pub name: String,
    /// Operator.
    pub op: String,
    /// Operator set; empty for ONNX itself.
    pub domain: String,
    /// Value names; an empty name is an omitted optional input.
    pub inputs: Vec<String>,
    /// Value names; an empty name is an output that nobody wants.
    pub outputs: Vec<String>,
    /// Attributes in file order.
    pub attributes: Vec<Attribute>,
}

/// A named attribute.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Name.
    pub name: String,
    /// Value.
    pub value: AttributeValue,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum AttributeValue {
    Float(f32),
    Int(i64),
    Text(String),
    Tensor(Tensor),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Texts(Vec<String>),
    Graph(Box<Subgraph>),
    /// Several subgraphs, a sparse tensor or a type: carried by no operator that this crate runs.
    Other,
}

/// A graph inside a node, such as a branch of `If`. Its nodes may read every value of the graphs around it.
#[derive(Clone, Debug, Default)]
pub struct Subgraph {
    /// Nodes in file order.
    pub nodes: Vec<Node>,
    /// Named constants.
    pub initializers: Vec<Initializer>,
    /// Names of its own inputs; a branch has none.
    pub inputs: Vec<String>,
    /// Names of its outputs, in order.
    pub outputs: Vec<String>,
}

/// A dimension of a declared shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A number.
    Fixed(usize),
    /// A name that stands for any size; empty when the file gives none.
    Symbol(String),
}

impl std::fmt::Display for Dim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Symbol(name) if name.is_empty() => f.write_str("?"),
            Self::Symbol(name) => f.write_str(name),
        }
    }
}

/// Name, element type and shape of a graph input or output.
#[derive(Clone, Debug)]
pub struct ValueInfo {
    /// Name.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions; `None` when the file does not say the rank.
    pub shape: Option<Vec<Dim>>,
}

impl Model {
    /// Parses a file. Raw data of initializers are not copied: each says where in `bytes`, or in which other file, they lie.
    ///
    /// # Errors
    /// [`ErrorKind::Parse`] for malformed bytes, [`ErrorKind::InvalidModel`] for external data outside the model's folder,
    /// [`ErrorKind::UnsupportedOp`] for model-local functions and element types this crate does not compute with.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (mut ir_version, mut producer, mut opsets, mut graph) =
            (0, String::new(), vec![], None);
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.field()? {
            match number {
                1 => ir_version = wire.int()?,
                2 => producer = wire.text()?,
                7 => graph = Some(parse_graph(wire.bytes()?, bytes)?),
                8 => opsets.push(parse_opset(wire.bytes()?)?),
                25 => {
                    return Err(Error::new(
                        ErrorKind::UnsupportedOp,
                        "the model defines functions of its own; inline them when exporting",
                    ));
                }
                _ => {}
            }
        }
        let graph = graph.ok_or_else(|| malformed("not an ONNX model: it holds no graph"))?;
        Ok(Self {
            ir_version,
            producer,
            opsets,
            graph,
        })
    }
}

fn parse_opset(bytes: &[u8]) -> Result<(String, i64)> {
    let (mut domain, mut version) = (String::new(), 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => domain = wire.text()?,
            2 => version = wire.int()?,
            _ => {}
        }
    }
    Ok((domain, version))
}

fn parse_graph(bytes: &[u8], file: &[u8]) -> Result<Graph> {
    let mut graph = Graph::default();
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => match parse_node(wire.bytes()?, file, 0)? {
                Parsed::Node(node) => graph.nodes.push(node),
                Parsed::Weight(weight) => graph.initializers.push(weight),
            },
            5 => graph.initializers.push(parse_tensor(wire.bytes()?, file)?),
            11 => graph.inputs.push(parse_value_info(wire.bytes()?)?),
            12 => graph.outputs.push(parse_value_info(wire.bytes()?)?),
            15 => {
                return Err(Error::new(
                    ErrorKind::UnsupportedOp,
                    "sparse initializers are not supported",
                ));
            }
            _ => {}
        }
    }
    Ok(graph)
}

/// A graph inside a node inside `depth - 1` others.
fn parse_subgraph(bytes: &[u8], file: &[u8], depth: usize) -> Result<Subgraph> {
    if depth > MAX_DEPTH {
        return Err(Error::new(
            ErrorKind::UnsupportedOp,
            format!("subgraphs lie more than {MAX_DEPTH} deep in each other"),
        ));
    }
    let mut graph = Subgraph::default();
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => match parse_node(wire.bytes()?, file, depth)? {
                Parsed::Node(node) => graph.nodes.push(node),
                Parsed::Weight(weight) => graph.initializers.push(weight),
            },
            5 => graph.initializers.push(parse_tensor(wire.bytes()?, file)?),
            11 => graph.inputs.push(parse_value_name(wire.bytes()?)?),
            12 => graph.outputs.push(parse_value_name(wire.bytes()?)?),
            15 => {
                return Err(Error::new(
                    ErrorKind::UnsupportedOp,
                    "sparse initializers are not supported",
                ));
            }
            _ => {}
        }
    }
    Ok(graph)
}

/// The name of a `ValueInfoProto`, whatever its type.
fn parse_value_name(bytes: &[u8]) -> Result<String> {
    let mut name = String::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        if number == 1 {
            name = wire.text()?;
        }
    }
    Ok(name)
}

/// A node, or the constant that it stands for.
enum Parsed {
    Node(Node),
    /// A `Constant` whose tensor is in another file: the same as an initializer of its output's name.
    Weight(Initializer),
}

fn parse_node(bytes: &[u8], file: &[u8], depth: usize) -> Result<Parsed> {
    let mut node = Node::default();
    let mut outside = None;
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => node.inputs.push(wire.text()?),
            2 => node.outputs.push(wire.text()?),
            3 => node.name = wire.text()?,
            4 => node.op = wire.text()?,
            5 => match parse_attribute(wire.bytes()?, file, depth)? {
                Value::Inside(attribute) => node.attributes.push(attribute),
                Value::Outside(weight) => outside = Some(weight),
            },
            7 => node.domain = wire.text()?,
            _ => {}
        }
    }
    let Some(weight) = outside else {
        return Ok(Parsed::Node(node));
    };
    match (&*node.op, node.outputs.pop()) {
        ("Constant", Some(name)) if node.attributes.is_empty() => {
            Ok(Parsed::Weight(Initializer { name, ..weight }))
        }
        (op, _) => Err(Error::new(
            ErrorKind::UnsupportedOp,
            format!(
                "{op} keeps the tensor of an attribute in another file; make it an initializer"
            ),
        )),
    }
}

/// An attribute, or its tensor where that is in another file.
enum Value {
    Inside(Attribute),
    Outside(Initializer),
}

fn parse_attribute(bytes: &[u8], file: &[u8], depth: usize) -> Result<Value> {
    let mut name = String::new();
    let (mut kind, mut float, mut int, mut text, mut tensor) = (None, None, None, None, None);
    let mut graph = None;
    let (mut floats, mut ints, mut texts) = (vec![], vec![], vec![]);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => name = wire.text()?,
            2 => float = Some(wire.float()?),
            3 => int = Some(wire.int()?),
            4 => text = Some(lossy(wire)?),
            5 => {
                let stored = parse_tensor(wire.bytes()?, file)?;
                if matches!(&stored.contents, Contents::Stored(location) if location.file.is_some())
                {
                    return Ok(Value::Outside(stored));
                }
                tensor = Some(attribute_tensor(stored, file)?);
            }
            6 => graph = Some(Box::new(parse_subgraph(wire.bytes()?, file, depth + 1)?)),
            7 => wire.floats_into(&mut floats)?,
            8 => wire.ints_into(&mut ints)?,
            9 => texts.push(lossy(wire)?),
            20 => kind = Some(wire.int()?),
            21 if !wire.bytes()?.is_empty() => {
                return Err(malformed(format!(
                    "attribute '{name}' refers to a function's attribute outside a function"
                )));
            }
            _ => {}
        }
    }
    // Files older than IR version 3 carry no type: then the one field present tells it.
    let value = match kind {
        Some(1) => AttributeValue::Float(float.unwrap_or(0.0)),
        Some(2) => AttributeValue::Int(int.unwrap_or(0)),
        Some(3) => AttributeValue::Text(text.unwrap_or_default()),
        Some(4) => AttributeValue::Tensor(
            tensor.ok_or_else(|| malformed(format!("attribute '{name}' lacks its tensor")))?,
        ),
        Some(5) => AttributeValue::Graph(
            graph.ok_or_else(|| malformed(format!("attribute '{name}' lacks its graph")))?,
        ),
        Some(6) => AttributeValue::Floats(floats),
        Some(7) => AttributeValue::Ints(ints),
        Some(8) => AttributeValue::Texts(texts),
        Some(_) => AttributeValue::Other,
        None => match (float, int, text, tensor) {
            (Some(v), ..) => AttributeValue::Float(v),
            (_, Some(v), ..) => AttributeValue::Int(v),
            (_, _, Some(v), _) => AttributeValue::Text(v),
            (.., Some(v)) => AttributeValue::Tensor(v),
            _ if graph.is_some() => AttributeValue::Graph(graph.unwrap_or_default()),
            _ if !floats.is_empty() => AttributeValue::Floats(floats),
            _ if !ints.is_empty() => AttributeValue::Ints(ints),
            _ if !texts.is_empty() => AttributeValue::Texts(texts),
            _ => AttributeValue::Other,
        },
    };
    Ok(Value::Inside(Attribute { name, value }))
}

/// The elements of a tensor that has to be inside the file.
fn attribute_tensor(initializer: Initializer, file: &[u8]) -> Result<Tensor> {
    match initializer.contents {
        Contents::Known(tensor) => Ok(tensor),
        Contents::Stored(location) => {
            let end = location.offset.saturating_add(location.length);
            let raw = usize::try_from(location.offset)
                .ok()
                .zip(usize::try_from(end).ok())
                .and_then(|(start, end)| file.get(start..end))
                .ok_or_else(|| malformed("an attribute's tensor ends beyond the file"))?;
            initializer.storage.tensor(&initializer.shape, raw)
        }
    }
}

fn lossy(wire: Wire<'_>) -> Result<String> {
    Ok(String::from_utf8_lossy(wire.bytes()?).into_owned())
}

fn parse_value_info(bytes: &[u8]) -> Result<ValueInfo> {
    let (mut name, mut code, mut shape) = (String::new(), None, None);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => name = wire.text()?,
            2 => {
                let mut kind = Reader::new(wire.bytes()?);
                while let Some((number, wire)) = kind.field()? {
                    if number != 1 {
                        continue;
                    }
                    let mut tensor = Reader::new(wire.bytes()?);
                    while let Some((number, wire)) = tensor.field()? {
                        match number {
                            1 => code = Some(wire.int()?),
                            2 => shape = Some(parse_shape(wire.bytes()?)?),
                            _ => {}
                        }
                    }
                }
            }
            _ => {}
        }
    }
    let code = code.ok_or_else(|| {
        Error::new(
            ErrorKind::UnsupportedOp,
            format!("graph input or output '{name}' is not a tensor"),
        )
    })?;
    Ok(ValueInfo {
        dtype: DType::from_onnx(code)?,
        name,
        shape,
    })
}

fn parse_shape(bytes: &[u8]) -> Result<Vec<Dim>> {
    let mut dims = vec![];
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        if number != 1 {
            continue;
        }
        let mut dim = Dim::Symbol(String::new());
        let mut fields = Reader::new(wire.bytes()?);
        while let Some((number, wire)) = fields.field()? {
            match number {
                1 => {
                    let size = wire.int()?;
                    // Some exporters write -1 or 0 for "unknown".
                    if let Ok(size @ 1..) = usize::try_from(size) {
                        dim = Dim::Fixed(size);
                    }
                }
                2 => {
                    let name = wire.text()?;
                    // What says "unknown" names nothing, so two of them are not the same size.
                    let says_nothing = !name.contains(char::is_alphabetic)
                        || ["none", "unknown"].contains(&name.to_lowercase().as_str());
                    dim = Dim::Symbol(if says_nothing { String::new() } else { name });
                }
                _ => {}
            }
        }
        dims.push(dim);
    }
    Ok(dims)
}
