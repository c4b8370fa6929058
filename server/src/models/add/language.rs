//! Pipelines whose text encoder is a language model, of the folders that diffusers writes.

mod instructions;
mod plan;
mod sampling;
mod template;
mod words;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use diffusion::manifest::{
    Coder, Denoiser, Feed, Guidance, ImageSize, Latents, Sizes, Symbol, TextInput, TextRun,
};
use diffusion::scheduler::SchedulerKind;
use onnx_gpu::proto::ValueInfo;
use protocol::ModelSizes;
use serde_json::Value;

use super::graph::{Graph, Place, Wired, fixed, port};
use super::json::json;
use super::layout::{Layout, Part};
use super::pipeline::{Defaults, Family, Pipeline};
use super::source::{Said, Source};
use super::wiring::{Reader, Spatial, TEXTS, Text, Wiring};
use plan::Configs;

/// Layers behind which the pipeline of FLUX.2 klein reads hidden states.
pub(super) const LAYERS: [usize; 3] = [9, 18, 27];

/// A pipeline whose text encoder is a language model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// FLUX.2 klein, and whether it was distilled to a few steps without guidance.
    Klein { distilled: bool },
    /// Z-Image.
    ZImage,
    /// SANA.
    Sana,
    /// SANA-Sprint.
    SanaSprint,
    /// Lumina-Image 2.0.
    Lumina2,
}

impl Language {
    /// That of a family, and what `model_index.json` says of it.
    pub fn of(family: Family, index: &Value) -> Option<Self> {
        match family {
            Family::Flux2Klein => Some(Self::Klein {
                distilled: index.get("is_distilled") == Some(&Value::Bool(true)),
            }),
            Family::ZImage => Some(Self::ZImage),
            Family::Sana => Some(Self::Sana),
            Family::SanaSprint => Some(Self::SanaSprint),
            Family::Lumina2 => Some(Self::Lumina2),
            _ => None,
        }
    }

    /// As the cards of the models have it.
    pub fn defaults(self) -> Defaults {
        let (steps, guidance) = match self {
            Self::Klein { distilled: true } => (4, 1.0),
            Self::Klein { distilled: false } => (50, 4.0),
            // Of the turbo kind, which nothing but its name tells from the other.
            Self::ZImage => (9, 0.0),
            Self::Sana => (20, 4.5),
            Self::SanaSprint => (2, 4.5),
            Self::Lumina2 => (30, 4.0),
        };
        Defaults { steps, guidance }
    }

    /// Builds the graphs and says what they are given.
    ///
    /// # Errors
    /// What is missing or does not fit, by name.
    pub fn read(
        self,
        folder: &Path,
        layout: &Layout,
        said: &Said,
        pipeline: Pipeline,
        (scheduler, notes): (SchedulerKind, Vec<String>),
    ) -> anyhow::Result<Source> {
        let reader = Reader {
            folder,
            layout,
            pipeline,
            size: said.size,
            weights: &said.weights,
        };
        let configs = Configs {
            text: reader.config(Part::TextEncoder)?,
            denoiser: reader.config(Part::Unet)?,
            autoencoder: reader.config(Part::VaeDecoder)?,
            scheduler: match layout.scheduler() {
                Some(path) => json(&folder.join(path))?,
                None => Value::Null,
            },
        };
        let plan = self.plan(&configs, said)?;
        let rows = configs.text["vocab_size"].as_u64();
        let words = words::words(folder, layout, rows, &plan.words)?;
        let length = words.settings.length;
        let encoder = reader.graph(Part::TextEncoder)?;
        let (encoder, run, width) = text_run(encoder, &plan.names, length)?;
        let denoiser = reader.graph(Part::Unet)?;
        let decoder = reader.graph(Part::VaeDecoder)?;
        let sample = denoiser.input("the latents", &["sample"])?;
        let latents = Latents {
            channels: fixed(sample, 1).context("the denoiser leaves its channels open")?,
            stride: plan.stride,
            patch: plan.patch,
            rgb: None,
        };
        let size = plan.size;
        let spatial = Spatial {
            latents: &latents,
            size,
        };
        let tokens = Place::Varies(Symbol::Tokens, words.settings.kept());
        let states = Place::Is(width * plan.names.len());
        let mut inputs = vec![
            ("sample", spatial.latents().to_vec()),
            ("timestep", vec![Place::Rows]),
            ("encoder_hidden_states", vec![Place::Rows, tokens, states]),
        ];
        let values = plan.names.iter().map(|(_, value)| value.clone()).collect();
        let mut feeds =
            BTreeMap::from([("encoder_hidden_states".to_owned(), Feed::Values(values))]);
        if plan.masked {
            let name = "encoder_attention_mask";
            inputs.push((name, vec![Place::Rows, tokens]));
            feeds.insert(name.to_owned(), Feed::Mask(TEXTS[0].to_owned()));
        }
        if plan.guidance == Guidance::Embedded {
            inputs.push(("guidance", vec![Place::Rows]));
            feeds.insert("guidance".to_owned(), Feed::GuidanceScale);
        }
        let denoiser = wired(
            denoiser,
            &inputs,
            &[("out_sample", spatial.latents().to_vec())],
        )?;
        let decoder = spatial.decoder(decoder)?;
        let sizes = Sizes {
            default: size,
            others: Some(ModelSizes {
                buckets: plan.buckets,
                ..other_sizes(size, latents.stride * latents.patch)?
            }),
        };
        Ok(Source {
            wiring: Wiring {
                graphs: BTreeMap::from([
                    ("text_encoder", encoder),
                    ("denoiser", denoiser),
                    ("decoder", decoder),
                ]),
                texts: vec![Text::default()],
                conditioning: vec![run],
                latents,
                denoiser: Denoiser {
                    graph: "denoiser".to_owned(),
                    sample: "sample".to_owned(),
                    timestep: "timestep".to_owned(),
                    time: plan.time,
                    inputs: feeds,
                    answer: "out_sample".to_owned(),
                    negated: plan.negated,
                },
                guidance: plan.guidance,
                decoder: Coder {
                    graph: "decoder".to_owned(),
                    scale: plan.scale.factor,
                    shift: plan.scale.shift,
                },
                encoder: None,
                sizes,
            },
            scheduler,
            defaults: self.defaults(),
            words: vec![words],
            notes,
        })
    }
}

