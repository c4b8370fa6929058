//! Pipelines whose text encoder is a language model, of the folders that diffusers writes.

mod template;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use diffusion::manifest::{
    Coder, Denoiser, Feed, Guidance, ImageSize, Latents, Sizes, Symbol, TextInput, TextRun,
    TimeUnit,
};
use diffusion::scheduler::SchedulerKind;
use diffusion::scheduler::samplers::{FlowSampler, Grid, Shift, TimeShift};
use diffusion::tokenizer::{PadTo, Padding, Side, TextSettings};
use onnx_gpu::proto::ValueInfo;
use protocol::ModelSizes;
use serde_json::Value;

use super::autoencoder::{self, Scale};
use super::graph::{Graph, Place, Wired, fixed, port};
use super::json::json;
use super::layout::{Layout, Part};
use super::pipeline::{Defaults, Family, Pipeline};
use super::source::{Said, Source, Words};
use super::tokenizer::{self, Takes};
use super::wiring::{Reader, Spatial, TEXTS, Text, Wiring};

/// Most tokens of a prompt, as the pipelines have it in their code.
const LENGTH: usize = 512;
/// Layers behind which the pipeline of FLUX.2 klein reads hidden states.
pub(super) const LAYERS: [usize; 3] = [9, 18, 27];
/// Side of a picture where nobody asks for another, in pixels.
const SIDE: u32 = 1024;

/// A pipeline whose text encoder is a language model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// FLUX.2 klein, and whether it was distilled to a few steps without guidance.
    Klein { distilled: bool },
    /// Z-Image.
    ZImage,
}

/// What the graphs of a pipeline are, and how they are put together.
struct Plan {
    /// Outputs of the hidden states that are read, and the manifest's names of them.
    names: Vec<(String, String)>,
    /// Pixels per latent, for each that the autoencoder makes one of.
    factor: usize,
    patch: usize,
    time: TimeUnit,
    negated: bool,
    guidance: Guidance,
    scale: Scale,
    padding: PadTo,
    thinking: bool,
}

impl Language {
    /// That of a family, and what `model_index.json` says of it.
    pub fn of(family: Family, index: &Value) -> Option<Self> {
        match family {
            Family::Flux2Klein => Some(Self::Klein {
                distilled: index.get("is_distilled") == Some(&Value::Bool(true)),
            }),
            Family::ZImage => Some(Self::ZImage),
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
        };
        Defaults { steps, guidance }
    }

    /// The scheduler as the pipeline drives it: it passes the levels, and FLUX.2's a shift of its own where the file has one by
    /// tokens.
    ///
    /// # Errors
    /// For schedulers that it cannot drive.
    pub fn scheduler(self, stated: SchedulerKind) -> anyhow::Result<SchedulerKind> {
        let SchedulerKind::Flow(FlowSampler::Euler(mut flow)) = stated else {
            bail!("the pipeline steps with FlowMatchEulerDiscreteScheduler alone");
        };
        flow.grid = Grid::Steps;
        if let (Self::Klein { .. }, Shift::Tokens(by)) = (self, flow.shift) {
            ensure!(
                by.time_shift_type == TimeShift::Exponential,
                "time_shift_type of the scheduler is not exponential"
            );
            flow.shift = Shift::Flux2;
        }
        Ok(SchedulerKind::Flow(FlowSampler::Euler(flow)))
    }

