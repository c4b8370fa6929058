//! Networks that make pictures larger, as Keras describes them layer by layer and TensorFlow.js keeps them: `model.json` beside shards of
//! weights.
//!
//! There the channels of a picture stand last and a convolution's weights are `[side, side, from, to]`; graphs have them the other way
//! round, so the weights are turned once, in memory, and written anew in fewer bits.

mod topology;
mod values;

use std::collections::HashMap;
use std::io;

use serde_json::Value as Json;

use crate::blocks::Window;
use crate::error::{Error, Result};
use crate::network::{Dim, Network, PortType, Scope, Value};
use crate::smaller::{Kind, ReadAt};
use crate::weights::Weights;
use topology::{Function, Layer, Operation, Topology};
use values::Turned;

pub use values::shards;

/// Name of the input: a picture, `[1, 3, height, width]`.
pub const INPUT: &str = "picture";
/// Name of the output: the picture `factor` times as large a side.
pub const OUTPUT: &str = "larger";

/// A network with its weights.
#[derive(Debug)]
pub struct Layers {
    topology: Topology,
    turned: Turned,
}

/// The graph of a network that makes pictures larger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enlarging {
    /// The graph, a `ModelProto`.
    pub graph: Vec<u8>,
    /// Location that the graph names for its weights.
    pub location: String,
    /// What lies there.
    pub weights: Vec<u8>,
    /// How many times larger a side becomes.
    pub factor: usize,
    /// Pixels of the picture around one that the larger one there can depend on.
    pub reach: usize,
    /// Numbers in the weights.
    pub parameters: u64,
}

/// A value while the graph is built.
#[derive(Clone, Copy)]
struct Planes {
    value: Value,
    channels: usize,
    /// How many times larger than the picture.
    factor: usize,
    /// Pixels of its own size around one that it depends on.
    reach: f64,
}

impl Layers {
    /// Reads `model.json`; `shard` gives the bytes of a file of weights that it names.
    ///
    /// # Errors
    /// By their names: [`Error::Layers`] for what is no such model, for a layer that is not known and one that asks for what is not
    /// built, and for weights that are quantised; what `shard` says.
    pub fn read(json: &Json, shard: &mut dyn FnMut(&str) -> Result<Vec<u8>>) -> Result<Self> {
        Ok(Self {
            topology: Topology::read(json)?,
            turned: Turned::read(json, shard)?,
        })
    }

    /// Builds the graph over weights of `kind`; `name` is what their location is called after.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Shape`] and [`Error::Unused`] for weights that do not fit the layers, [`Error::Layers`] for layers
    /// that do not fit one another, [`Error::NotFinite`].
    pub fn build(&self, name: &str, kind: Kind) -> Result<Enlarging> {
        let weights = Weights::of(values::FILE, self.turned.stored());
        let mut network = Network::new(&weights);
        let parameters = weights.names().filter_map(|name| weights.get(name));
        let parameters = parameters.map(|(_, stored)| stored.length / 4).sum();
        let made = self.layers(&mut network)?;
        let dims = |height, width| [Dim::Is(1), Dim::Is(3), Dim::Of(height), Dim::Of(width)];
        network.output(made.value, OUTPUT, &dims("larger_height", "larger_width"));
        let smaller = network.finish_smaller(name, kind)?;
        let mut bytes = Vec::new();
        smaller.file.write(&mut self.turned.reader(), &mut bytes)?;
        Ok(Enlarging {
            graph: smaller.graph,
            location: smaller.location,
            weights: bytes,
            factor: made.factor,
            reach: (made.reach / made.factor as f64).ceil() as usize,
            parameters,
        })
    }

