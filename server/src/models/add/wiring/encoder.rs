//! The text encoders of a folder.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use architectures::States;
use diffusion::manifest::{Symbol, TextInput, TextRun};
use onnx_gpu::proto::ValueInfo;
use serde_json::Value;

use super::super::graph::{Graph, Place, Wired, fixed, port};
use super::super::layout::Part;
use super::super::network::MAX_SKIPPED;
use super::super::pipeline::Family;
use super::{POOLED, Reader, STATES, TEXTS, Text, number};

/// Most tokens of a text.
const MAX_LENGTH: usize = 4096;

/// A text encoder and its names of what it gives.
pub(super) struct Encoder {
    pub wired: Wired,
    pub text: Text,
    pub run: TextRun,
    /// Width of the hidden states.
    pub width: usize,
}

impl Encoder {
    /// Leaves out what other encoders of the model do not offer.
    pub(super) fn skip_at_most(&mut self, layers: usize) {
        for read in self.run.skips.drain(layers..) {
            let dropped =
                |name: &String| read.contains_key(name) && !self.run.outputs.contains_key(name);
            self.wired.outputs.retain(|port| !dropped(&port.name));
        }
    }
}

impl Reader<'_> {
    pub(super) fn encoder(&self, part: Part, states: &ValueInfo) -> anyhow::Result<Encoder> {
        let graph = self.graph(part)?;
        let config = self.config(part)?;
        let xl = self.pipeline.family == Family::StableDiffusionXl;
        let second = part == Part::TextEncoder2;
        let ids = graph.input("the token ids", &["input_ids"])?;
        graph.has_only(&["input_ids"])?;
        let length = fixed(ids, 1)
            .or_else(|| fixed(states, 1))
            .or(number(&config, "max_position_embeddings"));
        ensure!(
            length.is_none_or(|length| (2..=MAX_LENGTH).contains(&length)),
            "texts of {length:?} tokens cannot be used"
        );
        // SDXL reads the states before the last layer, whose names count from the embeddings on.
        let hidden = if xl {
            penultimate(&graph, &config)?
        } else {
            graph.output("the hidden states", &["last_hidden_state"])?
        };
        let alone = (!xl).then(|| fixed(states, 2)).flatten();
        let width = fixed(hidden, 2)
            .or(alone)
            .or(number(&config, "hidden_size"))
            .with_context(|| {
                format!(
                    "neither {} nor its config.json says how wide the hidden states are",
                    graph.path.display()
                )
            })?;
        let length_now = length.unwrap_or(2);
        let tokens = Place::Varies(Symbol::Tokens, length_now);
        let text = usize::from(second);
        let mut outputs = vec![port(
            &graph,
            hidden,
            &[Place::Rows, tokens, Place::Is(width)],
        )?];
        let mut named = BTreeMap::from([(hidden.name.clone(), STATES[text].to_owned())]);
        if second {
            let pooled = graph.output("the pooled text", &["text_embeds"])?;
            let wide = fixed(pooled, 1).or(number(&config, "projection_dim"));
            let wide = wide.context("text_encoder_2 does not say how wide text_embeds is")?;
            outputs.push(port(&graph, pooled, &[Place::Rows, Place::Is(wide)])?);
            named.insert(pooled.name.clone(), POOLED.to_owned());
        }
        let mut skips = Vec::new();
        for other in ahead(&graph, hidden) {
            if skips.len() == MAX_SKIPPED {
                break;
            }
            outputs.push(port(
                &graph,
                other,
                &[Place::Rows, tokens, Place::Is(width)],
            )?);
            let mut read = named.clone();
            read.remove(&hidden.name);
            read.insert(other.name.clone(), STATES[text].to_owned());
            skips.push(read);
        }
        let run = TextRun {
            graph: part.name().to_owned(),
            text: TEXTS[text].to_owned(),
            inputs: BTreeMap::from([(ids.name.clone(), TextInput::Ids)]),
            outputs: named,
            skips,
        };
        let inputs = vec![port(&graph, ids, &[Place::Rows, tokens])?];
        Ok(Encoder {
            text: Text {
                length,
                rows: graph.rows.or(number(&config, "vocab_size")),
            },
            wired: Wired {
                graph,
                inputs,
                outputs,
            },
            run,
            width,
        })
    }
}

/// Outputs that stand for `hidden` where one layer is skipped, two, and so on, as long as the graph gives them: each of the
/// layers that are read before their last norm, and of those behind it what a graph of ours calls so.
fn ahead<'g>(graph: &'g Graph, hidden: &ValueInfo) -> impl Iterator<Item = &'g ValueInfo> {
    let layer = hidden.name.strip_prefix("hidden_states.");
    let layer = layer.and_then(|number| number.parse::<usize>().ok());
    let states = match layer {
        Some(_) => States::BeforeLast,
        None => States::Last,
    };
    let layers = layer.map_or(usize::MAX, |layer| layer + 1);
    let outputs = graph.outputs();
    (1..).map_while(move |skipped| {
        let name = states.skipped(layers, skipped)?;
        outputs.iter().find(|info| info.name == name)
    })
}

/// The hidden states before the last layer.
fn penultimate<'g>(graph: &'g Graph, config: &Value) -> anyhow::Result<&'g ValueInfo> {
    let layer = |info: &&ValueInfo| {
        let number = info.name.strip_prefix("hidden_states.")?;
        number.parse::<usize>().ok()
    };
    let outputs = graph.outputs();
    let stated = number(config, "num_hidden_layers");
    let last = stated.or_else(|| outputs.iter().filter_map(|info| layer(&info)).max());
    let wanted = last.and_then(|last| last.checked_sub(1));
    let found = outputs
        .iter()
        .find(|info| wanted.is_some() && layer(info) == wanted);
    found.with_context(|| {
        format!(
            "{} gives no hidden_states.N: SDXL reads the states before the last layer; export it with them",
            graph.path.display()
        )
    })
}
