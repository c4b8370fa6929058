//! A graph while it is built over a component's weights.

mod graph;
mod message;
mod scope;

pub(crate) use graph::{Attribute, Dim, Value};
pub(crate) use scope::Scope;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use crate::error::{Error, Result};
use crate::weights::{Element, Stored, Weights};
use crate::{Built, Kind, Smaller};
use graph::{Graph, Place};

/// Type of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortType {
    Float32,
    Int64,
}

/// Numbers in a tensor; shapes that are imagined may have more than there are numbers for.
fn elements(shape: &[usize]) -> u64 {
    let sizes = shape.iter().map(|&size| size as u64);
    sizes.fold(1, u64::saturating_mul)
}

/// How a weight stands in the graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Declared {
    /// In a shape with as many elements.
    As(Vec<usize>),
    /// As some of its rows.
    Rows(Range<usize>),
}

/// A graph and the weights that it has taken so far.
pub(crate) struct Network<'w> {
    graph: Graph,
    weights: &'w Weights,
    taken: BTreeSet<String>,
    /// Weights in the graph by name and how they are declared.
    known: HashMap<(String, Declared), Value>,
    /// Numbers in the weights that were taken.
    parameters: u64,
    /// What was asked for, where weights are imagined, and its bytes.
    imagined: BTreeMap<String, Stored>,
    imagined_bytes: u64,
    /// Constants in the graph by what they hold.
    integers: HashMap<Vec<i64>, Value>,
    numbers: HashMap<u32, Value>,
    /// Shapes with the rows of the graph's first input, by their tails.
    shapes: HashMap<Vec<i64>, Value>,
    batch: Option<Value>,
}

impl<'w> Network<'w> {
    pub fn new(weights: &'w Weights) -> Self {
        Self {
            graph: Graph::default(),
            weights,
            taken: BTreeSet::new(),
            known: HashMap::new(),
            parameters: 0,
            imagined: BTreeMap::new(),
            imagined_bytes: 0,
            integers: HashMap::new(),
            numbers: HashMap::new(),
            shapes: HashMap::new(),
            batch: None,
        }
    }

    /// Where weights have the names that the files give them.
    pub fn root(&mut self) -> Scope<'_, 'w> {
        Scope::new(self, String::new())
    }

    /// An input of the graph. The first dimension of the first one is the number of prompts or pictures of a run.
    pub fn input(&mut self, name: &str, kind: PortType, dims: &[Dim]) -> Value {
        let value = self.graph.input(name, kind, dims);
        if self.batch.is_none() {
            let attributes = [("start", 0.into()), ("end", 1.into())];
            let [batch] = self.graph.node("Shape", "batch", &[value], &attributes);
            self.batch = Some(batch);
        }
        value
    }

    /// Makes a value an output of the graph.
    pub fn output(&mut self, value: Value, name: &str, dims: &[Dim]) {
        self.graph.output(value, name, dims);
    }

    /// Where a weight lies, which has to have this shape.
    fn stored(&mut self, name: &str, shape: &[usize]) -> Result<(usize, Stored)> {
        if let Some(element) = self.weights.element() {
            return Ok((0, self.imagine(name, shape, element)));
        }
        let (file, stored) = self
            .weights
            .get(name)
            .ok_or_else(|| Error::Missing(name.to_owned()))?;
        if stored.shape != shape {
            return Err(Error::Shape {
                name: name.to_owned(),
                found: stored.shape.clone(),
                wanted: shape.to_vec(),
            });
        }
        Ok((file, stored.clone()))
    }

    fn imagine(&mut self, name: &str, shape: &[usize], element: Element) -> Stored {
        let end = &mut self.imagined_bytes;
        let imagined = self.imagined.entry(name.to_owned()).or_insert_with(|| {
            let length = elements(shape).saturating_mul(element.bytes());
            *end = end.saturating_add(length);
            Stored {
                element,
                shape: shape.to_vec(),
                offset: *end - length,
                length,
            }
        });
        imagined.clone()
    }

