//! Format 1: three graphs of fixed sizes, wired in one of two ways.

use std::collections::BTreeMap;

use protocol::{ModelDefaults, ModelLimits, ModelNeeds, Paper};
use serde::Deserialize;

use super::graph::{Dim, Graph, Port, PortType};
use super::wiring::{Coder, Denoiser, Feed, Guidance, Latents, TextInput, TextRun, TimeUnit};
use super::{FileEntry, ImageSize, Manifest, Sizes, TokenizerSettings, ensure};
use crate::error::{Error, Result};
use crate::preview::LatentRgb;
use crate::scheduler::SchedulerKind;
use crate::tokenizer::TextSettings;

/// The number of this format.
pub(super) const FORMAT: u32 = 1;

/// Name of the one text.
const TEXT: &str = "prompt";
/// Name of what the text encoder gives.
const STATES: &str = "states";

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Component {
    file: String,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Wiring {
    /// Both prompts in one run, the prompt first, with masks, and ports of fixed names.
    #[default]
    Paired,
    /// As diffusers exports Stable Diffusion 1 and 2: each prompt in a run of its own, without masks. Ports have any
    /// names, in this order: token ids -> hidden states; latents, timestep, hidden states -> answer; latents -> image.
    StableDiffusion,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Components {
    text_encoder: Component,
    denoiser: Component,
    decoder: Component,
}

/// A manifest of format 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct First {
    #[serde(rename = "format")]
    _format: u32,
    id: String,
    name: String,
    creator: String,
    version: String,
    summary: String,
    license: String,
    paper: Option<Paper>,
    example_prompts: Vec<String>,
    image: ImageSize,
    latents: [usize; 3],
    tokenizer: TokenizerSettings,
    scheduler: SchedulerKind,
    #[serde(default = "super::yes")]
    negative_prompt: bool,
    #[serde(default)]
    latent_rgb: Option<LatentRgb>,
    #[serde(default)]
    wiring: Wiring,
    #[serde(default = "super::one")]
    latent_scale: f32,
    components: Components,
    defaults: ModelDefaults,
    limits: ModelLimits,
    needs: ModelNeeds,
    files: Vec<FileEntry>,
}

impl First {
    /// The same package in the present form.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidPackage`] where ports or sizes do not fit each other.
    pub fn upgrade(self) -> Result<Manifest> {
        let [channels, height, width] = self.latents;
        let stride = (self.image.height as usize)
            .checked_div(height)
            .unwrap_or_default();
        let whole = [height, width].map(|side| side.checked_mul(stride));
        ensure(whole == self.image.pixels().map(Some), || {
            format!(
                "a picture of {:?} is no whole multiple of latents of {height} x {width}",
                self.image
            )
        })?;
        self.fixed()?;
        let (run, denoiser) = match self.wiring {
            Wiring::Paired => self.paired()?,
            Wiring::StableDiffusion => self.each()?,
        };
        let Components {
            text_encoder,
            denoiser: denoises,
            decoder,
        } = self.components;
        let graphs = [
            ("text_encoder", text_encoder),
            ("denoiser", denoises),
            ("decoder", decoder),
        ];
        let graph = |(name, component): (&str, Component)| {
            let Component {
                file,
                inputs,
                outputs,
            } = component;
            let graph = Graph {
                file,
                external: BTreeMap::new(),
                inputs,
                outputs,
            };
            (name.to_owned(), graph)
        };
        Ok(Manifest {
            format: FORMAT,
            id: self.id,
            name: self.name,
            creator: self.creator,
            version: self.version,
            summary: self.summary,
            license: self.license,
            paper: self.paper,
            example_prompts: self.example_prompts,
            graphs: graphs.into_iter().map(graph).collect(),
            texts: BTreeMap::from([(TEXT.to_owned(), TextSettings::from(&self.tokenizer))]),
            conditioning: vec![run],
            latents: Latents {
                patch: 2,
                channels,
                stride,
                rgb: self.latent_rgb,
            },
            denoiser,
            guidance: Guidance::ClassifierFree,
            guidance_interval: None,
            scheduler: self.scheduler,
            decoder: Coder {
                graph: "decoder".to_owned(),
                scale: self.latent_scale,
                shift: 0.0,
            },
            encoder: None,
            loras: Vec::new(),
            sizes: Sizes::only(self.image),
            negative_prompt: self.negative_prompt,
            defaults: self.defaults,
            limits: self.limits,
            needs: self.needs,
            needs_of_largest: None,
            files: self.files,
            digest: String::new(),
        })
    }

    /// Every dimension of this format is a number.
    fn fixed(&self) -> Result<()> {
        let Components {
            text_encoder,
            denoiser,
            decoder,
        } = &self.components;
        let mut ports = [text_encoder, denoiser, decoder]
            .into_iter()
            .flat_map(|component| component.inputs.iter().chain(&component.outputs));
        let open = |port: &&Port| port.shape.iter().any(|dim| matches!(dim, Dim::Of(_)));
        match ports.find(open) {
            Some(port) => Err(Error::package(format!(
                "{} has an open dimension, which format {FORMAT} does not have",
                port.name
            ))),
            None => Ok(()),
        }
    }

    fn paired(&self) -> Result<(TextRun, Denoiser)> {
        let [c, h, w] = self.latents;
        let length = self.tokenizer.max_length;
        let [height, width] = self.image.pixels();
        let Components {
            text_encoder,
            denoiser,
            decoder,
        } = &self.components;
        let text = text_encoder
            .outputs
            .iter()
            .find(|port| port.name == "last_hidden_state")
            .ok_or_else(|| {
                let file = &text_encoder.file;
                Error::package(format!("{file} has no output last_hidden_state"))
            })?;
        let wide = matches!(text.shape[..], [Dim::Is(2), Dim::Is(l), Dim::Is(_)] if l == length);
        ensure(text.dtype == PortType::Float32 && wide, || {
            format!("last_hidden_state must be float32 [2, {length}, width]")
        })?;
        let states: Vec<usize> = text.shape.iter().filter_map(size).collect();
        has(
            &text_encoder.inputs,
            &[
                ("input_ids", PortType::Int64, &[2, length]),
                ("attention_mask", PortType::Int64, &[2, length]),
            ],
        )?;
        has(
            &denoiser.inputs,
            &[
                ("latents", PortType::Float32, &[2, c, h, w]),
                ("t", PortType::Float32, &[2]),
                ("text", PortType::Float32, &states),
                ("text_mask", PortType::Float32, &[2, length]),
            ],
        )?;
        let floats = PortType::Float32;
        has(&denoiser.outputs, &[("velocity", floats, &[2, c, h, w])])?;
        has(&decoder.inputs, &[("latents", floats, &[1, c, h, w])])?;
        has(
            &decoder.outputs,
            &[("image", floats, &[1, 3, height, width])],
        )?;
        let run = TextRun {
            graph: "text_encoder".to_owned(),
            text: TEXT.to_owned(),
            inputs: BTreeMap::from([
                ("input_ids".to_owned(), TextInput::Ids),
                ("attention_mask".to_owned(), TextInput::Mask),
            ]),
            outputs: BTreeMap::from([(text.name.clone(), STATES.to_owned())]),
            skips: Vec::new(),
        };
        let feeds = [
            ("text", Feed::Values(vec![STATES.to_owned()])),
            ("text_mask", Feed::Mask(TEXT.to_owned())),
        ];
        Ok((run, self.denoiser("latents", "t", &feeds, "velocity")))
    }

    fn each(&self) -> Result<(TextRun, Denoiser)> {
        let Components {
            text_encoder,
            denoiser,
            decoder,
        } = &self.components;
        let wrong = |component: &Component, want: &str| {
            Error::package(format!("{} needs {want}", component.file))
        };
        let ([ids], [text, ..]) = (&text_encoder.inputs[..], &text_encoder.outputs[..]) else {
            return Err(wrong(text_encoder, "token ids as its one input"));
        };
        let ([latents, timestep, states], [answer]) = (&denoiser.inputs[..], &denoiser.outputs[..])
        else {
            return Err(wrong(
                denoiser,
                "latents, timestep and hidden states, and one answer",
            ));
        };
        ensure(states.shape == text.shape, || {
            format!(
                "{} does not take what the text encoder gives",
                denoiser.file
            )
        })?;
        let ([_], [_]) = (&decoder.inputs[..], &decoder.outputs[..]) else {
            return Err(wrong(decoder, "latents and one image"));
        };
        let run = TextRun {
            graph: "text_encoder".to_owned(),
            text: TEXT.to_owned(),
            inputs: BTreeMap::from([(ids.name.clone(), TextInput::Ids)]),
            outputs: BTreeMap::from([(text.name.clone(), STATES.to_owned())]),
            skips: Vec::new(),
        };
        let feeds = [(&*states.name, Feed::Values(vec![STATES.to_owned()]))];
        let denoiser = self.denoiser(&latents.name, &timestep.name, &feeds, &answer.name);
        Ok((run, denoiser))
    }

    fn denoiser(
        &self,
        sample: &str,
        timestep: &str,
        feeds: &[(&str, Feed)],
        answer: &str,
    ) -> Denoiser {
        Denoiser {
            graph: "denoiser".to_owned(),
            sample: sample.to_owned(),
            timestep: timestep.to_owned(),
            time: TimeUnit::default(),
            inputs: feeds
                .iter()
                .map(|(name, feed)| ((*name).to_owned(), feed.clone()))
                .collect(),
            answer: answer.to_owned(),
            negated: false,
        }
    }
}

fn size(dim: &Dim) -> Option<usize> {
    match dim {
        Dim::Is(size) => Some(*size),
        Dim::Of(_) => None,
    }
}

fn has(have: &[Port], want: &[(&str, PortType, &[usize])]) -> Result<()> {
    let fits = have.len() == want.len()
        && want.iter().all(|&(name, dtype, shape)| {
            have.iter().any(|port| {
                let sizes = port.shape.iter().filter_map(size);
                port.name == name && port.dtype == dtype && sizes.eq(shape.iter().copied())
            })
        });
    ensure(fits, || {
        format!("the pipeline needs the ports {want:?}, the manifest declares {have:?}")
    })
}
