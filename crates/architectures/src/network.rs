//! A graph while it is built over a component's weights.

mod graph;
mod message;
mod scope;

pub(crate) use graph::{Attribute, Dim, Value};
pub(crate) use scope::Scope;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::Built;
use crate::error::{Error, Result};
use crate::weights::{Element, Weights};
use graph::{Graph, Place};

/// Type of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortType {
    Float32,
    Int64,
}

/// A graph and the weights that it has taken so far.
pub(crate) struct Network<'w> {
    graph: Graph,
    weights: &'w Weights,
    taken: BTreeSet<String>,
    /// Weights in the graph by name and declared shape.
    known: HashMap<(String, Vec<usize>), Value>,
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

    /// A weight with the shape that its file must give it, declared in the graph as `declared`, which has as many elements.
    fn weight(&mut self, name: &str, shape: &[usize], declared: &[usize]) -> Result<Value> {
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
        let key = (name.to_owned(), declared.to_vec());
        if let Some(&value) = self.known.get(&key) {
            return Ok(value);
        }
        let place = Place {
            file,
            offset: stored.offset,
            length: stored.length,
        };
        // A weight that is declared in two shapes is two initializers over the same bytes.
        let own = match self.taken.insert(name.to_owned()) {
            true => name.to_owned(),
            false => format!("{name}{declared:?}"),
        };
        let held = self
            .graph
            .weight(&own, stored.element, declared, place)
            .ok_or_else(|| {
                let found = match stored.element {
                    Element::Other(dtype) => format!("{dtype:?}"),
                    known => format!("{known:?}"),
                };
                Error::Type {
                    name: name.to_owned(),
                    found,
                }
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
        let unused: Vec<String> = self
            .weights
            .names()
            .filter(|name| !self.taken.contains(*name))
            .map(str::to_owned)
            .collect();
        if !unused.is_empty() {
            return Err(Error::Unused(unused));
        }
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
        })
    }
}
