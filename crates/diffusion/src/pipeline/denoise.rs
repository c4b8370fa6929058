//! What the loop asks the denoiser.

use super::text::{Encoded, Texts, no_port, whole};
use super::{Pipeline, run};
use crate::engine::{Answer, Model, Value};
use crate::error::{Error, Result};
use crate::manifest::{Bindings, Dim, Feed, Graph, ImageSize, Port, PortType};
use crate::scheduler::Evaluation;
use crate::tensor::Tensor;

/// Largest period of an embedded guidance scale, as in diffusers' `get_guidance_scale_embedding`.
const LONGEST_PERIOD: f64 = 10_000.0;
/// What the guidance scale less one is multiplied with there.
const GUIDANCE_UNIT: f64 = 1000.0;

/// The denoiser's inputs beside latents and time, on the engine's device: the same at every step of a picture.
pub(super) struct Condition {
    bindings: Bindings,
    inputs: Vec<(String, Value)>,
}

/// The conditions of prompt and negative prompt.
pub(super) enum Conditioning {
    /// Both in one run, the prompt first.
    Both(Condition),
    /// Each in a run of its own.
    Each(Condition, Option<Condition>),
}

/// What an evaluation is about.
#[derive(Clone, Copy)]
pub(super) enum Asked<'c> {
    Both(&'c Condition),
    Each(&'c Condition, Option<&'c Condition>),
}

impl Conditioning {
    /// What is asked where the guidance acts, or does not.
    pub fn at(&self, guided: bool) -> Asked<'_> {
        match self {
            Self::Both(both) => Asked::Both(both),
            Self::Each(prompt, negative) => {
                Asked::Each(prompt, negative.as_ref().filter(|_| guided))
            }
        }
    }
}

/// The denoiser's answers.
pub(super) enum Answered {
    Both(Value),
    Each(Value, Option<Value>),
}

impl Answered {
    pub fn as_answer(&self, guidance_scale: f32) -> Answer<'_> {
        match self {
            Self::Both(both) => Answer::Both(both, guidance_scale),
            Self::Each(prompt, Some(negative)) => Answer::Each(prompt, negative, guidance_scale),
            Self::Each(prompt, None) => Answer::One(prompt),
        }
    }
}

impl Pipeline {
    /// Brings what the denoiser is given at every step to the engine's device.
    pub(super) async fn conditioning(
        &self,
        texts: &Texts,
        size: ImageSize,
        guidance_scale: f32,
    ) -> Result<Conditioning> {
        let condition = |encoded| self.condition(encoded, size, guidance_scale);
        Ok(match texts {
            Texts::Both(both) => Conditioning::Both(condition(both).await?),
            Texts::Each(prompt, negative) => {
                let negative = match negative {
                    Some(negative) => Some(condition(negative).await?),
                    None => None,
                };
                Conditioning::Each(condition(prompt).await?, negative)
            }
        })
    }

    async fn condition(
        &self,
        encoded: &Encoded,
        size: ImageSize,
        guidance_scale: f32,
    ) -> Result<Condition> {
        let wiring = &self.manifest.denoiser;
        let graph = self.manifest.graph(&wiring.graph)?;
        let rows = encoded.rows;
        let mut bindings = self.manifest.bindings(size, rows, 0);
        let mut inputs = Vec::with_capacity(wiring.inputs.len());
        for (name, feed) in &wiring.inputs {
            let port = graph.input(name).ok_or_else(|| no_port(graph, name))?;
            let value: Value = match feed {
                Feed::Values(names) => side_by_side(encoded, names).await?,
                Feed::Mask(text) => {
                    let mask = encoded
                        .masks
                        .get(text)
                        .ok_or_else(|| no_port(graph, text))?;
                    bindings.tokens = mask.shape().last().copied().unwrap_or_default();
                    whole(port, &bindings, mask.clone().into_i64()?)?.into()
                }
                Feed::TimeIds => Tensor::f32(&[rows, 6], time_ids(size).repeat(rows))?.into(),
                Feed::Size => {
                    let sides = size.pixels().map(|side| side as f32);
                    Tensor::f32(&[rows, 2], sides.repeat(rows))?.into()
                }
                Feed::GuidanceScale => Tensor::f32(&[rows], vec![guidance_scale; rows])?.into(),
                Feed::Zeros([tokens, width]) => {
                    let zeros = vec![0.0; rows * tokens * width];
                    Tensor::f32(&[rows, *tokens, *width], zeros)?.into()
                }
                Feed::GuidanceEmbedding => {
                    let width = bindings.shape(port).last().copied().unwrap_or_default();
                    let embedding = guidance_embedding(guidance_scale, width);
                    Tensor::f32(&[rows, width], embedding.repeat(rows))?.into()
                }
            };
            fits(graph, port, value.shape())?;
            let value = match value {
                Value::Host(tensor) => self.stepper.upload(tensor).await?,
                #[cfg(feature = "gpu")]
                there @ Value::Gpu(_) => there,
            };
            inputs.push((name.clone(), value));
        }
        Ok(Condition { bindings, inputs })
    }

    /// The denoiser's answers to `latents` `[1, C, h, w]`.
    pub(super) async fn denoise(
        &self,
        denoiser: &dyn Model,
        latents: &Value,
        evaluation: &Evaluation,
        asked: Asked<'_>,
        beside: Option<&[f32]>,
    ) -> Result<Answered> {
        let timestep = evaluation.timestep;
        let copies = match asked {
            Asked::Both(_) => 2,
            Asked::Each(..) => 1,
        };
        let scaled = self.stepper.scale(latents, evaluation.input_scale, copies);
        let latents = match beside {
            Some(beside) => &self.with_channels(scaled.await?, beside).await?,
            None => &scaled.await?,
        };
        match asked {
            Asked::Both(both) => {
                let answer = self.ask(denoiser, latents, timestep, both).await?;
                Ok(Answered::Both(answer))
            }
            Asked::Each(prompt, negative) => {
                let to_prompt = self.ask(denoiser, latents, timestep, prompt).await?;
                let to_negative = match negative {
                    Some(negative) => Some(self.ask(denoiser, latents, timestep, negative).await?),
                    None => None,
                };
                Ok(Answered::Each(to_prompt, to_negative))
            }
        }
    }

