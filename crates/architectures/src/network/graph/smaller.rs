//! A graph over weights that are made smaller: what each becomes is decided by the operators that read it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use super::{Attribute, Contents, Graph, Initializer, Node, Place, Value, element};
use crate::smaller::{Blocks, How, Item, Kind, Packed, Source};
use crate::weights::Element;

/// A part of a matrix that a product reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Matrix {
    weight: Value,
    columns: Range<usize>,
}

/// A weight of a file.
#[derive(Clone)]
struct Weight {
    element: Element,
    shape: Vec<usize>,
    place: Place,
}

/// A graph while it is rewritten.
struct Rewriting {
    graph: Graph,
    kind: Kind,
    weights: HashMap<Value, Weight>,
    /// What is made smaller: first the tensor of the whole numbers, then that of their steps.
    made: Vec<(How, Matrix, [Value; 2])>,
    /// Blocks, and their steps as floats, of matrices.
    blocks: HashMap<Matrix, [Value; 2]>,
    /// Weights of convolutions as floats.
    channels: HashMap<Value, Value>,
}

impl Graph {
    /// The same graph over one file, which holds the weights of the author's `files` that it reads, as `kind` says.
    pub(in crate::network) fn smaller(mut self, kind: Kind, files: &[String]) -> (Self, Packed) {
        let nodes = std::mem::take(&mut self.nodes);
        let found = Found::new(&self, &nodes);
        let mut rewriting = Rewriting {
            weights: self.initializers.iter().filter_map(Weight::of).collect(),
            graph: self,
            kind,
            made: Vec::new(),
            blocks: HashMap::new(),
            channels: HashMap::new(),
        };
        for node in &nodes {
            let smaller = match node.op {
                "Gemm" => rewriting.product(node, &found),
                "Conv" => rewriting.convolution(node, &found),
                _ => None,
            };
            if smaller.is_none() {
                rewriting.graph.nodes.push(node.clone());
            }
        }
        rewriting.graph.remove_unread();
        rewriting.halve_tables();
        rewriting.laid_out(files)
    }

