//! ONNX graphs of published networks.
//!
//! A component of a diffusers folder is a `config.json` and safetensors. [`build`] makes of the configuration and of the *headers* of
//! those files a graph whose initializers are external data that point into the files themselves: no weight is read, converted or
//! copied. Sizes that a request decides stay open; arithmetic is in float32, whatever type the weights are stored in; operators are
//! those that `onnx-gpu` runs in one dispatch and that rten runs too.
//!
//! [`build_smaller`] does the same over a file of its own, in which the weights have fewer bits; builders do not know of it.
//!
//! [`original`] reads checkpoints in one file, whose names are others and which hold no configuration.
//!
//! [`layers`] reads networks that make pictures larger, as Keras describes them layer by layer.
//!
//! There is one builder per class, in [`classes`]; what several of them are made of is in `blocks`. Used when a package is made, and
//! by nothing that runs one.

mod blocks;
mod classes;
mod config;
mod error;
pub mod layers;
pub mod lora;
mod network;
pub mod original;
mod smaller;
mod weights;

use std::collections::BTreeMap;

pub use error::{Error, Result};
use serde_json::Value;
pub use smaller::{Kind, Packed, ReadAt};
pub use weights::{Element, Header, Index, MAX_HEADER_BYTES, Stored, Weights};

use config::Members;
use network::Network;

/// What a component does in its pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Token ids to hidden states.
    TextEncoder(Texts),
    /// Latents, time and text to the answer.
    Denoiser,
    /// Latents to a picture.
    Decoder,
    /// A picture to latents.
    Encoder,
}

/// What a pipeline reads of a text encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// Which hidden states.
    pub states: States,
    /// Whether the pooled text is read: projected, `text_embeds`, of a class that projects it, else `pooler_output`.
    pub pooled: bool,
    /// How many layers a request may skip, at most. Classes of CLIP give the states for every number of them up to it, as
    /// far as they have layers: [`States::skipped`] names them.
    pub skips: usize,
}

/// Hidden states of a text encoder. Layers behind the last one that is read are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum States {
    /// Behind the last layer and the final norm: `last_hidden_state`.
    Last,
    /// Before the last layer: `hidden_states.N`.
    BeforeLast,
    /// Behind so many layers each: `hidden_states.N`.
    Behind(Vec<usize>),
}

impl States {
    /// Name of the output that stands for the usual one where `skipped` of `layers` layers are skipped; nothing where no
    /// layer would be left, or several states are read.
    pub fn skipped(&self, layers: usize, skipped: usize) -> Option<String> {
        match self {
            Self::Last => (skipped < layers).then(|| format!("last_hidden_state.skip_{skipped}")),
            Self::BeforeLast => {
                let left = layers.checked_sub(1 + skipped).filter(|&left| left > 0)?;
                Some(format!("hidden_states.{left}"))
            }
            Self::Behind(_) => None,
        }
    }
}

/// A graph and the files that its weights lie in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The graph, a `ModelProto`.
    pub graph: Vec<u8>,
    /// File of the weights by the location that the graph names.
    pub external: BTreeMap<String, String>,
    /// Numbers in the weights that the graph reads.
    pub parameters: u64,
}

/// A graph and the file of its weights, which is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smaller {
    /// The graph, a `ModelProto`.
    pub graph: Vec<u8>,
    /// Location that the graph names.
    pub location: String,
    /// What lies there.
    pub file: Packed,
}

/// The class that a `config.json` names: `_class_name` of diffusers, the only entry of `architectures` of transformers.
///
/// # Errors
/// [`Error::NoClass`].
pub fn class(config: &Value) -> Result<&str> {
    let of_diffusers = config.get("_class_name").and_then(Value::as_str);
    let of_transformers = || match config.get("architectures")?.as_array()?.as_slice() {
        [one] => one.as_str(),
        _ => None,
    };
    of_diffusers.or_else(of_transformers).ok_or(Error::NoClass)
}

/// Builds the graph of a component; `name` is that of the files' locations in it.
///
/// # Errors
/// [`Error::UnknownClass`], and by their names: members of the configuration that are unknown or ask for what is not built, weights
/// that are missing, have another shape, or are read by nothing.
pub fn build(name: &str, part: &Part, config: &Value, weights: &Weights) -> Result<Built> {
    network(part, config, weights)?.finish(name)
}

/// [`build`] over weights that are made smaller; what is not read is not in their file.
///
/// # Errors
/// Those of [`build`].
pub fn build_smaller(
    name: &str,
    part: &Part,
    config: &Value,
    weights: &Weights,
    kind: Kind,
) -> Result<Smaller> {
    network(part, config, weights)?.finish_smaller(name, kind)
}

fn network<'w>(part: &Part, config: &Value, weights: &'w Weights) -> Result<Network<'w>> {
    let class = class(config)?;
    let members = Members::new(class, config)?;
    let mut network = Network::new(weights);
    classes::build(class, part, members, &mut network)?;
    Ok(network)
}

/// Classes that [`build`] knows.
pub fn classes() -> impl Iterator<Item = &'static str> {
    classes::names()
}
