//! The ONNX graphs of a folder, their ports and sizes.

mod sizes;
mod table;

use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use diffusion::manifest::{Port, PortType};
use onnx_gpu::DType;
use onnx_gpu::proto::{Contents, Dim, Model, ValueInfo};
use serde_json::Value;

use super::json::json;
use super::pipeline::Pipeline;

/// Largest graph that is read: what a file of this format can hold.
const MAX_GRAPH_BYTES: u64 = 2 << 30;
/// Names of the graph's file in its folder.
const FILES: [&str; 2] = ["model.onnx", "model_fp32.onnx"];

/// The three graphs with every dimension known.
pub(super) struct Graphs {
    pub text_encoder: Graph,
    pub denoiser: Graph,
    pub decoder: Graph,
    /// Channels, height and width of the latents.
    pub latents: [usize; 3],
    /// Height and width of the picture.
    pub image: [usize; 2],
    /// Tokens that the text encoder takes, where the graphs say.
    pub length: Option<usize>,
    /// Ids that the text encoder has embeddings of, from 0 on, where graph or configuration say.
    pub rows: Option<usize>,
}

/// A graph.
pub(super) struct Graph {
    pub bytes: Vec<u8>,
    inputs: Vec<ValueInfo>,
    outputs: Vec<ValueInfo>,
    /// Rows of the table that its first input picks from.
    rows: Option<usize>,
    /// Ports in the order of the manifest, open dimensions by what they stand for.
    ports: Ports,
}

#[derive(Default)]
struct Ports {
    inputs: Vec<(ValueInfo, Vec<Size>)>,
    outputs: Vec<(ValueInfo, Vec<Size>)>,
}

/// A dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Is(usize),
    Length,
}

/// Reads the graphs below `folder`.
pub(super) fn read(
    folder: &Path,
    autoencoder: Option<&Value>,
    pipeline: Pipeline,
    notes: &mut Vec<String>,
) -> anyhow::Result<Graphs> {
    let mut text_encoder = Graph::read(folder, "text_encoder")?;
    let mut denoiser = Graph::read(folder, "unet")?;
    let mut decoder = Graph::read(folder, "vae_decoder")?;
    let config = |name: &str| -> anyhow::Result<Value> {
        let path = folder.join(name).join("config.json");
        if path.is_file() {
            json(&path)
        } else {
            Ok(Value::Null)
        }
    };
    let (unet_config, text_config) = (config("unet")?, config("text_encoder")?);
    let number = |config: &Value, name: &str| {
        config
            .get(name)
            .and_then(Value::as_u64)
            .and_then(|n| usize::try_from(n).ok())
    };

    let sample = denoiser.input("the latents", &["sample", "latents"])?;
    let timestep = denoiser.input("the timestep", &["timestep", "t"])?;
    let states = denoiser.input("the hidden states", &["encoder_hidden_states"])?;
    denoiser.has_no_more_than(3)?;
    let fixed_by_pipeline = pipeline.fixed();
    // The default of UNet2DConditionModel, where it has a configuration at all.
    let channels = number(&unet_config, "in_channels")
        .or(unet_config.is_object().then_some(4))
        .or(fixed_by_pipeline.map(|fixed| fixed.channels));
    let stated = sizes::stated(&unet_config, pipeline)?;
    let [height, width] = match (stated, fixed_by_pipeline) {
        (Some(stated), _) => stated.sides.map(Some),
        (None, Some(fixed)) => [Some(fixed.side); 2],
        (None, None) => [None; 2],
    };
    let latents = [
        known(&sample, 1, channels, "channels of the latents")?,
        known(&sample, 2, height, "height of the latents")?,
        known(&sample, 3, width, "width of the latents")?,
    ];
    if fixed(&sample, 2).is_none() {
        notes.extend(stated.and_then(|stated| stated.note(pipeline)));
    }
    let [ids] = &text_encoder.inputs[..] else {
        bail!(
            "the text encoder takes {}; token ids alone can be given",
            names(&text_encoder.inputs)
        );
    };
    let ids = ids.clone();
    let length = fixed(&ids, 1)
        .or_else(|| fixed(&states, 1))
        .or(number(&text_config, "max_position_embeddings"));
    let hidden = text_encoder.output("the hidden states", &["last_hidden_state"])?;
    let width = fixed(&hidden, 2)
        .or_else(|| fixed(&states, 2))
        .or(number(&text_config, "hidden_size"))
        .context(
            "neither graphs nor text_encoder/config.json say how wide the hidden states are",
        )?;
    let z = decoder.input("the latents", &["latent_sample", "latents", "z"])?;
    decoder.has_no_more_than(1)?;
    let picture = decoder.output("the picture", &["sample", "image"])?;
    let blocks = autoencoder
        .and_then(|config| config.get("block_out_channels"))
        .and_then(Value::as_array);
    let scale = 1 << blocks.map_or(3, |blocks| blocks.len().saturating_sub(1).min(8));
    let image = [1, 2].map(|side| fixed(&picture, side + 1).unwrap_or(latents[side] * scale));

    let [c, h, w] = latents;
    use Size::{Is, Length};
    let spatial = vec![Is(1), Is(c), Is(h), Is(w)];
    let text = vec![Is(1), Length, Is(width)];
    let time = match timestep.shape.as_deref() {
        Some([]) => vec![],
        _ => vec![Is(1)],
    };
    let answer = denoiser.output("the answer", &["out_sample", "sample"])?;
    text_encoder.ports = Ports {
        inputs: vec![(ids, vec![Is(1), Length])],
        outputs: vec![(hidden, text.clone())],
    };
    denoiser.ports = Ports {
        inputs: vec![(sample, spatial.clone()), (timestep, time), (states, text)],
        outputs: vec![(answer, spatial.clone())],
    };
    decoder.ports = Ports {
        inputs: vec![(z, spatial)],
        outputs: vec![(picture, vec![Is(1), Is(3), Is(image[0]), Is(image[1])])],
    };
    Ok(Graphs {
        rows: text_encoder.rows.or(number(&text_config, "vocab_size")),
        text_encoder,
        denoiser,
        decoder,
        latents,
        image,
        length,
    })
}

