//! What the text encoders give for the prompts: made once for a picture, kept for the next one of equal prompts.

mod laid;

use std::collections::BTreeMap;
use std::rc::Rc;

use protocol::{PromptSyntax, UsedLora};

use self::laid::Laid;
use super::{Pipeline, run};
use crate::engine::{Model, Value};
use crate::error::{Error, Result};
use crate::manifest::{Bindings, Graph, Port, PortType, TextInput, TextRun};
use crate::prompt::weigh;
use crate::tensor::Tensor;
use crate::tokenizer::{Blank, Keep, Tokens};

/// Prompt and negative prompt of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prompts {
    pub prompt: String,
    /// What is added to the weights of the text encoders, and to others.
    pub loras: Vec<UsedLora>,
    /// `None` where there is none.
    pub negative: Option<String>,
    pub syntax: PromptSyntax,
    /// See [`protocol::GenerationRequest::clip_skip`].
    pub clip_skip: u32,
    /// Whether the denoiser is asked about the negative prompt.
    pub guided: bool,
}

/// What is known of the prompts of one run of the denoiser, a row for each.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    pub rows: usize,
    /// By the manifest's names, `[rows, tokens, width]` or `[rows, width]`; left where the encoder left them, if nothing had to
    /// be done to them.
    pub values: BTreeMap<String, Value>,
    /// Of each text, `[rows, tokens]`: 1 where a token is, 0 where padding is.
    pub masks: BTreeMap<String, Tensor>,
}

/// The prompts, as the denoiser takes them.
#[derive(Debug)]
pub(super) enum Texts {
    /// Both in one run, the prompt first.
    Both(Encoded),
    /// Each in a run of its own; none of the negative prompt where the guidance leaves it out.
    Each(Encoded, Option<Encoded>),
}

/// The prompts that were encoded last.
pub(super) type Memory = Option<(Prompts, Rc<Texts>)>;

/// Which prompts a run of the denoiser is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    Both,
    Prompt,
    Negative,
}

impl Pipeline {
    /// Encodes the prompts, unless they are those of the picture before.
    pub(super) async fn texts(&self, prompts: Prompts) -> Result<Rc<Texts>> {
        if let Some((known, texts)) = &*self.memory.borrow()
            && *known == prompts
        {
            return Ok(texts.clone());
        }
        let texts = Rc::new(self.encode(&prompts).await?);
        *self.memory.borrow_mut() = Some((prompts, texts.clone()));
        Ok(texts)
    }

    /// Each encoder is there once for all prompts.
    async fn encode(&self, prompts: &Prompts) -> Result<Texts> {
        let laid = laid::lay_out(&self.tokenizers, prompts)?;
        let pairs = self.pairs()?;
        let about: &[About] = match (pairs, prompts.guided) {
            (true, _) => &[About::Both],
            (false, true) => &[About::Prompt, About::Negative],
            (false, false) => &[About::Prompt],
        };
        let mut all = Vec::with_capacity(about.len());
        for about in about {
            all.push(Encoded {
                rows: if *about == About::Both { 2 } else { 1 },
                values: BTreeMap::new(),
                masks: self.masks(&laid, *about)?,
            });
        }
        for text_run in &self.manifest.conditioning {
            let graph = self.manifest.graph(&text_run.graph)?;
            let mut held = None;
            for (index, about) in about.iter().enumerate() {
                let negative = prompts.negative.as_deref();
                let given = if *about == About::Negative && self.is_zeros(text_run, negative) {
                    // Of the shapes that the prompt's have.
                    all[0].zeros(text_run)?
                } else {
                    let model = match &held {
                        Some(model) => model,
                        None => held.insert(self.part(&text_run.graph, &prompts.loras).await?),
                    };
                    let rows = rows_of(&laid, &text_run.text, *about)?;
                    let read = text_run.outputs_at(prompts.clip_skip);
                    self.run_encoder(text_run, read, graph, &**model, &rows)
                        .await?
                };
                all[index].values.extend(given);
            }
        }
        let mut all = all.into_iter();
        let first = all
            .next()
            .ok_or_else(|| Error::engine("no prompt was encoded"))?;
        Ok(if pairs {
            Texts::Both(first)
        } else {
            Texts::Each(first, all.next())
        })
    }