/// The text encoder, what is read of it under which name, and how wide its hidden states are.
fn text_run(
    graph: Graph,
    names: &[(String, String)],
    length: usize,
) -> anyhow::Result<(Wired, TextRun, usize)> {
    let tokens = Place::Varies(Symbol::Tokens, length);
    let first = names
        .first()
        .map(|(output, _)| &**output)
        .unwrap_or_default();
    let width = fixed(graph.output("the hidden states", &[first])?, 2);
    let width = width.context("the text encoder leaves the width of its hidden states open")?;
    let text = vec![Place::Rows, tokens];
    let inputs = [("input_ids", text.clone()), ("attention_mask", text)];
    let outputs: Vec<(&str, Vec<Place>)> = names
        .iter()
        .map(|(output, _)| (&**output, vec![Place::Rows, tokens, Place::Is(width)]))
        .collect();
    let run = TextRun {
        graph: "text_encoder".to_owned(),
        text: TEXTS[0].to_owned(),
        inputs: BTreeMap::from([
            ("input_ids".to_owned(), TextInput::Ids),
            ("attention_mask".to_owned(), TextInput::Mask),
        ]),
        outputs: names.iter().cloned().collect(),
        skips: Vec::new(),
    };
    Ok((wired(graph, &inputs, &outputs)?, run, width))
}

/// A graph and its ports, all of which are given or read.
pub(super) fn wired(
    graph: Graph,
    inputs: &[(&str, Vec<Place>)],
    outputs: &[(&str, Vec<Place>)],
) -> anyhow::Result<Wired> {
    let names: Vec<&str> = inputs.iter().map(|(name, _)| *name).collect();
    graph.has_only(&names)?;
    let ports = |ports: &[(&str, Vec<Place>)], find: &dyn Fn(&str) -> anyhow::Result<ValueInfo>| {
        let each = |(name, places): &(&str, Vec<Place>)| port(&graph, &find(name)?, places);
        ports.iter().map(each).collect::<anyhow::Result<Vec<_>>>()
    };
    Ok(Wired {
        inputs: ports(inputs, &|name| Ok(graph.input(name, &[name])?.clone()))?,
        outputs: ports(outputs, &|name| Ok(graph.output(name, &[name])?.clone()))?,
        graph,
    })
}

/// Sizes beside the default one.
pub(super) fn other_sizes(default: ImageSize, stride: usize) -> anyhow::Result<ModelSizes> {
    let multiple_of = u32::try_from(stride)?;
    let ImageSize { width, height } = default;
    let longer = width.max(height);
    let sizes = ModelSizes {
        multiple_of,
        min_side: multiple_of.max(longer / 4).next_multiple_of(multiple_of),
        max_side: (2 * longer).next_multiple_of(multiple_of),
        max_pixels: 2 * u64::from(width) * u64::from(height),
        buckets: Vec::new(),
    };
    ensure!(
        sizes.allows(width, height),
        "pictures of {width} x {height} pixels are no multiple of {multiple_of}"
    );
    Ok(sizes)
}
