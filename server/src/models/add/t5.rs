//! Pipelines for which T5 reads prompts, alone or beside CLIP, of the folders that diffusers writes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use diffusion::manifest::{
    Coder, Denoiser, Feed, Guidance, ImageSize, Latents, Sizes, TextInput, TextRun, TimeUnit,
};
use diffusion::scheduler::SchedulerKind;
use diffusion::scheduler::samplers::{FlowSampler, Grid};
use diffusion::tokenizer::{Cleaning, TextSettings};
use serde_json::Value;

use super::graph::{Graph, Place, Wired, fixed};
use super::language::{other_sizes, wired};
use super::layout::{Layout, Part};
use super::pipeline::{Defaults, Family, Pipeline};
use super::source::{Said, Source, Words};
use super::tokenizer::{self, Takes};
use super::wiring::{Reader, Spatial, TEXTS, Text, Wiring};
use super::{autoencoder, bins};

/// Side of a picture of FLUX.1 where nobody asks for another, in pixels.
const FLUX_SIDE: usize = 1024;
/// Latents down and across that are one token.
const PATCH: usize = 2;
/// How much longer than those of the training the sides of a picture of Stable Diffusion 3 may be; the graph keeps as much of the table of
/// places.
const LARGER: usize = 2;
/// Inputs of denoisers.
const STATES: &str = "encoder_hidden_states";
const STATES_OF_T5: &str = "encoder_hidden_states_t5";
const POOLED: &str = "pooled_projections";

/// A pipeline with T5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum T5 {
    /// PixArt-α.
    PixArtAlpha,
    /// PixArt-Σ.
    PixArtSigma,
    /// Stable Diffusion 3 and 3.5, and whether T5 is there: authors leave it out of small packages.
    StableDiffusion3 { third: bool },
    /// FLUX.1, and whether its denoiser is told the guidance scale.
    Flux { guided: bool },
}

/// A text encoder and how its tokenizer is used.
struct Encoder {
    part: Part,
    reads: Reads,
    /// Tokens of a text, where its configuration does not say.
    length: Option<usize>,
}

/// What is read of a text encoder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// CLIP's hidden states before the last layer, and the pooled text.
    Both,
    /// CLIP's pooled text.
    Pooled,
    /// T5's hidden states; with or without a mask over padding.
    Words { masked: bool },
}

/// A text encoder that was read.
struct Known {
    name: &'static str,
    wired: Wired,
    run: TextRun,
    words: Words,
    reads: Reads,
    length: usize,
    /// Widths of its hidden states and of the pooled text, where they are read.
    wide: usize,
    pooled: usize,
}

impl T5 {
    /// That of a family; `index` is `model_index.json`, and below `folder` are the small files.
    ///
    /// # Errors
    /// When a configuration cannot be read.
    pub fn of(
        family: Family,
        index: &Value,
        folder: &Path,
        layout: &Layout,
    ) -> anyhow::Result<Option<Self>> {
        let names_third = || match &index["text_encoder_3"] {
            Value::Null => false,
            Value::Array(class) => !class.iter().all(Value::is_null),
            _ => true,
        };
        Ok(Some(match family {
            Family::PixArtAlpha => Self::PixArtAlpha,
            Family::PixArtSigma => Self::PixArtSigma,
            Family::StableDiffusion3 => Self::StableDiffusion3 {
                third: names_third(),
            },
            Family::Flux => {
                let config = layout.config(Part::Unet);
                let config = config.context("transformer/config.json is missing")?;
                let config: Value = super::json::json(&folder.join(config))?;
                Self::Flux {
                    guided: config["guidance_embeds"] == true,
                }
            }
            _ => return Ok(None),
        }))
    }

    /// The same without T5, if it can do without it.
    pub fn without(self) -> Self {
        match self {
            Self::StableDiffusion3 { .. } => Self::StableDiffusion3 { third: false },
            other => other,
        }
    }

    /// Whether it reads a part.
    pub fn reads(self, part: Part) -> bool {
        self.encoders().iter().any(|encoder| encoder.part == part)
            || matches!(part, Part::Unet | Part::VaeDecoder)
    }

