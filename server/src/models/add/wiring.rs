//! The graphs of a folder put together as their pipeline does.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use diffusion::manifest::{
    Coder, Denoiser, Feed, Guidance, ImageSize, Latents, Sizes, Symbol, TextInput, TextRun,
    TimeUnit,
};
use onnx_gpu::proto::ValueInfo;
use protocol::ModelSizes;
use serde_json::Value;

use super::autoencoder::Scale;
use super::graph::{Graph, Place, Wired, fixed, port};
use super::json::json;
use super::layout::{Layout, Part};
use super::pipeline::{Family, Pipeline};
use super::sizes;

/// Tokens of a text where no graph and no configuration says otherwise is not guessed: see [`Text::length`].
const MAX_LENGTH: usize = 4096;
/// Sides of latents that a denoiser without a configuration is taken to halve three times, as Stable Diffusion's.
const LEVELS: usize = 4;
/// Sizes that SDXL was trained on, by `[width, height]` (Podell et al., arXiv:2307.01952, appendix I), those in use.
const XL_BUCKETS: [[u32; 2]; 9] = [
    [1024, 1024],
    [1152, 896],
    [896, 1152],
    [1216, 832],
    [832, 1216],
    [1344, 768],
    [768, 1344],
    [1536, 640],
    [640, 1536],
];

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
pub(super) const TEXTS: [&str; 2] = ["prompt", "prompt_2"];

/// A folder's graphs and configurations while they are put together.
pub(super) struct Reader<'f> {
    pub folder: &'f Path,
    pub layout: &'f Layout,
    pub pipeline: Pipeline,
    /// Size of the picture that is asked for, where the folder leaves it open or another is wanted.
    pub size: Option<ImageSize>,
}

