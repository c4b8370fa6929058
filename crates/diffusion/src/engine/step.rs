//! What the denoising loop computes between two runs of the denoiser, on the engine's device.

use async_trait::async_trait;

use super::Value;
use crate::error::{Error, Result};
use crate::scheduler::guide;
use crate::tensor::Tensor;

/// What the denoiser answered to the prompt and to the negative prompt.
#[derive(Clone, Copy)]
pub enum Answer<'a> {
    /// To both in one run, `[2, C, H, W]`, the prompt first.
    Both(&'a Value),
    /// To each in a run of its own, `[1, C, H, W]`: the prompt, the negative prompt.
    Each(&'a Value, &'a Value),
}

/// How a step combines latents and answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Combination {
    /// Share of the latents.
    pub keep: f32,
    /// Share of the guided answer.
    pub gain: f32,
    /// Classifier-free guidance scale.
    pub guidance_scale: f32,
}

/// Arithmetic of the loop. Its latents are `[2, C, H, W]`: one copy for each prompt of classifier-free guidance, always equal.
#[async_trait(?Send)]
pub trait Stepper {
    /// Brings a tensor to where the loop's values are.
    ///
    /// # Errors
    /// A device kind when the device is at fault.
    async fn upload(&self, tensor: Tensor) -> Result<Value>;

    /// `keep latents + gain (u + guidance_scale (c - u))`, where the answer is `c` to the prompt and `u` to the negative
    /// prompt.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Engine`] when the shapes do not fit, a device kind when the device is at fault.
    async fn combine(
        &self,
        latents: &Value,
        answer: Answer<'_>,
        combination: Combination,
    ) -> Result<Value>;

    /// The latents after `dt` along the guided velocity. `velocity` is the denoiser's answer to the prompt and, second, to
    /// the negative prompt.
    ///
    /// # Errors
    /// As [`Stepper::combine`].
    async fn step(
        &self,
        latents: &Value,
        velocity: &Value,
        guidance_scale: f32,
        dt: f32,
    ) -> Result<Value> {
        let combination = Combination {
            keep: 1.0,
            gain: dt,
            guidance_scale,
        };
        self.combine(latents, Answer::Both(velocity), combination)
            .await
    }

    /// `factor latents`.
    ///
    /// # Errors
    /// As [`Stepper::combine`].
    async fn scale(&self, latents: &Value, factor: f32) -> Result<Value> {
        if factor == 1.0 {
            return Ok(latents.clone());
        }
        let combination = Combination {
            keep: factor,
            gain: 0.0,
            guidance_scale: 1.0,
        };
        self.combine(latents, Answer::Both(latents), combination)
            .await
    }

    /// The first of the two copies, `[1, C, H, W]`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Engine`] when the value is none of this stepper's.
    async fn first(&self, latents: &Value) -> Result<Value>;
}

/// A [`Stepper`] in main memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostStepper;

fn host(value: &Value) -> Result<&Tensor> {
    match value {
        Value::Host(tensor) => Ok(tensor),
        #[cfg(feature = "gpu")]
        Value::Gpu(_) => Err(Error::engine("a value of a GPU among those of a CPU")),
    }
}

#[async_trait(?Send)]
impl Stepper for HostStepper {
    async fn upload(&self, tensor: Tensor) -> Result<Value> {
        Ok(Value::Host(tensor))
    }

    async fn combine(
        &self,
        latents: &Value,
        answer: Answer<'_>,
        combination: Combination,
    ) -> Result<Value> {
        let shape = latents.shape().to_vec();
        let latents = host(latents)?.clone().into_f32()?;
        let answer = match answer {
            Answer::Both(both) => host(both)?.clone().into_f32()?,
            Answer::Each(prompt, negative) => {
                let prompt = host(prompt)?.clone().into_f32()?;
                [prompt, host(negative)?.clone().into_f32()?].concat()
            }
        };
        if latents.len() != answer.len() || !latents.len().is_multiple_of(2) {
            return Err(mismatch(latents.len(), answer.len()));
        }
        let Combination {
            keep,
            gain,
            guidance_scale,
        } = combination;
        let n = latents.len() / 2;
        let (prompt, negative) = answer.split_at(n);
        let guided = guide(prompt, negative, guidance_scale);
        let next: Vec<f32> = latents[..n]
            .iter()
            .zip(&guided)
            .map(|(x, m)| keep * x + gain * m)
            .collect();
        Ok(Value::Host(Tensor::f32(&shape, next.repeat(2))?))
    }

    async fn first(&self, latents: &Value) -> Result<Value> {
        let tensor = host(latents)?.clone();
        let shape = single(tensor.shape())?;
        let mut data = tensor.into_f32()?;
        data.truncate(data.len() / 2);
        Ok(Value::Host(Tensor::f32(&shape, data)?))
    }
}

pub(super) fn mismatch(latents: usize, answer: usize) -> Error {
    Error::engine(format!(
        "{latents} latents for two prompts and {answer} values of the denoiser"
    ))
}

/// The shape of one of the two copies.
pub(super) fn single(shape: &[usize]) -> Result<Vec<usize>> {
    match shape {
        [2, rest @ ..] => Ok([&[1], rest].concat()),
        _ => Err(Error::engine(format!("{shape:?} is not for two prompts"))),
    }
}