    fn layers(&self, network: &mut Network<'_>) -> Result<Planes> {
        let mut known: HashMap<&str, Planes> = HashMap::new();
        for layer in &self.topology.layers {
            let inputs = layer.inputs.iter().map(|input| {
                let planes = known.get(&**input).copied();
                planes.ok_or_else(|| {
                    layer.wrong(format!("it reads {input}, which does not come before it"))
                })
            });
            let inputs: Vec<Planes> = inputs.collect::<Result<_>>()?;
            let made = match (&layer.operation, &inputs[..]) {
                (Operation::Picture, []) => {
                    let dims = [Dim::Is(1), Dim::Is(3), Dim::Of("height"), Dim::Of("width")];
                    Planes {
                        value: network.input(INPUT, PortType::Float32, &dims),
                        channels: 3,
                        factor: 1,
                        reach: 0.0,
                    }
                }
                (operation, [first, rest @ ..]) => {
                    applied(network.root(), layer, operation, *first, rest)?
                }
                _ => return Err(layer.wrong("it reads nothing")),
            };
            known.insert(&layer.name, made);
        }
        let last = known.get(&*self.topology.output).copied();
        match last {
            Some(planes) if planes.channels == 3 && planes.factor > 1 => Ok(planes),
            Some(planes) => Err(Error::Layers {
                layer: self.topology.output.clone(),
                problem: format!(
                    "it gives {} channels {} times as large, which is no larger picture",
                    planes.channels, planes.factor
                ),
            }),
            None => Err(Error::Missing(self.topology.output.clone())),
        }
    }
}

/// A layer's output.
fn applied(
    mut root: Scope<'_, '_>,
    layer: &Layer,
    operation: &Operation,
    first: Planes,
    rest: &[Planes],
) -> Result<Planes> {
    let alike = |channels: bool| {
        let mut others = rest.iter();
        let fits = |other: &Planes| {
            other.factor == first.factor && (!channels || other.channels == first.channels)
        };
        match others.all(fits) {
            true => Ok(()),
            false => Err(layer.wrong("what it reads has several sizes")),
        }
    };
    let reach = rest
        .iter()
        .fold(first.reach, |most, other| most.max(other.reach));
    let first = Planes { reach, ..first };
    match operation {
        Operation::Add => {
            alike(true)?;
            let sum = |sum, other: &Planes| root.add(sum, other.value);
            let value = rest.iter().fold(first.value, sum);
            return Ok(Planes { value, ..first });
        }
        Operation::Concatenate => {
            alike(false)?;
            let all: Vec<Value> = [first]
                .iter()
                .chain(rest)
                .map(|planes| planes.value)
                .collect();
            let channels = rest.iter().map(|planes| planes.channels);
            return Ok(Planes {
                value: root.node("Concat", &all, &[("axis", 1.into())]),
                channels: channels.fold(first.channels, usize::saturating_add),
                ..first
            });
        }
        _ if !rest.is_empty() => return Err(layer.wrong("it reads several values")),
        _ => {}
    }
    Ok(match operation {
        Operation::Convolution {
            filters,
            side,
            bias,
            function,
        } => {
            let window = Window {
                bias: *bias,
                ..Window::centred(*side)
            };
            let channels = [first.channels, *filters];
            let value = root
                .at(&layer.name)
                .convolution(first.value, channels, window)?;
            Planes {
                value: function.applied(&mut root, value),
                channels: *filters,
                reach: first.reach + (side / 2) as f64,
                ..first
            }
        }
        Operation::Function(function) => Planes {
            value: function.applied(&mut root, first.value),
            ..first
        },
        Operation::Scaled(by) => {
            let by = root.number(*by);
            Planes {
                value: root.multiply(first.value, by),
                ..first
            }
        }
        Operation::Shuffled(by) => {
            let channels = first.channels / (by * by);
            if channels * by * by != first.channels {
                return Err(layer.wrong(format!(
                    "{} channels are no {by} × {by} pixels",
                    first.channels
                )));
            }
            let attributes = [("blocksize", (*by as i64).into()), ("mode", "DCR".into())];
            Planes {
                value: root.node("DepthToSpace", &[first.value], &attributes),
                channels,
                factor: layer.larger(first.factor, *by)?,
                reach: first.reach * *by as f64,
            }
        }
        Operation::Repeated(by) => Planes {
            value: root.enlarged(first.value, *by as f32),
            factor: layer.larger(first.factor, *by)?,
            reach: first.reach * *by as f64,
            ..first
        },
        Operation::Picture | Operation::Add | Operation::Concatenate => first,
    })
}

impl Function {
    fn applied(self, root: &mut Scope<'_, '_>, x: Value) -> Value {
        match self.operator() {
            Some(operator) => root.node(operator, &[x], &[]),
            None => x,
        }
    }
}

/// The weights, as a file that is read.
impl ReadAt for &Turned {
    fn read_at(&mut self, _file: &str, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let found = self
            .bytes()
            .get(start..)
            .and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
