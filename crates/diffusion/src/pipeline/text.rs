//! What the text encoders give for the prompts: made once for a picture, kept for the next one of equal prompts.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Pipeline, run};
use crate::engine::Model;
use crate::error::{Error, Result};
use crate::manifest::{Bindings, Graph, Port, PortType, TextInput, TextRun};
use crate::tensor::Tensor;
use crate::tokenizer::{Blank, Tokens};

/// Prompt and negative prompt of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompts {
    pub prompt: String,
    /// `None` where there is none.
    pub negative: Option<String>,
    /// Whether the denoiser is asked about the negative prompt.
    pub guided: bool,
}

/// A prompt on its way into text encoders.
#[derive(Clone, Copy)]
enum Row<'t> {
    Prompt(&'t str),
    Negative(Option<&'t str>),
}

/// What is known of the prompts of one run of the denoiser, a row for each.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    pub rows: usize,
    /// By the manifest's names, `[rows, tokens, width]` or `[rows, width]`.
    pub values: BTreeMap<String, Tensor>,
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

    async fn encode(&self, prompts: &Prompts) -> Result<Texts> {
        let prompt = Row::Prompt(&prompts.prompt);
        let negative = prompts.negative.as_deref();
        if self.pairs()? {
            let both = [prompt, Row::Negative(negative)];
            return Ok(Texts::Both(self.encode_rows(&both, None).await?));
        }
        let prompt = self.encode_rows(&[prompt], None).await?;
        if !prompts.guided {
            return Ok(Texts::Each(prompt, None));
        }
        let negative = self
            .encode_rows(&[Row::Negative(negative)], Some(&prompt))
            .await?;
        Ok(Texts::Each(prompt, Some(negative)))
    }

    /// Whether the denoiser takes prompt and negative prompt in one run.
    pub(super) fn pairs(&self) -> Result<bool> {
        let wiring = &self.manifest.denoiser;
        let sample = self.manifest.graph(&wiring.graph)?.input(&wiring.sample);
        Ok(sample.is_some_and(|port| port.rows() == 2))
    }

    /// `like` is what zeros have the shapes of, where a negative prompt that says nothing is zeros.
    async fn encode_rows(&self, prompts: &[Row<'_>], like: Option<&Encoded>) -> Result<Encoded> {
        let mut tokens = BTreeMap::new();
        let mut masks = BTreeMap::new();
        for (name, tokenizer) in &self.tokenizers {
            let rows: Vec<Tokens> = prompts
                .iter()
                .map(|row| match row {
                    Row::Prompt(prompt) => tokenizer.encode(prompt),
                    Row::Negative(negative) => {
                        tokenizer.encode_negative(negative.unwrap_or_default())
                    }
                })
                .collect::<Result<_>>()?;
            let mask: Vec<i64> = rows.iter().flat_map(|row| row.mask.clone()).collect();
            let shape = [rows.len(), mask.len() / rows.len().max(1)];
            masks.insert(name.clone(), Tensor::i64(&shape, mask)?);
            tokens.insert(&**name, rows);
        }
        let mut values = BTreeMap::new();
        for text_run in &self.manifest.conditioning {
            if let (Some(like), [Row::Negative(negative)]) = (like, prompts)
                && self.is_zeros(text_run, *negative)
            {
                values.extend(like.zeros(text_run)?);
                continue;
            }
            let graph = self.manifest.graph(&text_run.graph)?;
            let model = self.parts.graph(&text_run.graph, graph).await?;
            let rows = tokens
                .get(&*text_run.text)
                .ok_or_else(|| Error::package(format!("there is no text {}", text_run.text)))?;
            values.extend(self.run_encoder(text_run, graph, &*model, rows).await?);
        }
        Ok(Encoded {
            rows: prompts.len(),
            values,
            masks,
        })
    }

    /// Whether zeros stand for what an encoder gives of a negative prompt.
    fn is_zeros(&self, text_run: &TextRun, negative: Option<&str>) -> bool {
        let text = self.manifest.texts.get(&text_run.text);
        let blank = text.and_then(|text| text.negative.blank(negative));
        blank == Some(Blank::Zeros)
    }

    /// Runs a text encoder on as many rows at a time as it takes.
    async fn run_encoder(
        &self,
        text_run: &TextRun,
        graph: &Graph,
        model: &dyn Model,
        rows: &[Tokens],
    ) -> Result<BTreeMap<String, Tensor>> {
        let at_once = graph.inputs.first().map_or(1, Port::rows);
        let mut gathered: BTreeMap<&str, (Vec<usize>, Vec<f32>)> = BTreeMap::new();
        for group in rows.chunks(at_once) {
            let length = group.first().map_or(0, |row| row.ids.len());
            let bindings = self
                .manifest
                .bindings(self.manifest.sizes.default, group.len(), length);
            let mut inputs = Vec::with_capacity(text_run.inputs.len());
            for (name, input) in &text_run.inputs {
                let port = graph.input(name).ok_or_else(|| no_port(graph, name))?;
                let numbers: Vec<i64> = group
                    .iter()
                    .flat_map(|row| match input {
                        TextInput::Ids => row.ids.clone(),
                        TextInput::Mask => row.mask.clone(),
                    })
                    .collect();
                inputs.push((&**name, whole(port, &bindings, numbers)?.into()));
            }
            let mut wanted = Vec::with_capacity(text_run.outputs.len());
            for name in text_run.outputs.keys() {
                wanted.push(graph.output(name).ok_or_else(|| no_port(graph, name))?);
            }
            let outputs = run(model, inputs, &wanted, &bindings).await?;
            for (port, output) in wanted.into_iter().zip(outputs) {
                let Some(value) = text_run.outputs.get(&port.name) else {
                    continue;
                };
                let shape = output.shape().to_vec();
                let data = output.into_tensor().await?.into_f32()?;
                let all = gathered.entry(value).or_insert_with(|| (shape, Vec::new()));
                all.1.extend(data);
            }
        }
        gathered
            .into_iter()
            .map(|(name, (mut shape, data))| {
                if let Some(first) = shape.first_mut() {
                    *first = rows.len();
                }
                Ok((name.to_owned(), Tensor::f32(&shape, data)?))
            })
            .collect()
    }
}

impl Encoded {
    /// Zeros in place of what a text encoder gave.
    fn zeros(&self, text_run: &TextRun) -> Result<BTreeMap<String, Tensor>> {
        let names = text_run.outputs.values();
        let given = names.filter_map(|name| self.values.get_key_value(name));
        given
            .map(|(name, tensor)| {
                let count = tensor.shape().iter().product();
                Ok((name.clone(), Tensor::f32(tensor.shape(), vec![0.0; count])?))
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
