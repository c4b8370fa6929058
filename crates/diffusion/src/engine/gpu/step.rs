//! The loop's arithmetic as a kernel.

use async_trait::async_trait;
use onnx_gpu::gpu::{Gpu, Recording};
use onnx_gpu::kernels::{Launch, MAX_WORKGROUPS};
use onnx_gpu::{DType, GpuTensor};

use super::super::step::{Answer, Combination, Stepper, mismatch, single};
use super::{Value, fail, to_gpu};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

pub(super) struct GpuStepper(pub Gpu);

fn resident(value: &Value) -> Result<&GpuTensor> {
    match value {
        Value::Gpu(tensor) => Ok(tensor),
        Value::Host(_) => Err(Error::engine("a value of main memory among those of a GPU")),
    }
}

fn step_error(error: onnx_gpu::Error) -> Error {
    fail("the denoising step", &error)
}

#[async_trait(?Send)]
impl Stepper for GpuStepper {
    async fn upload(&self, tensor: Tensor) -> Result<Value> {
        let tensor = to_gpu(tensor).map_err(step_error)?;
        let tensor = GpuTensor::upload(&self.0, &tensor).await;
        Ok(Value::Gpu(tensor.map_err(step_error)?))
    }

    async fn combine(
        &self,
        latents: &Value,
        answer: Answer<'_>,
        combination: Combination,
    ) -> Result<Value> {
        let count = |tensor: &GpuTensor| tensor.shape().iter().product::<usize>();
        let latents = resident(latents)?;
        let len = count(latents);
        let (prompt, negative, other, offset) = match answer {
            Answer::Both(both) => {
                let both = resident(both)?;
                (both, both, count(both), len / 2)
            }
            Answer::Each(prompt, negative) => {
                let (prompt, negative) = (resident(prompt)?, resident(negative)?);
                let other = if count(prompt) == count(negative) {
                    2 * count(prompt)
                } else {
                    0
                };
                (prompt, negative, other, 0)
            }
        };
        let floats = [latents, prompt, negative]
            .iter()
            .all(|t| t.dtype().is_float());
        if len != other || !len.is_multiple_of(2) || !floats {
            return Err(mismatch(len, other));
        }
        let launch = launch(len / 2, offset, combination)?;
        let bytes = len as u64 * 4;
        let out = self.0.buffer(bytes, "latents").map_err(step_error)?;
        let buffers = vec![
            latents.buffer().clone(),
            prompt.buffer().clone(),
            negative.buffer().clone(),
            out.clone(),
        ];
        let recording = Recording::new(&self.0, &[(launch, buffers)])
            .await
            .map_err(step_error)?;
        recording.execute().await.map_err(step_error)?;
        let next = GpuTensor::new(&self.0, out, latents.shape().to_vec(), DType::F32);
        Ok(Value::Gpu(next.map_err(step_error)?))
    }

    async fn first(&self, latents: &Value) -> Result<Value> {
        let latents = resident(latents)?;
        let first = latents.prefix(single(latents.shape())?);
        Ok(Value::Gpu(first.map_err(step_error)?))
    }
}

fn launch(half: usize, negative_offset: usize, combination: Combination) -> Result<Launch> {
    let groups = u32::try_from(half.div_ceil(64))
        .map_err(|_| Error::engine(format!("{half} latents are too many")))?;
    let rows = groups.div_ceil(MAX_WORKGROUPS).max(1);
    Ok(Launch {
        label: "guided_step",
        key: "guided_step".to_owned(),
        wgsl: include_str!("step.wgsl").into(),
        params: vec![
            half as u32,
            negative_offset as u32,
            combination.guidance_scale.to_bits(),
            combination.keep.to_bits(),
            combination.gain.to_bits(),
            0,
            0,
            0,
        ],
        workgroups: [groups.div_ceil(rows).max(1), rows, 1],
        turns: 0,
    })
}