    /// A weight with the shape that its file must give it, as `declared` says.
    fn weight(&mut self, name: &str, shape: &[usize], declared: &Declared) -> Result<Value> {
        let (file, stored) = self.stored(name, shape)?;
        let key = (name.to_owned(), declared.clone());
        if let Some(&value) = self.known.get(&key) {
            return Ok(value);
        }
        let (shape, place, own) = match declared {
            Declared::As(shape) => {
                let place = Place {
                    file,
                    offset: stored.offset,
                    length: stored.length,
                };
                (shape.clone(), place, format!("{name}{shape:?}"))
            }
            Declared::Rows(rows) => {
                // Tables of positions are stored as a batch of one.
                let shape = match shape {
                    [1, rest @ ..] if rest.len() > 1 => rest,
                    all => all,
                };
                let row = stored.length / (shape[0] as u64).max(1);
                let count = rows.end.saturating_sub(rows.start);
                let place = Place {
                    file,
                    offset: stored.offset + rows.start as u64 * row,
                    length: count as u64 * row,
                };
                let shape = [&[count], &shape[1..]].concat();
                (
                    shape,
                    place,
                    format!("{name}[{}..{}]", rows.start, rows.end),
                )
            }
        };
        let whole = shape == stored.shape;
        if self.taken.insert(name.to_owned()) {
            self.parameters = self.parameters.saturating_add(elements(&stored.shape));
        }
        let own = if whole { name.to_owned() } else { own };
        let held = self.graph.weight(&own, stored.element, &shape, place);
        let held = held.ok_or_else(|| Error::Type {
            name: name.to_owned(),
            found: match stored.element {
                Element::Other(dtype) => format!("{dtype:?}"),
                known => format!("{known:?}"),
            },
        })?;
        let value = match stored.element {
            Element::F32 => held,
            // Widened where it is read: the device keeps what the file has.
            _ => {
                let [wide] = self.graph.node("Cast", &own, &[held], &[("to", 1.into())]);
                wide
            }
        };
        self.known.insert(key, value);
        Ok(value)
    }

    fn integers(&mut self, values: &[i64]) -> Value {
        if let Some(&value) = self.integers.get(values) {
            return value;
        }
        let value = self.graph.integers(values);
        self.integers.insert(values.to_vec(), value);
        value
    }

    fn number(&mut self, number: f32) -> Value {
        let graph = &mut self.graph;
        *self
            .numbers
            .entry(number.to_bits())
            .or_insert_with(|| graph.floats(&[], &[number]))
    }

    /// `[batch, tail…]` as the target of a Reshape or an Expand.
    fn batched(&mut self, tail: &[i64]) -> Value {
        if let Some(&value) = self.shapes.get(tail) {
            return value;
        }
        let rest = self.integers(tail);
        let batch = self.batch.unwrap_or(Value::NONE);
        let [shape] = self
            .graph
            .node("Concat", "shape", &[batch, rest], &[("axis", 0.into())]);
        self.shapes.insert(tail.to_vec(), shape);
        shape
    }

    /// The finished graph, whose weights' locations begin with `name`.
    pub fn finish(self, name: &str) -> Result<Built> {
        self.is_complete()?;
        // rten reads external data of names with such an ending alone.
        let files = self.weights.files();
        let location = |file: usize| match files.len() {
            1 => format!("{name}.data"),
            _ => format!("{name}.{file}.data"),
        };
        let external: BTreeMap<String, String> = files
            .iter()
            .enumerate()
            .map(|(index, file)| (location(index), file.clone()))
            .collect();
        Ok(Built {
            graph: self.graph.encode(&location),
            external,
            parameters: self.parameters,
        })
    }

    /// The finished graph over a file of weights that are made smaller.
    pub fn finish_smaller(self, name: &str, kind: Kind) -> Result<Smaller> {
        self.is_complete()?;
        let location = format!("{name}.data");
        let (graph, file) = self.graph.smaller(kind, self.weights.files());
        Ok(Smaller {
            graph: graph.encode(&|_| location.clone()),
            location,
            file,
        })
    }

    /// Refuses weights that nothing reads.
    fn is_complete(&self) -> Result<()> {
        let names = self.weights.names();
        let unused = names.filter(|name| !self.taken.contains(*name));
        let unused: Vec<String> = unused.map(str::to_owned).collect();
        if unused.is_empty() {
            Ok(())
        } else {
            Err(Error::Unused(unused))
        }
    }
}
