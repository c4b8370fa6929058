//! The graphs of a folder put together as their pipeline does.

mod denoiser;
mod encoder;
mod size;

use std::collections::BTreeMap;
use std::path::Path;

use diffusion::manifest::{Coder, Denoiser, Guidance, ImageSize, Latents, Sizes, TextRun};
use serde_json::Value;

pub(super) use self::size::Spatial;
use super::autoencoder::Scale;
use super::graph::{Graph, Wired};
use super::json::json;
use super::layout::{Found, Layout, Part};
use super::pipeline::{Family, Pipeline};
use super::smaller::Choices;

/// What a text encoder takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Text {
    /// Tokens of a text, where graphs or configuration say.
    pub length: Option<usize>,
    /// Rows of its table of embeddings, where graph or configuration say.
    pub rows: Option<usize>,
}

/// Graphs and the manifest's members about them.
pub(super) struct Wiring {
    pub graphs: BTreeMap<&'static str, Wired>,
    /// Of the tokenizers, in the order of the text encoders.
    pub texts: Vec<Text>,
    pub conditioning: Vec<TextRun>,
    pub latents: Latents,
    pub denoiser: Denoiser,
    pub guidance: Guidance,
    pub decoder: Coder,
    pub encoder: Option<Coder>,
    pub sizes: Sizes,
}

/// Names of the texts of a package, in the order of the text encoders.
pub(super) const TEXTS: [&str; 3] = ["prompt", "prompt_2", "prompt_3"];

/// A folder's graphs and configurations while they are put together.
pub(super) struct Reader<'f> {
    pub folder: &'f Path,
    pub layout: &'f Layout,
    pub pipeline: Pipeline,
    /// Size of the picture that is asked for, where the folder leaves it open or another is wanted.
    pub size: Option<ImageSize>,
    /// In how many bits weights are kept.
    pub weights: &'f Choices,
}

impl Reader<'_> {
    /// Puts the graphs together.
    ///
    /// # Errors
    /// What is missing or does not fit, by name.
    pub fn read(&self, scale: Scale, notes: &mut Vec<String>) -> anyhow::Result<Wiring> {
        let xl = self.pipeline.family == Family::StableDiffusionXl;
        let unet = self.graph(Part::Unet)?;
        let states = unet
            .input("the hidden states", &["encoder_hidden_states"])?
            .clone();
        let mut encoders = vec![self.encoder(Part::TextEncoder, &states)?];
        if xl {
            encoders.push(self.encoder(Part::TextEncoder2, &states)?);
        }
        let skips = encoders.iter().map(|encoder| encoder.run.skips.len()).min();
        for encoder in &mut encoders {
            encoder.skip_at_most(skips.unwrap_or(0));
        }
        let width = encoders.iter().map(|encoder| encoder.width).sum();
        let decoder = self.graph(Part::VaeDecoder)?;
        let stride = self.stride()?;
        let (channels, size) = self.size_of(&unet, &decoder, stride, notes)?;
        let latents = Latents {
            channels,
            stride,
            patch: 2,
            rgb: None,
        };
        let spatial = Spatial {
            latents: &latents,
            size,
        };
        let (denoiser, guidance, unet) = self.denoiser(unet, width, &spatial)?;
        let decoder = spatial.decoder(decoder)?;
        let encoder = match self.layout.part(Part::VaeEncoder)? {
            Some(_) => Some(spatial.encoder(self.graph(Part::VaeEncoder)?)?),
            None => None,
        };
        let mut all: Vec<&Wired> = vec![&unet, &decoder];
        all.extend(&encoder);
        let open = all.iter().all(|wired| wired.takes_any_size());
        let sizes = Sizes {
            default: size,
            others: if open {
                Some(self.other_sizes(size, stride)?)
            } else {
                None
            },
        };
        let coder = |name: &str| Coder {
            graph: name.to_owned(),
            scale: scale.factor,
            shift: scale.shift,
        };
        let mut graphs = BTreeMap::from([("denoiser", unet), ("decoder", decoder)]);
        let encodes = encoder.is_some();
        graphs.extend(encoder.map(|wired| ("encoder", wired)));
        let (mut texts, mut conditioning) = (Vec::new(), Vec::new());
        for (encoder, name) in encoders.into_iter().zip(["text_encoder", "text_encoder_2"]) {
            graphs.insert(name, encoder.wired);
            texts.push(encoder.text);
            conditioning.push(encoder.run);
        }
        Ok(Wiring {
            graphs,
            texts,
            conditioning,
            latents,
            denoiser,
            guidance,
            decoder: coder("decoder"),
            encoder: encodes.then(|| coder("encoder")),
            sizes,
        })
    }

    /// The graph of a part, read or built.
    pub(super) fn graph(&self, part: Part) -> anyhow::Result<Graph> {
        match self.layout.needed(part)? {
            Found::Graph(path) => Graph::read(self.folder, &path),
            Found::Network(network) => {
                let family = self.pipeline.family;
                match self.weights.kind(network.folder) {
                    None => Graph::built(self.folder, &network, part, family),
                    Some(kind) => Graph::smaller(self.folder, &network, (part, family), kind),
                }
            }
        }
    }

    /// The configuration of a part; null where there is none.
    pub(super) fn config(&self, part: Part) -> anyhow::Result<Value> {
        match self.layout.config(part) {
            Some(path) => json(&self.folder.join(path)),
            None => Ok(Value::Null),
        }
    }
}

/// Names of the hidden states of the text encoders.
const STATES: [&str; 2] = ["states", "states_2"];
/// Name of the pooled text.
const POOLED: &str = "pooled";

fn number(config: &Value, name: &str) -> Option<usize> {
    let number = config.get(name).and_then(Value::as_u64)?;
    usize::try_from(number).ok()
}
