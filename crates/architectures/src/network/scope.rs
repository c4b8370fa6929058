//! A place in a network: names of weights are counted from it, as modules of PyTorch are.

use std::fmt::Display;
use std::ops::Range;

use super::{Attribute, Declared, Network, Value};
use crate::error::{Error, Result};

/// A module of the network, where nodes and weights are added.
pub(crate) struct Scope<'n, 'w> {
    network: &'n mut Network<'w>,
    /// What the names of its weights begin with.
    path: String,
}

impl<'n, 'w> Scope<'n, 'w> {
    pub(super) fn new(network: &'n mut Network<'w>, path: String) -> Self {
        Self { network, path }
    }

    /// The module of a name within this one; the empty name is this one.
    pub fn at(&mut self, name: impl Display) -> Scope<'_, 'w> {
        let name = name.to_string();
        let path = match name.as_str() {
            "" => self.path.clone(),
            name => format!("{}{name}.", self.path),
        };
        Scope::new(self.network, path)
    }

    /// Whether there is a weight of that name.
    pub fn has(&self, name: &str) -> bool {
        self.network.weights.get(&self.full(name)).is_some()
    }

    /// The first of several names that there is a weight of: checkpoints of other years have other names.
    pub fn named<'a>(&self, names: &[&'a str]) -> Result<&'a str> {
        let mut found = names.iter().copied().find(|name| self.has(name));
        if self.network.weights.element().is_some() {
            found = names.first().copied();
        }
        found.ok_or_else(|| {
            let all: Vec<String> = names.iter().map(|name| self.full(name)).collect();
            Error::Missing(all.join(" or "))
        })
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// A weight of that shape, as float32.
    pub fn weight(&mut self, name: &str, shape: &[usize]) -> Result<Value> {
        self.weight_as(name, shape, shape)
    }

    /// A weight of that shape under another one with as many elements, as float32.
    pub fn weight_as(&mut self, name: &str, shape: &[usize], declared: &[usize]) -> Result<Value> {
        let full = self.full(name);
        self.network
            .weight(&full, shape, &Declared::As(declared.to_vec()))
    }

    /// Some rows of a weight of that shape, as float32.
    pub fn weight_rows(
        &mut self,
        name: &str,
        shape: &[usize],
        rows: Range<usize>,
    ) -> Result<Value> {
        let full = self.full(name);
        self.network.weight(&full, shape, &Declared::Rows(rows))
    }

    /// The shape that the file gives a weight, where checkpoints differ in nothing else.
    pub fn stored_shape(&self, name: &str) -> Option<&'w [usize]> {
        let found = self.network.weights.get(&self.full(name));
        found.map(|(_, stored)| &*stored.shape)
    }

    /// Notes that the weights whose names begin so are known, and not needed for what is built.
    pub fn leave_out(&mut self, beginning: &str) {
        let beginning = self.full(beginning);
        let names = self.network.weights.names();
        let known: Vec<String> = names
            .filter(|name| name.starts_with(&beginning))
            .map(str::to_owned)
            .collect();
        self.network.taken.extend(known);
    }

    /// The output of a node.
    pub fn node(
        &mut self,
        op: &'static str,
        inputs: &[Value],
        attributes: &[(&'static str, Attribute)],
    ) -> Value {
        let [output] = self.nodes(op, inputs, attributes);
        output
    }

    /// The outputs of a node.
    pub fn nodes<const N: usize>(
        &mut self,
        op: &'static str,
        inputs: &[Value],
        attributes: &[(&'static str, Attribute)],
    ) -> [Value; N] {
        let name = self.path.trim_end_matches('.');
        self.network.graph.node(op, name, inputs, attributes)
    }

    /// A constant of one dimension.
    pub fn integers(&mut self, values: &[i64]) -> Value {
        self.network.integers(values)
    }

    /// A scalar.
    pub fn number(&mut self, number: f32) -> Value {
        self.network.number(number)
    }

    /// A constant.
    pub fn floats(&mut self, shape: &[usize], values: &[f32]) -> Value {
        self.network.graph.floats(shape, values)
    }

    /// A value in a shape that is known but for one `-1`.
    pub fn reshaped(&mut self, x: Value, shape: &[i64]) -> Value {
        let shape = self.integers(shape);
        self.node("Reshape", &[x, shape], &[])
    }

    /// A value in the shape `[batch, tail…]`; the tail may have one `-1`.
    pub fn batched(&mut self, x: Value, tail: &[i64]) -> Value {
        let shape = self.network.batched(tail);
        self.node("Reshape", &[x, shape], &[])
    }

    /// A value repeated to `[batch, tail…]`.
    pub fn expanded(&mut self, x: Value, tail: &[i64]) -> Value {
        let shape = self.network.batched(tail);
        self.node("Expand", &[x, shape], &[])
    }

    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.node("Add", &[a, b], &[])
    }

    pub fn multiply(&mut self, a: Value, b: Value) -> Value {
        self.node("Mul", &[a, b], &[])
    }

    pub fn divide(&mut self, a: Value, b: Value) -> Value {
        self.node("Div", &[a, b], &[])
    }
}