impl Graph {
    fn read(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let candidates = FILES.map(|file| folder.join(name).join(file));
        let path = candidates
            .iter()
            .find(|path| path.is_file())
            .with_context(|| format!("{} is missing", candidates[0].display()))?;
        let shown = path.display();
        let length = fs::metadata(path)?.len();
        ensure!(
            length <= MAX_GRAPH_BYTES,
            "{shown} has {length} bytes, more than {MAX_GRAPH_BYTES}"
        );
        let bytes = fs::read(path).with_context(|| format!("reading {shown}"))?;
        let model = Model::parse(&bytes)
            .with_context(|| format!("{shown} is no graph that can be read"))?;
        let graph = model.graph;
        let outside = graph.initializers.iter().any(|weight| {
            matches!(&weight.contents, Contents::Stored(location) if location.file.is_some())
        });
        ensure!(
            !outside,
            "{shown} keeps its weights in another file; export it with the weights inside (external_data=False)"
        );
        let constants: std::collections::HashSet<&str> = graph
            .initializers
            .iter()
            .map(|weight| &*weight.name)
            .collect();
        let inputs = graph
            .inputs
            .iter()
            .filter(|input| !constants.contains(&*input.name));
        let inputs: Vec<ValueInfo> = inputs.cloned().collect();
        Ok(Self {
            rows: inputs
                .first()
                .and_then(|input| table::rows(&graph, &input.name)),
            inputs,
            outputs: graph.outputs.clone(),
            bytes,
            ports: Ports::default(),
        })
    }

    /// The inputs and outputs of the manifest.
    pub fn ports(&self, length: usize) -> anyhow::Result<(Vec<Port>, Vec<Port>)> {
        let port = |(info, sizes): &(ValueInfo, Vec<Size>)| {
            let shape: Vec<usize> = sizes
                .iter()
                .map(|size| match size {
                    Size::Is(size) => *size,
                    Size::Length => length,
                })
                .collect();
            let declared = info.shape.as_deref().unwrap_or_default();
            let fits = info.shape.is_none()
                || declared.len() == shape.len()
                    && declared.iter().zip(&shape).all(|(dim, size)| match dim {
                        Dim::Fixed(fixed) => fixed == size,
                        Dim::Symbol(_) => true,
                    });
            ensure!(
                fits,
                "{} is declared as {declared:?}; {shape:?} is needed",
                info.name
            );
            let dtype = match info.dtype {
                DType::F32 => PortType::Float32,
                DType::I64 => PortType::Int64,
                DType::I32 => PortType::Int32,
                other => bail!(
                    "{} has the type {other:?}; export it with float32 ports",
                    info.name
                ),
            };
            Ok(Port {
                name: info.name.clone(),
                dtype,
                shape,
            })
        };
        let inputs = self
            .ports
            .inputs
            .iter()
            .map(port)
            .collect::<anyhow::Result<_>>()?;
        let outputs = self
            .ports
            .outputs
            .iter()
            .map(port)
            .collect::<anyhow::Result<_>>()?;
        Ok((inputs, outputs))
    }

    fn input(&self, what: &str, wanted: &[&str]) -> anyhow::Result<ValueInfo> {
        let found = self
            .inputs
            .iter()
            .find(|input| wanted.contains(&&*input.name));
        found.cloned().with_context(|| {
            format!(
                "no input is {what} ({}); there are {}",
                wanted.join(" or "),
                names(&self.inputs)
            )
        })
    }

    fn has_no_more_than(&self, inputs: usize) -> anyhow::Result<()> {
        ensure!(
            self.inputs.len() == inputs,
            "a graph takes {}, more than Stable Diffusion 1 and 2 do",
            names(&self.inputs)
        );
        Ok(())
    }

    /// The output of one of these names, or the only one.
    fn output(&self, what: &str, wanted: &[&str]) -> anyhow::Result<ValueInfo> {
        let found = self
            .outputs
            .iter()
            .find(|output| wanted.contains(&&*output.name));
        let only = || self.outputs.first().filter(|_| self.outputs.len() == 1);
        found
            .or_else(only)
            .cloned()
            .with_context(|| format!("no output is {what}; there are {}", names(&self.outputs)))
    }
}

fn names(ports: &[ValueInfo]) -> String {
    let names: Vec<&str> = ports.iter().map(|port| &*port.name).collect();
    names.join(", ")
}

fn fixed(info: &ValueInfo, place: usize) -> Option<usize> {
    match info.shape.as_ref()?.get(place)? {
        Dim::Fixed(size) => Some(*size),
        Dim::Symbol(_) => None,
    }
}

fn known(
    info: &ValueInfo,
    place: usize,
    other: Option<usize>,
    what: &str,
) -> anyhow::Result<usize> {
    fixed(info, place)
        .or(other)
        .with_context(|| format!("neither the graph nor unet/config.json says the {what}"))
}
