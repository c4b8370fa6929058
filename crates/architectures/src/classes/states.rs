//! Hidden states that a pipeline reads of a language model, and the ports of one.

use crate::States;
use crate::error::{Error, Result};
use crate::network::{Dim, Network, PortType, Value};

/// Tokens of a prompt.
const TOKENS: Dim = Dim::Of("sequence_length");

/// What is read of a language model.
pub(super) struct Wanted {
    /// Layers behind which states are given.
    behind: Vec<usize>,
    /// Whether those behind the last layer are, normed.
    pub last: bool,
    /// Layers that are run.
    pub run: usize,
}

impl Wanted {
    /// Of a model of so many layers.
    pub fn of(states: &States, layers: usize) -> Result<Self> {
        let (behind, last) = match states {
            States::Last => (Vec::new(), true),
            States::BeforeLast => (vec![layers - 1], false),
            States::Behind(behind) => (behind.clone(), false),
        };
        // What transformers calls the states behind the last layer is normed.
        if let Some(&wanted) = behind.iter().find(|&&wanted| wanted >= layers) {
            return Err(Error::Layer { wanted, layers });
        }
        let run = if last {
            layers
        } else {
            behind.iter().copied().max().unwrap_or(0)
        };
        Ok(Self { behind, last, run })
    }

    /// Ids and mask of one prompt.
    pub fn inputs(network: &mut Network<'_>) -> [Value; 2] {
        let shape = [Dim::Is(1), TOKENS];
        ["input_ids", "attention_mask"].map(|name| network.input(name, PortType::Int64, &shape))
    }

    /// Gives what is read of the rows behind the embeddings and behind each layer; `last` are those behind the last one, normed.
    pub fn give(
        &self,
        network: &mut Network<'_>,
        states: &[Value],
        last: Option<Value>,
        width: usize,
    ) {
        let last = last.map(|rows| ("last_hidden_state".to_owned(), rows));
        let behind = self
            .behind
            .iter()
            .map(|&layer| (format!("hidden_states.{layer}"), states[layer]));
        for (name, rows) in last.into_iter().chain(behind) {
            let tokens = network.root().tokens(rows, width);
            network.output(tokens, &name, &[Dim::Is(1), TOKENS, Dim::Is(width)]);
        }
    }
}