    /// Latents `[1, C, h, w]` with further channels behind theirs.
    async fn with_channels(&self, latents: Value, beside: &[f32]) -> Result<Value> {
        let mut values = latents.into_tensor().await?;
        let [rows, channels, h, w] = *values.shape() else {
            return Err(Error::engine("latents of another rank"));
        };
        let more = beside.len().checked_div(h * w).unwrap_or_default();
        let data = [&*values.into_f32()?, beside].concat();
        values = Tensor::f32(&[rows, channels + more, h, w], data)?;
        self.stepper.upload(values).await
    }

    async fn ask(
        &self,
        denoiser: &dyn Model,
        latents: &Value,
        timestep: f32,
        condition: &Condition,
    ) -> Result<Value> {
        let wiring = &self.manifest.denoiser;
        let graph = self.manifest.graph(&wiring.graph)?;
        let port = |name: &str| graph.input(name).ok_or_else(|| no_port(graph, name));
        let time = time(
            port(&wiring.timestep)?,
            &condition.bindings,
            wiring.time.of(timestep),
        )?;
        let mut inputs = vec![
            (&*wiring.sample, latents.clone()),
            (&*wiring.timestep, time.into()),
        ];
        let others = condition.inputs.iter();
        inputs.extend(others.map(|(name, value)| (&**name, value.clone())));
        let answer = graph.output(&wiring.answer);
        let answer = answer.ok_or_else(|| no_port(graph, &wiring.answer))?;
        let outputs = run(denoiser, inputs, &[answer], &condition.bindings).await?;
        let first = outputs.into_iter().next();
        first.ok_or_else(|| Error::engine("the denoiser gave no answer"))
    }
}

/// What text encoders gave, joined along the last axis.
async fn side_by_side(encoded: &Encoded, names: &[String]) -> Result<Value> {
    let mut parts = Vec::with_capacity(names.len());
    for name in names {
        let value = encoded.values.get(name);
        parts.push(value.ok_or_else(|| Error::package(format!("no text encoder gives {name}")))?);
    }
    if let [one] = parts[..] {
        return Ok(one.clone());
    }
    let mut tensors = Vec::with_capacity(parts.len());
    for part in parts {
        tensors.push(part.clone().into_tensor().await?);
    }
    Ok(Tensor::beside(&tensors)?.into())
}

fn time_ids(size: ImageSize) -> Vec<f32> {
    let (width, height) = (size.width as f32, size.height as f32);
    vec![height, width, 0.0, 0.0, height, width]
}

/// Sines, then cosines, of `1000 (scale - 1)` at frequencies from 1 down to 1/10,000; an odd width ends in a zero.
fn guidance_embedding(scale: f32, width: usize) -> Vec<f32> {
    let weight = f64::from(scale - 1.0) * GUIDANCE_UNIT;
    let half = width / 2;
    let step = libm::log(LONGEST_PERIOD) / (half.max(2) - 1) as f64;
    let angles = (0..half).map(|i| weight * libm::exp(-(i as f64) * step));
    let mut embedding: Vec<f32> = angles
        .clone()
        .map(|angle| libm::sin(angle) as f32)
        .collect();
    embedding.extend(angles.map(|angle| libm::cos(angle) as f32));
    embedding.resize(width, 0.0);
    embedding
}

/// Graphs with whole timesteps get the nearest one.
fn time(port: &Port, bindings: &Bindings, timestep: f32) -> Result<Tensor> {
    let shape = bindings.shape(port);
    let rows = shape.iter().product();
    match port.dtype {
        PortType::Float32 | PortType::Float16 => Tensor::f32(&shape, vec![timestep; rows]),
        PortType::Int64 | PortType::Bool => {
            Tensor::i64(&shape, vec![timestep.round() as i64; rows])
        }
        PortType::Int32 => Tensor::i32(&shape, vec![timestep.round() as i32; rows]),
    }
}

/// Whether a value may go into a port; dimensions that the package leaves open are the graph's to check.
fn fits(graph: &Graph, port: &Port, shape: &[usize]) -> Result<()> {
    let same = port.shape.len() == shape.len()
        && port.shape.iter().zip(shape).all(|(dim, size)| match dim {
            Dim::Is(fixed) => fixed == size,
            Dim::Of(_) => true,
        });
    if same {
        return Ok(());
    }
    Err(Error::package(format!(
        "{} of {} is {:?}; it is given {shape:?}",
        port.name, graph.file, port.shape
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `LatentConsistencyModelPipeline.get_guidance_scale_embedding` of diffusers 0.42 for w = 7.5, width 6:
    /// sin and cos of 7500, 75 and 0.75.
    #[test]
    fn guidance_is_embedded_as_diffusers_does() {
        let ours = guidance_embedding(8.5, 6);
        let angles = [7500.0_f64, 75.0, 0.75];
        let theirs = angles.map(f64::sin).into_iter().chain(angles.map(f64::cos));
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert!((f64::from(*ours) - theirs).abs() < 1e-6, "{ours} {theirs}");
        }
        assert_eq!(guidance_embedding(8.5, 7).len(), 7);
    }
}