    fn encoders(self) -> Vec<Encoder> {
        let of = |part, reads, length| Encoder {
            part,
            reads,
            length,
        };
        let plain = Reads::Words { masked: false };
        let masked = Reads::Words { masked: true };
        match self {
            Self::PixArtAlpha => vec![of(Part::TextEncoder, masked, Some(120))],
            Self::PixArtSigma => vec![of(Part::TextEncoder, masked, Some(300))],
            Self::StableDiffusion3 { third } => {
                let mut all = vec![
                    of(Part::TextEncoder, Reads::Both, None),
                    of(Part::TextEncoder2, Reads::Both, None),
                ];
                all.extend(third.then(|| of(Part::TextEncoder3, plain, Some(ABSENT))));
                all
            }
            Self::Flux { .. } => vec![
                of(Part::TextEncoder, Reads::Pooled, None),
                of(Part::TextEncoder2, plain, Some(512)),
            ],
        }
    }

    /// As the pipelines' own defaults and the models' cards have it; `by_scheduler` is what a scheduler of few steps asks for.
    pub fn defaults(self, by_scheduler: Option<Defaults>) -> Defaults {
        let of = |steps, guidance| Defaults { steps, guidance };
        match self {
            Self::PixArtAlpha | Self::PixArtSigma => by_scheduler.unwrap_or(of(20, 4.5)),
            Self::StableDiffusion3 { .. } => of(28, 7.0),
            Self::Flux { guided: true } => of(28, 3.5),
            Self::Flux { guided: false } => of(4, 0.0),
        }
    }

    /// The scheduler as the pipeline drives it: that of FLUX.1 passes the levels.
    ///
    /// # Errors
    /// For schedulers that it cannot drive.
    pub fn scheduler(self, stated: SchedulerKind) -> anyhow::Result<SchedulerKind> {
        match (self, stated) {
            (Self::PixArtAlpha | Self::PixArtSigma, stated) => Ok(stated),
            (Self::StableDiffusion3 { .. }, SchedulerKind::Flow(flow)) => {
                Ok(SchedulerKind::Flow(flow))
            }
            (Self::Flux { .. }, SchedulerKind::Flow(FlowSampler::Euler(mut flow))) => {
                flow.grid = Grid::Steps;
                Ok(SchedulerKind::Flow(FlowSampler::Euler(flow)))
            }
            _ => bail!("the pipeline steps with FlowMatchEulerDiscreteScheduler alone"),
        }
    }