    /// Removes nodes and constants that lead to no output.
    fn remove_unread(&mut self) {
        let mut read: HashSet<Value> = self.outputs.iter().map(|port| port.value).collect();
        let mut kept = Vec::with_capacity(self.nodes.len());
        for node in std::mem::take(&mut self.nodes).into_iter().rev() {
            if node.outputs.iter().any(|output| read.contains(output)) {
                read.extend(&node.inputs);
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
        self.initializers
            .retain(|tensor| read.contains(&tensor.value));
    }
}

impl Weight {
    fn of(tensor: &Initializer) -> Option<(Value, Self)> {
        let Contents::At(place) = tensor.contents else {
            return None;
        };
        let weight = Self {
            element: match tensor.element {
                element::FLOAT16 => Element::F16,
                element::BFLOAT16 => Element::BF16,
                _ => Element::F32,
            },
            shape: tensor.shape.clone(),
            place,
        };
        Some((tensor.value, weight))
    }
}

/// What values of a graph are, as far as it matters here.
struct Found {
    /// Which weight a value is, and which columns of it.
    matrices: HashMap<Value, Matrix>,
}

impl Found {
    fn new(graph: &Graph, nodes: &[Node]) -> Self {
        let mut matrices = HashMap::new();
        let mut numbers = HashMap::new();
        for tensor in &graph.initializers {
            match &tensor.contents {
                Contents::At(_) => {
                    let matrix = Matrix {
                        weight: tensor.value,
                        columns: 0..tensor.shape.get(1).copied().unwrap_or_default(),
                    };
                    matrices.insert(tensor.value, matrix);
                }
                Contents::Raw(raw) if tensor.element == element::INT64 => {
                    if let (Ok(bytes), [1]) = (<[u8; 8]>::try_from(&raw[..]), &tensor.shape[..]) {
                        numbers.insert(tensor.value, i64::from_le_bytes(bytes));
                    }
                }
                Contents::Raw(_) => {}
            }
        }
        for node in nodes {
            let ([input, rest @ ..], [output]) = (&node.inputs[..], &node.outputs[..]) else {
                continue;
            };
            let Some(of) = matrices.get(input) else {
                continue;
            };
            let number = |value: &Value| numbers.get(value).copied();
            let part = match (node.op, rest) {
                ("Cast", []) => Some(of.columns.clone()),
                ("Slice", [start, end, axis]) if number(axis) == Some(1) => {
                    let at = |value| {
                        let place = usize::try_from(number(value)?).ok()?;
                        Some(of.columns.start + place).filter(|&place| place <= of.columns.end)
                    };
                    at(start).zip(at(end)).map(|(start, end)| start..end)
                }
                _ => None,
            };
            if let Some(columns) = part {
                let weight = of.weight;
                matrices.insert(*output, Matrix { weight, columns });
            }
        }
        Self { matrices }
    }

    fn matrix(&self, value: Option<&Value>) -> Option<&Matrix> {
        self.matrices.get(value?)
    }
}

impl Rewriting {
    fn name(&self, value: Value) -> String {
        self.graph.names[value.0].clone()
    }

    /// A tensor of the file that is written; where it lies is known later.
    fn tensor(&mut self, name: String, element: i32, shape: &[usize]) -> Value {
        let nowhere = Place {
            file: 0,
            offset: 0,
            length: 0,
        };
        self.graph
            .initializer(name, element, shape, Contents::At(nowhere))
    }

    /// A product with a matrix of blocks, in the place of a Gemm with one; nothing where the matrix is no such one.
    fn product(&mut self, node: &Node, found: &Found) -> Option<()> {
        if node.attributes != [("transB", Attribute::Int(1))] {
            return None;
        }
        let [rows, _, more @ ..] = &node.inputs[..] else {
            return None;
        };
        let matrix = found.matrix(node.inputs.get(1))?.clone();
        let &[count, _] = &self.weights.get(&matrix.weight)?.shape[..] else {
            return None;
        };
        let width = matrix.columns.len();
        let cut = self.kind.blocks(width)?;
        let [whole, steps] = self.blocks_of(matrix, [count, width], cut);
        let attributes = [
            ("K", width),
            ("N", count),
            ("bits", cut.bits),
            ("block_size", cut.size),
        ];
        let attributes = attributes.map(|(name, size)| (name, Attribute::Int(size as i64)));
        let inputs = [*rows, whole, steps];
        let own = &node.outputs[..1];
        match more {
            [added] => {
                let name = self.name(own[0]);
                let [product] = self.graph.node("MatMulNBits", &name, &inputs, &attributes);
                // As an operator of its own: rten takes no product with a bias.
                self.graph.nodes.push(Node {
                    op: "Add",
                    inputs: vec![product, *added],
                    outputs: own.to_vec(),
                    attributes: Vec::new(),
                });
            }
            _ => self.graph.nodes.push(Node {
                op: "MatMulNBits",
                inputs: inputs.to_vec(),
                outputs: own.to_vec(),
                attributes: attributes.to_vec(),
            }),
        }
        Some(())
    }

    fn blocks_of(&mut self, matrix: Matrix, [count, width]: [usize; 2], cut: Blocks) -> [Value; 2] {
        if let Some(&known) = self.blocks.get(&matrix) {
            return known;
        }
        let Range { start, end } = matrix.columns;
        let name = format!("{}[:, {start}..{end}]", self.name(matrix.weight));
        let per_row = width / cut.size;
        let shape = [count, per_row, cut.size * cut.bits / 8];
        let whole = self.tensor(format!("{name}.blocks"), element::UINT8, &shape);
        let shape = [count, per_row];
        let steps = self.tensor(format!("{name}.steps"), element::FLOAT16, &shape);
        let to = [("to", i64::from(element::FLOAT).into())];
        let [wide] = self.graph.node("Cast", &name, &[steps], &to);
        self.made
            .push((How::Blocks(cut), matrix.clone(), [whole, steps]));
        self.blocks.insert(matrix, [whole, wide]);
        [whole, wide]
    }

    /// A convolution whose weights have 8 bits; nothing where they are no weights of a file.
    fn convolution(&mut self, node: &Node, found: &Found) -> Option<()> {
        if !self.kind.shrinks_convolutions() {
            return None;
        }
        let matrix = found.matrix(node.inputs.get(1))?.clone();
        let weight = self.weights.get(&matrix.weight)?.clone();
        let wide = match self.channels.get(&matrix.weight) {
            Some(&known) => known,
            None => {
                let name = self.name(matrix.weight);
                let whole = self.tensor(format!("{name}.whole"), element::INT8, &weight.shape);
                let shape = &weight.shape[..1];
                let steps = self.tensor(format!("{name}.steps"), element::FLOAT, shape);
                let axis = [("axis", 0.into())];
                let inputs = [whole, steps];
                let [wide] = self.graph.node("DequantizeLinear", &name, &inputs, &axis);
                self.made.push((How::Channels, matrix.clone(), inputs));
                self.channels.insert(matrix.weight, wide);
                wide
            }
        };
        let mut smaller = node.clone();
        smaller.inputs[1] = wide;
        self.graph.nodes.push(smaller);
        Some(())
    }

    /// Makes 16-bit floats of those of 32 bits that are left and have more than one dimension.
    fn halve_tables(&mut self) {
        let mut casts = Vec::new();
        for index in 0..self.graph.initializers.len() {
            let tensor = &self.graph.initializers[index];
            let long = tensor.shape.iter().filter(|&&size| size > 1).count();
            let whole = self.weights.contains_key(&tensor.value);
            if !whole || long < 2 || tensor.element != element::FLOAT {
                continue;
            }
            // The value becomes the widened one, so that whoever reads it need not change.
            let value = tensor.value;
            let held = self.graph.value(format!("{}.f16", self.name(value)));
            let tensor = &mut self.graph.initializers[index];
            (tensor.value, tensor.element) = (held, element::FLOAT16);
            casts.push(Node {
                op: "Cast",
                inputs: vec![held],
                outputs: vec![value],
                attributes: vec![("to", i64::from(element::FLOAT).into())],
            });
            let columns = 0..0;
            let weight = value;
            let matrix = Matrix { weight, columns };
            self.made.push((How::Halved, matrix, [held; 2]));
        }
        self.graph.nodes.splice(0..0, casts);
    }

    /// Lays the tensors out, in the order in which the graph has them.
    fn laid_out(mut self, files: &[String]) -> (Graph, Packed) {
        let mut file = Packed::new(files);
        let mut places: HashMap<Value, Place> = HashMap::new();
        let mut copies: BTreeMap<(usize, u64, u64), Place> = BTreeMap::new();
        let made: HashMap<Value, &(How, Matrix, [Value; 2])> =
            self.made.iter().map(|made| (made.2[0], made)).collect();
        for tensor in &self.graph.initializers {
            let placed = |range: Range<u64>| Place {
                file: 0,
                offset: range.start,
                length: range.end - range.start,
            };
            if let Some((how, matrix, [whole, steps])) = made.get(&tensor.value) {
                let Some(weight) = self.weights.get(&matrix.weight) else {
                    continue;
                };
                let source = weight.source(self.graph.names[matrix.weight.0].clone());
                let columns = match how {
                    How::Blocks(_) => matrix.columns.clone(),
                    _ => 0..source.width,
                };
                let [first, second] = file.add(Item {
                    source,
                    columns,
                    how: *how,
                    offset: 0,
                });
                places.insert(*steps, placed(second));
                places.insert(*whole, placed(first));
            } else if let Some(weight) = self.weights.get(&tensor.value) {
                let Place {
                    file: of,
                    offset,
                    length,
                } = weight.place;
                // A weight may stand in the graph in two shapes.
                let place = copies.entry((of, offset, length)).or_insert_with(|| {
                    let source = weight.source(self.graph.names[tensor.value.0].clone());
                    let columns = 0..source.width;
                    let [all, _] = file.add(Item {
                        source,
                        columns,
                        how: How::Copied,
                        offset: 0,
                    });
                    placed(all)
                });
                places.insert(tensor.value, *place);
            }
        }
        for tensor in &mut self.graph.initializers {
            if let Some(place) = places.get(&tensor.value) {
                tensor.contents = Contents::At(*place);
            }
        }
        (self.graph, file)
    }
}

impl Weight {
    fn source(&self, name: String) -> Source {
        let rows = self.shape.first().copied().unwrap_or(1);
        Source {
            name,
            file: self.place.file,
            offset: self.place.offset,
            element: self.element,
            rows,
            width: self.shape.iter().skip(1).product(),
        }
    }
}
