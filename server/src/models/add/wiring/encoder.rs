//! The text encoders of a folder.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use diffusion::manifest::{Symbol, TextInput, TextRun};
use onnx_gpu::proto::ValueInfo;
use serde_json::Value;

use super::super::graph::{Graph, Place, Wired, fixed, port};
use super::super::layout::Part;
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
        let run = TextRun {
            graph: part.name().to_owned(),
            text: TEXTS[text].to_owned(),
            inputs: BTreeMap::from([(ids.name.clone(), TextInput::Ids)]),
            outputs: named,
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