    fn plan(self, text: &Value, vae: &Value, said: &Said) -> anyhow::Result<Plan> {
        match self {
            Self::Klein { distilled } => {
                let name = |layer| (format!("hidden_states.{layer}"), format!("states_{layer}"));
                Ok(Plan {
                    names: LAYERS.map(name).to_vec(),
                    // The graphs put two latents of the autoencoder down and across into one.
                    factor: 2,
                    patch: 1,
                    time: TimeUnit::default(),
                    negated: false,
                    guidance: if distilled {
                        Guidance::Ignored
                    } else {
                        Guidance::ClassifierFree
                    },
                    scale: Scale::NONE,
                    padding: PadTo::Max,
                    thinking: false,
                })
            }
            Self::ZImage => {
                let layers = text["num_hidden_layers"].as_u64();
                let layers =
                    layers.context("config.json of the text encoder has no num_hidden_layers")?;
                let (scale, _) = autoencoder::of_config(vae, said.latent_scale)?;
                Ok(Plan {
                    names: vec![(
                        format!("hidden_states.{}", layers.saturating_sub(1)),
                        "states".to_owned(),
                    )],
                    factor: 1,
                    patch: 2,
                    time: TimeUnit {
                        factor: 0.001,
                        from_one: true,
                    },
                    negated: true,
                    guidance: Guidance::ClassifierFreeOnTop,
                    scale,
                    // Padding is dropped before the denoiser sees it, and what comes before it does not see it either.
                    padding: PadTo::Longest,
                    thinking: true,
                })
            }
        }
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
        let text = reader.config(Part::TextEncoder)?;
        let vae = reader.config(Part::VaeDecoder)?;
        let plan = self.plan(&text, &vae, said)?;
        let words = words(folder, layout, text["vocab_size"].as_u64(), &plan)?;
        let encoder = reader.graph(Part::TextEncoder)?;
        let (encoder, run, width) = text_run(encoder, &plan.names)?;
        let denoiser = reader.graph(Part::Unet)?;
        let decoder = reader.graph(Part::VaeDecoder)?;
        let levels = vae["block_out_channels"].as_array().map_or(1, Vec::len);
        let sample = denoiser.input("the latents", &["sample"])?;
        let latents = Latents {
            channels: fixed(sample, 1).context("the denoiser leaves its channels open")?,
            stride: plan.factor << levels.saturating_sub(1).min(6),
            patch: plan.patch,
            rgb: None,
        };
        let size = said.size.unwrap_or(ImageSize {
            width: SIDE,
            height: SIDE,
        });
        let spatial = Spatial {
            latents: &latents,
            size,
        };
        let tokens = Place::Varies(Symbol::Tokens, LENGTH);
        let states = Place::Is(width * plan.names.len());
        let inputs = [
            ("sample", spatial.latents().to_vec()),
            ("timestep", vec![Place::Rows]),
            ("encoder_hidden_states", vec![Place::Rows, tokens, states]),
        ];
        let denoiser = wired(
            denoiser,
            &inputs,
            &[("out_sample", spatial.latents().to_vec())],
        )?;
        let decoder = spatial.decoder(decoder)?;
        let values = plan.names.iter().map(|(_, value)| value.clone()).collect();
        let sizes = Sizes {
            default: size,
            others: Some(other_sizes(size, latents.stride * latents.patch)?),
        };
        let feeds = [("encoder_hidden_states".to_owned(), Feed::Values(values))];
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
                    inputs: BTreeMap::from(feeds),
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
fn text_run(graph: Graph, names: &[(String, String)]) -> anyhow::Result<(Wired, TextRun, usize)> {
    let tokens = Place::Varies(Symbol::Tokens, LENGTH);
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

/// The tokenizer, with the chat template around prompts.
fn words(folder: &Path, layout: &Layout, rows: Option<u64>, plan: &Plan) -> anyhow::Result<Words> {
    let files = layout.tokenizer(0);
    let takes = Takes {
        length: Some(LENGTH),
        rows: rows.and_then(|rows| usize::try_from(rows).ok()),
    };
    let vocabulary = tokenizer::read(folder, &files, takes)?;
    let beside = folder.join("tokenizer");
    let frame = template::frame(&template::of_folder(&beside)?, plan.thinking)?;
    let config: Value = json(&beside.join("tokenizer_config.json"))?;
    let side = match config.get("padding_side").and_then(Value::as_str) {
        None | Some("right") => Side::Right,
        Some("left") => Side::Left,
        Some(other) => bail!("padding_side of the tokenizer is {other:?}"),
    };
    let settings = TextSettings {
        file: "tokenizer.json".to_owned(),
        padding: Padding {
            to: plan.padding,
            side,
            ..vocabulary.settings.padding
        },
        masks: true,
        prefix: frame.prefix,
        suffix: frame.suffix,
        ..vocabulary.settings
    };
    Ok(Words {
        json: vocabulary.json,
        settings,
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
