//! The layers of a `model.json`.

use serde_json::Value as Json;

use crate::error::{Error, Result};

/// Most times that a side may become larger.
const LARGEST_FACTOR: usize = 16;
/// Most channels of a convolution.
const MOST_CHANNELS: usize = 1 << 16;
/// Largest side of a convolution.
const LARGEST_SIDE: usize = 31;
/// What upscalerjs multiplies by in a layer of its own where the file does not say.
const BETA: f32 = 0.2;

/// Members of a layer that say how it was trained, or nothing that matters here.
const IRRELEVANT: [&str; 13] = [
    "name",
    "trainable",
    "sparse",
    "ragged",
    "kernel_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
    "optional",
    "build_config",
];

/// Layers in the order in which they are computed.
#[derive(Debug)]
pub(super) struct Topology {
    pub layers: Vec<Layer>,
    /// The layer whose values are the result.
    pub output: String,
}

#[derive(Debug)]
pub(super) struct Layer {
    pub name: String,
    pub operation: Operation,
    /// Layers that it reads.
    pub inputs: Vec<String>,
}

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operation {
    /// It is the picture.
    Picture,
    Convolution {
        filters: usize,
        side: usize,
        bias: bool,
        function: Function,
    },
    Function(Function),
    Add,
    Concatenate,
    Scaled(f32),
    /// Channels become pixels, so many down and across: TensorFlow's `depth_to_space`.
    Shuffled(usize),
    /// Each pixel becomes as many.
    Repeated(usize),
}

/// A function of every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Linear,
    Relu,
    Sigmoid,
    Tanh,
}

impl Function {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "linear" => Self::Linear,
            "relu" => Self::Relu,
            "sigmoid" => Self::Sigmoid,
            "tanh" => Self::Tanh,
            _ => return None,
        })
    }

    /// ONNX's operator.
    pub fn operator(self) -> Option<&'static str> {
        match self {
            Self::Linear => None,
            Self::Relu => Some("Relu"),
            Self::Sigmoid => Some("Sigmoid"),
            Self::Tanh => Some("Tanh"),
        }
    }
}

impl Topology {
    pub fn read(json: &Json) -> Result<Self> {
        let unreadable = |problem: &str| Error::Layers {
            layer: "model.json".to_owned(),
            problem: problem.to_owned(),
        };
        if json.get("format").and_then(Json::as_str) != Some("layers-model") {
            return Err(unreadable(
                "its format is not layers-model, which is what is read",
            ));
        }
        let config = [
            "/modelTopology/model_config/config",
            "/modelTopology/config",
        ];
        let config = config.iter().find_map(|path| json.pointer(path));
        let config = config.ok_or_else(|| unreadable("it has no configuration of a model"))?;
        let listed = config.get("layers").and_then(Json::as_array);
        let listed = listed.ok_or_else(|| unreadable("it lists no layers"))?;
        let layers: Vec<Layer> = listed.iter().map(Layer::read).collect::<Result<_>>()?;
        let one = |member: &str| match config.get(member).and_then(Json::as_array)?.as_slice() {
            [only] => only.get(0).and_then(Json::as_str),
            _ => None,
        };
        let pictures = layers
            .iter()
            .filter(|layer| layer.operation == Operation::Picture);
        if one("input_layers").is_none() || pictures.count() != 1 {
            return Err(unreadable("it does not read one picture"));
        }
        let output =
            one("output_layers").ok_or_else(|| unreadable("it does not give one picture"))?;
        Ok(Self {
            layers,
            output: output.to_owned(),
        })
    }
}

impl Layer {
    pub fn wrong(&self, problem: impl Into<String>) -> Error {
        wrong(&self.name, problem)
    }

    /// A factor that becomes `by` times as large.
    pub fn larger(&self, factor: usize, by: usize) -> Result<usize> {
        let larger = factor.saturating_mul(by);
        if larger > LARGEST_FACTOR {
            return Err(self.wrong(format!(
                "{larger} times as large is more than {LARGEST_FACTOR}"
            )));
        }
        Ok(larger)
    }

    fn read(json: &Json) -> Result<Self> {
        let class = json
            .get("class_name")
            .and_then(Json::as_str)
            .unwrap_or_default();
        let config = json.get("config").unwrap_or(&Json::Null);
        let name = json
            .get("name")
            .or_else(|| config.get("name"))
            .and_then(Json::as_str);
        let name = name.ok_or_else(|| wrong(class, "it has no name"))?;
        let mut members = Members {
            name,
            config,
            known: Vec::new(),
        };
        let operation = members.operation(class)?;
        members.finish()?;
        Ok(Self {
            name: name.to_owned(),
            operation,
            inputs: inputs(name, json.get("inbound_nodes"))?,
        })
    }
}

/// The layers that one reads: `[[["name", 0, 0, {}], …]]`. What is computed several times with the same weights is refused.
fn inputs(name: &str, json: Option<&Json>) -> Result<Vec<String>> {
    let calls = json
        .and_then(Json::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let reads = match calls {
        [] => return Ok(Vec::new()),
        [one] => one.as_array(),
        _ => return Err(wrong(name, "it is computed several times")),
    };
    let read = |json: &Json| {
        let entry = json.as_array()?;
        let first = |at: usize| entry.get(at).and_then(Json::as_u64) == Some(0);
        let of = entry.first()?.as_str()?;
        (first(1) && first(2)).then(|| of.to_owned())
    };
    let read = reads.and_then(|reads| reads.iter().map(read).collect());
    read.ok_or_else(|| wrong(name, "what it reads is not said as layers say it"))
}

/// The configuration of a layer while it is read.
struct Members<'j> {
    name: &'j str,
    config: &'j Json,
    known: Vec<&'static str>,
}

