//! What the loop asks the graphs, whichever way they are wired.

use super::run;
use crate::engine::{Answer, Model, Stepper, Value};
use crate::error::{Error, Result};
use crate::manifest::{Manifest, Port, PortType, Wiring};
use crate::scheduler::Evaluation;
use crate::tensor::Tensor;
use crate::tokenizer::Tokens;

/// What the denoiser sees of the two prompts.
pub(super) enum Conditioning {
    /// Of both at once, with their masks.
    Paired { text: Value, mask: Value },
    /// Of each; none of the negative prompt where the guidance leaves it out.
    Each {
        prompt: Value,
        negative: Option<Value>,
    },
}

/// The denoiser's answers.
pub(super) enum Answered {
    Both(Value),
    Each(Value, Option<Value>),
}

impl Answered {
    pub(super) fn as_answer(&self, guidance_scale: f32) -> Answer<'_> {
        match self {
            Self::Both(both) => Answer::Both(both, guidance_scale),
            Self::Each(prompt, Some(negative)) => Answer::Each(prompt, negative, guidance_scale),
            Self::Each(prompt, None) => Answer::One(prompt),
        }
    }
}

/// Runs the text encoder. At a guidance scale of 1 the negative prompt has no weight, and graphs that take one prompt a
/// run are not asked about it.
pub(super) async fn encode(
    manifest: &Manifest,
    text_encoder: &dyn Model,
    stepper: &dyn Stepper,
    [prompt, negative]: [Tokens; 2],
    guidance_scale: f32,
) -> Result<Conditioning> {
    let length = manifest.tokenizer.max_length;
    let component = &manifest.components.text_encoder;
    if manifest.wiring == Wiring::StableDiffusion {
        let (Some(input), Some(output)) = (component.inputs.first(), component.outputs.first())
        else {
            return Err(Error::package("the text encoder has no ports"));
        };
        let encode = |tokens: Tokens| async move {
            let inputs = vec![(&*input.name, ids(input, tokens.ids)?.into())];
            run(text_encoder, inputs, output).await
        };
        let prompt = encode(prompt).await?;
        let negative = if guidance_scale == 1.0 {
            None
        } else {
            Some(encode(negative).await?)
        };
        return Ok(Conditioning::Each { prompt, negative });
    }
    let ids = [prompt.ids, negative.ids].concat();
    let mask = [prompt.mask, negative.mask].concat();
    let float_mask = mask.iter().map(|&x| x as f32).collect();
    let inputs = vec![
        ("input_ids", Tensor::i64(&[2, length], ids)?.into()),
        ("attention_mask", Tensor::i64(&[2, length], mask)?.into()),
    ];
    let output = component
        .outputs
        .iter()
        .find(|p| p.name == "last_hidden_state")
        .ok_or_else(|| Error::package("the text encoder has no last_hidden_state"))?;
    let text = run(text_encoder, inputs, output).await?;
    let mask = Tensor::f32(&[2, length], float_mask)?;
    Ok(Conditioning::Paired {
        text,
        mask: stepper.upload(mask).await?,
    })
}

/// Runs the denoiser on `latents` `[1, C, H, W]`.
pub(super) async fn denoise(
    manifest: &Manifest,
    denoiser: &dyn Model,
    stepper: &dyn Stepper,
    latents: &Value,
    evaluation: &Evaluation,
    conditioning: &Conditioning,
) -> Result<Answered> {
    let component = &manifest.components.denoiser;
    let output = component
        .outputs
        .first()
        .ok_or_else(|| Error::package("the denoiser has no output"))?;
    let copies = match conditioning {
        Conditioning::Paired { .. } => 2,
        Conditioning::Each { .. } => 1,
    };
    let latents = stepper
        .scale(latents, evaluation.input_scale, copies)
        .await?;
    match conditioning {
        Conditioning::Paired { text, mask } => {
            let inputs = vec![
                ("latents", latents),
                ("t", Tensor::f32(&[2], vec![evaluation.timestep; 2])?.into()),
                ("text", text.clone()),
                ("text_mask", mask.clone()),
            ];
            Ok(Answered::Both(run(denoiser, inputs, output).await?))
        }
        Conditioning::Each { prompt, negative } => {
            let [sample, timestep, states] = &component.inputs[..] else {
                return Err(Error::package("the denoiser does not have three inputs"));
            };
            let answer = |text: &Value| {
                let inputs = time(timestep, evaluation.timestep).map(|time| {
                    vec![
                        (&*sample.name, latents.clone()),
                        (&*timestep.name, time.into()),
                        (&*states.name, text.clone()),
                    ]
                });
                async move { run(denoiser, inputs?, output).await }
            };
            let to_prompt = answer(prompt).await?;
            let to_negative = match negative {
                Some(negative) => Some(answer(negative).await?),
                None => None,
            };
            Ok(Answered::Each(to_prompt, to_negative))
        }
    }
}

fn ids(port: &Port, ids: Vec<i64>) -> Result<Tensor> {
    if port.dtype == PortType::Int32 {
        // Ids come from a vocabulary of less than 2^31 tokens.
        return Tensor::i32(&port.shape, ids.into_iter().map(|id| id as i32).collect());
    }
    Tensor::i64(&port.shape, ids)
}

/// Graphs with whole timesteps get the nearest one.
fn time(port: &Port, timestep: f32) -> Result<Tensor> {
    match port.dtype {
        PortType::Float32 => Tensor::f32(&port.shape, vec![timestep]),
        PortType::Int64 => Tensor::i64(&port.shape, vec![timestep.round() as i64]),
        PortType::Int32 => Tensor::i32(&port.shape, vec![timestep.round() as i32]),
    }
}