    /// Whether the denoiser takes prompt and negative prompt in one run.
    fn pairs(&self) -> Result<bool> {
        let wiring = &self.manifest.denoiser;
        let sample = self.manifest.graph(&wiring.graph)?.input(&wiring.sample);
        Ok(sample.is_some_and(|port| port.rows() == 2))
    }

    /// Of each text where tokens are, of those that are kept.
    fn masks(
        &self,
        laid: &BTreeMap<&str, [Laid; 2]>,
        about: About,
    ) -> Result<BTreeMap<String, Tensor>> {
        let mut masks = BTreeMap::new();
        for name in self.tokenizers.keys() {
            let rows = rows_of(laid, name, about)?;
            let keep = self.kept(name);
            let mut mask = Vec::new();
            for row in &rows {
                let whole: Vec<i64> = row.mask().collect();
                match keep {
                    Some(keep) => {
                        let kept = keep.positions(whole.len()).into_iter();
                        mask.extend(kept.filter_map(|position| whole.get(position)));
                    }
                    None => mask.extend(whole),
                }
            }
            let shape = [rows.len(), mask.len() / rows.len().max(1)];
            masks.insert(name.clone(), Tensor::i64(&shape, mask)?);
        }
        Ok(masks)
    }

    /// The tokens of a text that conditioning is made of; none where it is all.
    fn kept(&self, text: &str) -> Option<Keep> {
        self.manifest.texts.get(text)?.keep
    }

    /// Whether zeros stand for what an encoder gives of a negative prompt.
    fn is_zeros(&self, text_run: &TextRun, negative: Option<&str>) -> bool {
        let text = self.manifest.texts.get(&text_run.text);
        let blank = text.and_then(|text| text.negative.blank(negative));
        blank == Some(Blank::Zeros)
    }

    /// Runs a text encoder on every chunk of the rows, as many at a time as it takes, and joins what it gives: hidden states
    /// one behind the other, weighed, those of the tokens that are kept; of one vector a chunk, the first.
    async fn run_encoder(
        &self,
        text_run: &TextRun,
        read: &BTreeMap<String, String>,
        graph: &Graph,
        model: &dyn Model,
        rows: &[&Laid],
    ) -> Result<BTreeMap<String, Value>> {
        let at_once = graph.inputs.first().map_or(1, Port::rows);
        let chunks: Vec<&Tokens> = rows.iter().flat_map(|row| &row.chunks).collect();
        let keep = self.kept(&text_run.text);
        let as_it_is = chunks.len() <= at_once
            && keep.is_none()
            && rows.iter().all(|row| row.is_one_plain_text());
        let mut whole_values = BTreeMap::new();
        let mut gathered: BTreeMap<&str, Gathered> = BTreeMap::new();
        for group in chunks.chunks(at_once) {
            let length = group.first().map_or(0, |chunk| chunk.ids.len());
            let size = self.manifest.sizes.default;
            let bindings = self.manifest.bindings(size, group.len(), length);
            let mut inputs = Vec::with_capacity(text_run.inputs.len());
            for (name, input) in &text_run.inputs {
                let port = graph.input(name).ok_or_else(|| no_port(graph, name))?;
                let numbers = group.iter().flat_map(|chunk| match input {
                    TextInput::Ids => chunk.ids.iter().copied(),
                    TextInput::Mask => chunk.mask.iter().copied(),
                });
                let numbers = whole(port, &bindings, numbers.collect())?;
                inputs.push((&**name, numbers.into()));
            }
            let mut wanted = Vec::with_capacity(read.len());
            for name in read.keys() {
                wanted.push(graph.output(name).ok_or_else(|| no_port(graph, name))?);
            }
            let outputs = run(model, inputs, &wanted, &bindings).await?;
            for (port, output) in wanted.into_iter().zip(outputs) {
                let Some(value) = read.get(&port.name) else {
                    continue;
                };
                if as_it_is {
                    whole_values.insert(value.clone(), output);
                    continue;
                }
                let [_, inner @ ..] = output.shape() else {
                    return Err(no_port(graph, &port.name));
                };
                let inner = inner.to_vec();
                let data = output.into_tensor().await?.into_f32()?;
                let all = gathered.entry(value).or_insert_with(|| Gathered {
                    inner,
                    data: Vec::new(),
                });
                all.data.extend(data);
            }
        }
        for (name, gathered) in gathered {
            whole_values.insert(name.to_owned(), gathered.joined(rows, keep)?.into());
        }
        Ok(whole_values)
    }
}