impl<'j> Members<'j> {
    fn get(&mut self, member: &'static str) -> Option<&'j Json> {
        self.known.push(member);
        self.config.get(member)
    }

    /// A member that has to be this, or absent.
    fn only(&mut self, member: &'static str, wanted: &[Json]) -> Result<()> {
        let name = self.name;
        match self.get(member) {
            Some(found) if !wanted.contains(found) => Err(wrong(
                name,
                format!("its {member} is {found}, which is not built"),
            )),
            _ => Ok(()),
        }
    }

    /// A whole number from 1 on, or a pair of the same.
    fn square(&mut self, member: &'static str, most: usize) -> Result<usize> {
        let name = self.name;
        let found = self.get(member);
        let one = |json: &Json| json.as_u64().and_then(|n| usize::try_from(n).ok());
        let both = match found {
            Some(Json::Array(pair)) => match pair.as_slice() {
                [first, second] if first == second => one(first),
                _ => None,
            },
            Some(json) => one(json),
            None => None,
        };
        let wanted = both.filter(|n| (1..=most).contains(n));
        wanted.ok_or_else(|| {
            let found = found.map_or("missing".to_owned(), Json::to_string);
            wrong(
                name,
                format!("its {member} is {found}; one from 1 to {most} is built"),
            )
        })
    }

    fn function(&mut self) -> Result<Function> {
        let name = self.name;
        let Some(found) = self.get("activation") else {
            return Ok(Function::Linear);
        };
        let function = found.as_str().and_then(Function::named);
        function.ok_or_else(|| {
            wrong(
                name,
                format!("its activation is {found}, which is not built"),
            )
        })
    }

    fn operation(&mut self, class: &str) -> Result<Operation> {
        self.only("dtype", &["float32".into()])?;
        Ok(match class {
            "InputLayer" => {
                let any = Json::Null;
                let shape = Json::from(vec![any.clone(), any.clone(), any, 3.into()]);
                self.only("batch_input_shape", std::slice::from_ref(&shape))?;
                self.only("batch_shape", &[shape])?;
                Operation::Picture
            }
            "Conv2D" => {
                self.only("padding", &["same".into()])?;
                self.only("data_format", &["channels_last".into()])?;
                for member in ["strides", "dilation_rate"] {
                    self.only(member, &[vec![1, 1].into()])?;
                }
                self.only("groups", &[1.into()])?;
                let side = self.square("kernel_size", LARGEST_SIDE)?;
                if side % 2 == 0 {
                    return Err(wrong(
                        self.name,
                        format!("its kernel_size is {side}; odd ones are built"),
                    ));
                }
                Operation::Convolution {
                    filters: self.square("filters", MOST_CHANNELS)?,
                    side,
                    bias: self.get("use_bias") != Some(&Json::Bool(false)),
                    function: self.function()?,
                }
            }
            "Activation" => Operation::Function(self.function()?),
            "ReLU" => {
                self.only("max_value", &[Json::Null])?;
                for member in ["negative_slope", "threshold"] {
                    self.only(member, &[0.into(), (0.0).into(), Json::Null])?;
                }
                Operation::Function(Function::Relu)
            }
            "Add" => Operation::Add,
            "Concatenate" => {
                self.only("axis", &[3.into(), (-1).into()])?;
                Operation::Concatenate
            }
            "MultiplyBeta" => {
                let beta = self
                    .get("beta")
                    .map(|beta| beta.as_f64().unwrap_or(f64::NAN) as f32);
                let beta = beta.unwrap_or(BETA);
                if !beta.is_finite() {
                    return Err(wrong(self.name, "its beta is no number"));
                }
                Operation::Scaled(beta)
            }
            "UpSampling2D" => {
                self.only("data_format", &["channels_last".into()])?;
                self.only("interpolation", &["nearest".into()])?;
                Operation::Repeated(self.square("size", LARGEST_FACTOR)?)
            }
            other if other.starts_with("PixelShuffle") => {
                Operation::Shuffled(self.square("scale", LARGEST_FACTOR)?)
            }
            other => {
                return Err(wrong(
                    self.name,
                    format!("there is no builder for a layer {other:?}"),
                ));
            }
        })
    }

    /// Refuses members that nothing has read.
    fn finish(self) -> Result<()> {
        let all = self.config.as_object().into_iter().flatten();
        let unknown = all
            .map(|(member, _)| &**member)
            .find(|member| !self.known.contains(member) && !IRRELEVANT.contains(member));
        match unknown {
            Some(member) => Err(wrong(self.name, format!("{member} is not known"))),
            None => Ok(()),
        }
    }
}

fn wrong(layer: &str, problem: impl Into<String>) -> Error {
    Error::Layers {
        layer: layer.to_owned(),
        problem: problem.into(),
    }
}
