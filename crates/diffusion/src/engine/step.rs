//! What the denoising loop computes between two runs of the denoiser, on the engine's device.

use async_trait::async_trait;

use super::Value;
use crate::error::{Error, Result};
use crate::scheduler::{euler, guide};
use crate::tensor::Tensor;

/// Arithmetic of the loop. Its latents are `[2, C, H, W]`: one copy for each prompt of classifier-free guidance, always equal.
#[async_trait(?Send)]
pub trait Stepper {
    /// Brings a tensor to where the loop's values are.
    ///
    /// # Errors
    /// A device kind when the device is at fault.
    async fn upload(&self, tensor: Tensor) -> Result<Value>;

    /// The latents after `dt` along the guided velocity. `velocity` is the denoiser's answer to the prompt and, second, to
    /// the negative prompt.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Engine`] when the shapes do not fit, a device kind when the device is at fault.
    async fn step(
        &self,
        latents: &Value,
        velocity: &Value,
        guidance_scale: f32,
        dt: f32,
    ) -> Result<Value>;

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

    async fn step(
        &self,
        latents: &Value,
        velocity: &Value,
        guidance_scale: f32,
        dt: f32,
    ) -> Result<Value> {
        let shape = latents.shape().to_vec();
        let (latents, velocity) = (
            host(latents)?.clone().into_f32()?,
            host(velocity)?.clone().into_f32()?,
        );
        if latents.len() != velocity.len() || !latents.len().is_multiple_of(2) {
            return Err(mismatch(latents.len(), velocity.len()));
        }
        let n = latents.len() / 2;
        let (prompt, negative) = velocity.split_at(n);
        let mut next = latents[..n].to_vec();
        euler(&mut next, &guide(prompt, negative, guidance_scale), dt);
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

pub(super) fn mismatch(latents: usize, velocity: usize) -> Error {
    Error::engine(format!(
        "{latents} latents for two prompts and {velocity} values of velocity"
    ))
}

/// The shape of one of the two copies.
pub(super) fn single(shape: &[usize]) -> Result<Vec<usize>> {
    match shape {
        [2, rest @ ..] => Ok([&[1], rest].concat()),
        _ => Err(Error::engine(format!("{shape:?} is not for two prompts"))),
    }
}