/// A text encoder and its names of what it gives.
struct Encoder {
    wired: Wired,
    text: Text,
    run: TextRun,
    /// Width of the hidden states.
    width: usize,
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
        let width = encoders.iter().map(|encoder| encoder.width).sum();
        let decoder = self.graph(Part::VaeDecoder)?;
        let stride = self.stride()?;
        let (channels, size) = self.size_of(&unet, &decoder, stride, notes)?;
        let latents = Latents {
            channels,
            stride,
            rgb: None,
        };
        let spatial = Spatial {
            latents: &latents,
            size,
        };
        let (denoiser, guidance, unet) = self.denoiser(unet, width, &spatial)?;
        let decoder = spatial.decoder(decoder)?;
        let encoder = match self.layout.graph(Part::VaeEncoder)? {
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

    fn graph(&self, part: Part) -> anyhow::Result<Graph> {
        Graph::read(self.folder, &self.layout.needed(part)?)
    }

    fn config(&self, part: Part) -> anyhow::Result<Value> {
        match self.layout.config(part) {
            Some(path) => json(&self.folder.join(path)),
            None => Ok(Value::Null),
        }
    }

    fn encoder(&self, part: Part, states: &ValueInfo) -> anyhow::Result<Encoder> {
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
            penultimate(&graph)?
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

    /// Pixels per latent: the autoencoder halves a picture between its blocks.
    fn stride(&self) -> anyhow::Result<usize> {
        let config = self.config(Part::VaeDecoder)?;
        let blocks = config
            .get("block_out_channels")
            .or_else(|| config.get("decoder_block_out_channels"))
            .and_then(Value::as_array);
        Ok(1 << blocks.map_or(3, |blocks| blocks.len().saturating_sub(1).min(6)))
    }

    /// Channels of the latents and the size of the picture.
    fn size_of(
        &self,
        unet: &Graph,
        decoder: &Graph,
        stride: usize,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<(usize, ImageSize)> {
        let config = self.config(Part::Unet)?;
        let sample = unet.input("the latents", &["sample", "latents"])?;
        let answer = unet.output("the answer", &["out_sample", "sample"])?;
        let z = decoder.input("the latents", &["latent_sample", "latents", "z"])?;
        let by_pipeline = self.pipeline.fixed();
        // 4 is the default of UNet2DConditionModel, where it has a configuration at all.
        let stated = number(&config, "out_channels")
            .or(config.is_object().then_some(4))
            .or(by_pipeline.map(|fixed| fixed.channels));
        let channels = fixed(z, 1).or_else(|| fixed(answer, 1)).or(stated);
        let channels = channels
            .context("neither graphs nor unet/config.json say the channels of the latents")?;
        let takes = seen(sample, &config, channels);
        ensure!(
            takes == channels || takes == 2 * channels + 1,
            "the denoiser takes {takes} channels and gives {channels}: only a mask and a picture can be given beside the latents"
        );
        let declared = sizes::stated(&config, self.pipeline)?;
        let pixels = |place: usize, side: Option<usize>| -> anyhow::Result<u32> {
            let side = fixed(sample, place).or(side).with_context(|| {
                "neither the graph nor unet/config.json says the size of the latents: --size says that of the picture".to_owned()
            })?;
            Ok(u32::try_from(side * stride)?)
        };
        if let Some(size) = self.size {
            return Ok((channels, size));
        }
        let [height, width] = match (declared, by_pipeline) {
            (Some(stated), _) => stated.sides.map(Some),
            (None, Some(fixed)) => [Some(fixed.side); 2],
            (None, None) => [None; 2],
        };
        if fixed(sample, 2).is_none() {
            notes.extend(declared.and_then(|stated| stated.note(self.pipeline)));
        }
        let size = ImageSize {
            height: pixels(2, height)?,
            width: pixels(3, width)?,
        };
        Ok((channels, size))
    }

    fn denoiser(
        &self,
        graph: Graph,
        width: usize,
        spatial: &Spatial<'_>,
    ) -> anyhow::Result<(Denoiser, Guidance, Wired)> {
        let xl = self.pipeline.family == Family::StableDiffusionXl;
        let config = self.config(Part::Unet)?;
        let sample = graph.input("the latents", &["sample", "latents"])?;
        let timestep = graph.input("the timestep", &["timestep", "t"])?;
        let states = graph.input("the hidden states", &["encoder_hidden_states"])?;
        let mut seen_places = spatial.latents();
        seen_places[1] = Place::Is(seen(sample, &config, spatial.latents.channels));
        let mut known = vec![&*sample.name, &*timestep.name, &*states.name];
        let time: &[Place] = match timestep.shape.as_deref() {
            Some([]) => &[],
            _ => &[Place::Rows],
        };
        let text = Place::Varies(Symbol::Tokens, fixed(states, 1).unwrap_or_default());
        let mut inputs = vec![
            port(&graph, sample, &seen_places)?,
            port(&graph, timestep, time)?,
            port(&graph, states, &[Place::Rows, text, Place::Is(width)])?,
        ];
        let both: &[&str] = if xl { &STATES } else { &STATES[..1] };
        let values = both.iter().map(|name| (*name).to_owned()).collect();
        let mut feeds = BTreeMap::from([(states.name.clone(), Feed::Values(values))]);
        if xl {
            let pooled = graph.input("the pooled text", &["text_embeds"])?;
            let ids = graph.input("the sizes", &["time_ids"])?;
            let wide = fixed(pooled, 1).or(number(&config, "cross_attention_dim"));
            let wide = wide.unwrap_or_default();
            inputs.push(port(&graph, pooled, &[Place::Rows, Place::Is(wide)])?);
            inputs.push(port(&graph, ids, &[Place::Rows, Place::Is(6)])?);
            feeds.insert(pooled.name.clone(), Feed::Values(vec![POOLED.to_owned()]));
            feeds.insert(ids.name.clone(), Feed::TimeIds);
            known.extend(["text_embeds", "time_ids"]);
        }
        let mut guidance = Guidance::ClassifierFree;
        if let Some(scale) = graph.optional("timestep_cond") {
            let wide = fixed(scale, 1).or(number(&config, "time_cond_proj_dim"));
            let wide = wide
                .context("neither the graph nor unet/config.json says how wide timestep_cond is")?;
            inputs.push(port(&graph, scale, &[Place::Rows, Place::Is(wide)])?);
            feeds.insert(scale.name.clone(), Feed::GuidanceEmbedding);
            guidance = Guidance::Embedded;
            known.push("timestep_cond");
        }
        graph.has_only(&known)?;
        let answer = graph.output("the answer", &["out_sample", "sample"])?;
        let outputs = vec![port(&graph, answer, &spatial.latents())?];
        let denoiser = Denoiser {
            graph: "denoiser".to_owned(),
            sample: sample.name.clone(),
            timestep: timestep.name.clone(),
            time: TimeUnit::default(),
            inputs: feeds,
            answer: answer.name.clone(),
            negated: false,
        };
        let wired = Wired {
            graph,
            inputs,
            outputs,
        };
        Ok((denoiser, guidance, wired))
    }

    /// Sizes beside the default one: a denoiser halves the latents between its blocks, and sides have to stand that.
    fn other_sizes(&self, default: ImageSize, stride: usize) -> anyhow::Result<ModelSizes> {
        let config = self.config(Part::Unet)?;
        let blocks = config.get("block_out_channels").and_then(Value::as_array);
        let levels = blocks.map_or(LEVELS, Vec::len).clamp(1, 6);
        let multiple_of = u32::try_from(stride << (levels - 1))?;
        let ImageSize { width, height } = default;
        let longer = width.max(height);
        let xl = self.pipeline.family == Family::StableDiffusionXl && longer == 1024;
        let sizes = ModelSizes {
            multiple_of,
            min_side: multiple_of.max(longer / 4).next_multiple_of(multiple_of),
            max_side: (2 * longer).next_multiple_of(multiple_of),
            max_pixels: 2 * u64::from(width) * u64::from(height),
            buckets: if xl { XL_BUCKETS.to_vec() } else { Vec::new() },
        };
        ensure!(
            sizes.allows(width, height),
            "pictures of {width} x {height} pixels are no multiple of {multiple_of}, which the denoiser's {levels} levels need"
        );
        Ok(sizes)
    }
}

/// Names of the hidden states of the text encoders.
const STATES: [&str; 2] = ["states", "states_2"];
/// Name of the pooled text.
const POOLED: &str = "pooled";

/// Sizes of pictures and latents.
struct Spatial<'l> {
    latents: &'l Latents,
    size: ImageSize,
}

impl Spatial<'_> {
    fn latents(&self) -> [Place; 4] {
        let [channels, height, width] = self.latents.shape(self.size);
        [
            Place::Rows,
            Place::Is(channels),
            Place::Varies(Symbol::Height, height),
            Place::Varies(Symbol::Width, width),
        ]
    }

    fn image(&self) -> [Place; 4] {
        let [height, width] = self.size.pixels();
        [
            Place::Rows,
            Place::Is(3),
            Place::Varies(Symbol::PixelHeight, height),
            Place::Varies(Symbol::PixelWidth, width),
        ]
    }

    fn decoder(&self, graph: Graph) -> anyhow::Result<Wired> {
        let input = graph.input("the latents", &["latent_sample", "latents", "z"])?;
        let output = graph.output("the picture", &["sample", "image"])?;
        graph.has_only(&[&input.name])?;
        Ok(Wired {
            inputs: vec![port(&graph, input, &self.latents())?],
            outputs: vec![port(&graph, output, &self.image())?],
            graph,
        })
    }

    /// Gives latents, or their mean and the logarithm of their variance one behind the other.
    fn encoder(&self, graph: Graph) -> anyhow::Result<Wired> {
        let input = graph.input("the picture", &["sample", "image"])?;
        let wanted = ["latent_parameters", "latent_sample", "latents"];
        let output = graph.output("the latents", &wanted)?;
        graph.has_only(&[&input.name])?;
        let mut latents = self.latents();
        if output.name == wanted[0] {
            latents[1] = Place::Is(2 * self.latents.channels);
        }
        Ok(Wired {
            inputs: vec![port(&graph, input, &self.image())?],
            outputs: vec![port(&graph, output, &latents)?],
            graph,
        })
    }
}

/// The hidden states before the last layer.
fn penultimate(graph: &Graph) -> anyhow::Result<&ValueInfo> {
    let layer = |info: &&ValueInfo| {
        let number = info.name.strip_prefix("hidden_states.")?;
        number.parse::<usize>().ok()
    };
    let outputs = graph.outputs();
    let last = outputs.iter().filter_map(|info| layer(&info)).max();
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

/// Channels that the denoiser takes.
fn seen(sample: &ValueInfo, config: &Value, channels: usize) -> usize {
    let stated = fixed(sample, 1).or(number(config, "in_channels"));
    stated.unwrap_or(channels)
}

fn number(config: &Value, name: &str) -> Option<usize> {
    let number = config.get(name).and_then(Value::as_u64)?;
    usize::try_from(number).ok()
}