/// The rows of a text that a run of the denoiser is about.
fn rows_of<'l>(
    laid: &'l BTreeMap<&str, [Laid; 2]>,
    text: &str,
    about: About,
) -> Result<Vec<&'l Laid>> {
    let missing = || Error::package(format!("there is no text {text}"));
    let [prompt, negative] = laid.get(text).ok_or_else(missing)?;
    Ok(match about {
        About::Both => vec![prompt, negative],
        About::Prompt => vec![prompt],
        About::Negative => vec![negative],
    })
}

/// What an encoder gave for one chunk after the other.
struct Gathered {
    /// Dimensions of one chunk.
    inner: Vec<usize>,
    data: Vec<f32>,
}

impl Gathered {
    /// The chunks of each row one behind the other, of each the tokens that are kept.
    fn joined(self, rows: &[&Laid], keep: Option<Keep>) -> Result<Tensor> {
        let Self { inner, mut data } = self;
        let one: usize = inner.iter().product();
        let [tokens, width] = inner[..] else {
            let first = rows.iter().scan(0, |at, row| {
                let start = *at * one;
                *at += row.chunks.len();
                data.get(start..start + one).map(<[f32]>::to_vec)
            });
            let shape = [&[rows.len()], &*inner].concat();
            return Tensor::f32(&shape, first.flatten().collect());
        };
        let weights = rows.iter().flat_map(|row| &row.weights);
        for (chunk, weights) in data.chunks_exact_mut(one.max(1)).zip(weights) {
            weigh(chunk, weights)?;
        }
        let mut kept = tokens;
        if let Some(keep) = keep {
            let positions = keep.positions(tokens);
            kept = positions.len();
            let of_chunk = |chunk: &[f32]| -> Vec<f32> {
                let states: Vec<&[f32]> = chunk.chunks_exact(width.max(1)).collect();
                let some = positions.iter().filter_map(|&at| states.get(at));
                some.copied().flatten().copied().collect()
            };
            data = data.chunks_exact(one.max(1)).flat_map(of_chunk).collect();
        }
        let chunks = rows.first().map_or(1, |row| row.chunks.len());
        Tensor::f32(&[rows.len(), chunks * kept, width], data)
    }
}

impl Encoded {
    /// Zeros in place of what a text encoder gave.
    fn zeros(&self, text_run: &TextRun) -> Result<BTreeMap<String, Value>> {
        let names = text_run.outputs.values();
        let given = names.filter_map(|name| self.values.get_key_value(name));
        given
            .map(|(name, value)| {
                let count = value.shape().iter().product();
                let zeros = Tensor::f32(value.shape(), vec![0.0; count])?;
                Ok((name.clone(), zeros.into()))
            })
            .collect()
    }
}

pub(super) fn no_port(graph: &Graph, name: &str) -> Error {
    Error::package(format!("{} declares no port {name}", graph.file))
}

/// Whole numbers in the type of a port; a vocabulary has less than 2^31 tokens.
pub(super) fn whole(port: &Port, bindings: &Bindings, numbers: Vec<i64>) -> Result<Tensor> {
    let shape = bindings.shape(port);
    match port.dtype {
        PortType::Int64 | PortType::Bool => Tensor::i64(&shape, numbers),
        PortType::Int32 => Tensor::i32(&shape, numbers.into_iter().map(|n| n as i32).collect()),
        PortType::Float32 | PortType::Float16 => {
            Tensor::f32(&shape, numbers.into_iter().map(|n| n as f32).collect())
        }
    }
}