    fn guidance(self) -> Guidance {
        match self {
            Self::PixArtAlpha | Self::PixArtSigma | Self::StableDiffusion3 { .. } => {
                Guidance::ClassifierFree
            }
            Self::Flux { guided: true } => Guidance::Embedded,
            Self::Flux { guided: false } => Guidance::Ignored,
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
        (scheduler, defaults, notes): (SchedulerKind, Defaults, Vec<String>),
    ) -> anyhow::Result<Source> {
        let reader = Reader {
            folder,
            layout,
            pipeline,
            size: said.size,
            weights: &said.weights,
        };
        let mut encoders = Vec::new();
        for (place, encoder) in self.encoders().into_iter().enumerate() {
            encoders.push(self.encoder(&reader, encoder, place)?);
        }
        let config = reader.config(Part::Unet)?;
        let vae = reader.config(Part::VaeDecoder)?;
        let (scale, _) = autoencoder::of_config(&vae, said.latent_scale)?;
        let denoiser = reader.graph(Part::Unet)?;
        let decoder = reader.graph(Part::VaeDecoder)?;
        let sample = denoiser.input("the latents", &["sample"])?;
        let latents = Latents {
            channels: fixed(sample, 1).context("the denoiser leaves its channels open")?,
            stride: reader.stride()?,
            patch: PATCH,
            rgb: None,
        };
        let sizes = self.sizes(&config, &latents, said.size)?;
        let spatial = Spatial {
            latents: &latents,
            size: sizes.default,
        };
        let (denoiser, feeds) = self.denoiser(denoiser, &encoders, &spatial)?;
        let decoder = spatial.decoder(decoder)?;
        let mut graphs = BTreeMap::from([("denoiser", denoiser), ("decoder", decoder)]);
        let (mut conditioning, mut words) = (Vec::new(), Vec::new());
        for encoder in encoders {
            graphs.insert(encoder.name, encoder.wired);
            conditioning.push(encoder.run);
            words.push(encoder.words);
        }
        Ok(Source {
            wiring: Wiring {
                graphs,
                texts: words.iter().map(|_| Text::default()).collect(),
                conditioning,
                latents,
                denoiser: Denoiser {
                    graph: "denoiser".to_owned(),
                    sample: "sample".to_owned(),
                    timestep: "timestep".to_owned(),
                    time: TimeUnit::default(),
                    inputs: feeds,
                    answer: "out_sample".to_owned(),
                    negated: false,
                },
                guidance: self.guidance(),
                decoder: Coder {
                    graph: "decoder".to_owned(),
                    scale: scale.factor,
                    shift: scale.shift,
                },
                encoder: None,
                sizes,
            },
            scheduler,
            defaults,
            words,
            notes,
        })
    }

    /// The default size of pictures and the others.
    fn sizes(
        self,
        config: &Value,
        latents: &Latents,
        said: Option<ImageSize>,
    ) -> anyhow::Result<Sizes> {
        let number = |name: &str, default: u64| config[name].as_u64().unwrap_or(default) as usize;
        // The classes' default.
        let sample = number("sample_size", 128);
        let side = match self {
            Self::Flux { .. } => FLUX_SIDE,
            _ => sample.saturating_mul(latents.stride),
        };
        let side = u32::try_from(side).context("the denoiser's sample_size is no size")?;
        let default = said.unwrap_or(ImageSize {
            width: side,
            height: side,
        });
        let token = latents.stride * latents.patch;
        let mut others = other_sizes(default, token)?;
        if let Self::StableDiffusion3 { .. } = self {
            let places = number("pos_embed_max_size", 96);
            let most = places.min(LARGER * sample / PATCH).saturating_mul(token);
            let most = u32::try_from(most)?;
            ensure!(
                default.width.max(default.height) <= most,
                "the denoiser knows places of {most} pixels at most"
            );
            others.max_side = others.max_side.min(most);
        }
        let rounded = matches!(self, Self::PixArtAlpha | Self::PixArtSigma);
        others.buckets = bins::of(default, rounded);
        Ok(Sizes {
            default,
            others: Some(others),
        })
    }

    fn encoder(self, reader: &Reader<'_>, encoder: Encoder, place: usize) -> anyhow::Result<Known> {
        let Encoder {
            part,
            reads,
            length,
        } = encoder;
        if part == Part::TextEncoder3 {
            let found = reader.layout.part(part)?;
            found.context(
                "model_index.json names a text_encoder_3, which is not there; --components text_encoder,text_encoder_2,transformer,vae \
                 does without it",
            )?;
        }
        let graph = reader.graph(part)?;
        let config = reader.config(part)?;
        let stated = graph.input("the token ids", &["input_ids"])?;
        let length = length.or(fixed(stated, 1));
        let length = length.context("the text encoder leaves the length of texts open")?;
        let rows = config["vocab_size"].as_u64();
        let takes = Takes {
            length: Some(length),
            rows: rows.and_then(|rows| usize::try_from(rows).ok()),
        };
        let vocabulary = tokenizer::read(reader.folder, &reader.layout.tokenizer(place), takes)?;
        let masked = reads == Reads::Words { masked: true };
        let words = Words {
            json: vocabulary.json,
            settings: TextSettings {
                file: format!("{}.json", TEXTS[place].replace("prompt", "tokenizer")),
                masks: masked,
                cleaning: if masked {
                    Cleaning::LowerStrip
                } else {
                    Cleaning::None
                },
                ..vocabulary.settings
            },
        };
        let ids = vec![Place::Rows, Place::Is(length)];
        let mut inputs = vec![("input_ids", ids.clone())];
        let mut given = BTreeMap::from([("input_ids".to_owned(), TextInput::Ids)]);
        let (mut outputs, mut named) = (Vec::new(), BTreeMap::new());
        let (mut wide, mut pooled) = (0, 0);
        if let Reads::Words { .. } = reads {
            inputs.push(("attention_mask", ids));
            given.insert("attention_mask".to_owned(), TextInput::Mask);
        }
        let states = match reads {
            Reads::Words { .. } => Some("last_hidden_state".to_owned()),
            Reads::Both => {
                let layers = config["num_hidden_layers"].as_u64().unwrap_or(12);
                Some(format!("hidden_states.{}", layers.saturating_sub(1)))
            }
            Reads::Pooled => None,
        };
        if let Some(states) = &states {
            let port = graph.output("the hidden states", &[states])?;
            wide = fixed(port, 2).context("the width of the hidden states is open")?;
            outputs.push((
                &**states,
                vec![Place::Rows, Place::Is(length), Place::Is(wide)],
            ));
            named.insert(states.clone(), states_of(place));
        }
        if let Reads::Both | Reads::Pooled = reads {
            let names = ["text_embeds", "pooler_output"];
            let found = graph.output("the pooled text", &names)?;
            let name = names.into_iter().find(|name| *name == found.name);
            let name = name.context("the text encoder gives no pooled text")?;
            pooled = fixed(found, 1).context("the width of the pooled text is open")?;
            outputs.push((name, vec![Place::Rows, Place::Is(pooled)]));
            named.insert(name.to_owned(), pooled_of(place));
        }
        let run = TextRun {
            graph: part.name().to_owned(),
            text: TEXTS[place].to_owned(),
            inputs: given,
            outputs: named,
            skips: Vec::new(),
        };
        Ok(Known {
            name: part.name(),
            wired: wired(graph, &inputs, &outputs)?,
            run,
            words,
            reads,
            length,
            wide,
            pooled,
        })
    }

    fn denoiser(
        self,
        graph: Graph,
        encoders: &[Known],
        spatial: &Spatial<'_>,
    ) -> anyhow::Result<(Wired, BTreeMap<String, Feed>)> {
        let mut inputs = vec![
            ("sample", spatial.latents().to_vec()),
            ("timestep", vec![Place::Rows]),
        ];
        let mut feeds = BTreeMap::new();
        // What the encoders of one kind give stands side by side.
        let of = |takes: fn(Reads) -> bool| {
            let found = encoders.iter().enumerate();
            found.filter(move |(_, known)| takes(known.reads))
        };
        let words = |reads| matches!(reads, Reads::Words { .. });
        let mut beside = |name, dims: Vec<Place>, values: Vec<String>| {
            inputs.push((name, dims));
            feeds.insert(name.to_owned(), Feed::Values(values));
        };
        let clip = || of(|reads| reads == Reads::Both);
        if let Some((_, first)) = clip().next() {
            let wide = clip().map(|(_, known)| known.wide).sum();
            let dims = vec![Place::Rows, Place::Is(first.length), Place::Is(wide)];
            beside(STATES, dims, clip().map(|(at, _)| states_of(at)).collect());
        }
        for (at, known) in of(words) {
            let name = if clip().next().is_some() {
                STATES_OF_T5
            } else {
                STATES
            };
            let dims = vec![Place::Rows, Place::Is(known.length), Place::Is(known.wide)];
            beside(name, dims, vec![states_of(at)]);
        }
        let pooled = || {
            of(|reads| {
                reads != Reads::Words { masked: false } && reads != Reads::Words { masked: true }
            })
        };
        if pooled().next().is_some() {
            let wide = pooled().map(|(_, known)| known.pooled).sum();
            let values = pooled().map(|(at, _)| pooled_of(at)).collect();
            beside(POOLED, vec![Place::Rows, Place::Is(wide)], values);
        }
        let mut given = |name, dims, feed| {
            inputs.push((name, dims));
            feeds.insert(String::from(name), feed);
        };
        for (at, known) in of(|reads| reads == Reads::Words { masked: true }) {
            let dims = vec![Place::Rows, Place::Is(known.length)];
            given(
                "encoder_attention_mask",
                dims,
                Feed::Mask(TEXTS[at].to_owned()),
            );
        }
        match self {
            Self::StableDiffusion3 { third: false } => {
                let port = graph.input("the tokens of T5", &[STATES_OF_T5])?;
                let wide = fixed(port, 2).context("the width of T5's tokens is open")?;
                let dims = vec![Place::Rows, Place::Is(ABSENT), Place::Is(wide)];
                let zeros = Feed::Zeros([ABSENT, wide]);
                given(STATES_OF_T5, dims, zeros);
            }
            Self::PixArtAlpha if graph.optional("resolution").is_some() => {
                given("resolution", vec![Place::Rows, Place::Is(2)], Feed::Size);
            }
            Self::Flux { guided: true } => {
                given("guidance", vec![Place::Rows], Feed::GuidanceScale);
            }
            _ => {}
        }
        let answer = [("out_sample", spatial.latents().to_vec())];
        Ok((wired(graph, &inputs, &answer)?, feeds))
    }
}

/// Tokens of T5 in Stable Diffusion 3, zeros where it is absent.
const ABSENT: usize = 256;

/// The manifest's name of the hidden states of the encoder at that place.
fn states_of(place: usize) -> String {
    TEXTS[place].replace("prompt", "states")
}

/// The same of the pooled text.
fn pooled_of(place: usize) -> String {
    TEXTS[place].replace("prompt", "pooled")
}
