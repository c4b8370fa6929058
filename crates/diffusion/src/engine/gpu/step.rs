//! The loop's arithmetic as a kernel.

use async_trait::async_trait;
use onnx_gpu::gpu::{Buffer, Gpu, Recording};
use onnx_gpu::kernels::{Launch, MAX_WORKGROUPS};
use onnx_gpu::{DType, GpuTensor};

use super::super::step::{Answer, Form, MAX_VALUES, Operand, Stepper, Term, repeated, shape_of};
use super::{Value, fail, to_gpu};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

pub(super) struct GpuStepper(pub Gpu);

fn resident(value: &Value) -> Result<&GpuTensor> {
    let tensor = match value {
        Value::Gpu(tensor) => tensor,
        Value::Host(_) => return Err(Error::engine("a value of main memory among those of a GPU")),
    };
    if tensor.dtype().is_float() {
        return Ok(tensor);
    }
    Err(Error::engine(
        "the model gave integers where floats were expected",
    ))
}

fn step_error(error: onnx_gpu::Error) -> Error {
    fail("the denoising step", &error)
}

#[async_trait(?Send)]
impl Stepper for GpuStepper {
    async fn upload(&self, tensor: Tensor) -> Result<Value> {
        let tensor = to_gpu(tensor, None).map_err(step_error)?;
        let tensor = GpuTensor::upload(&self.0, &tensor).await;
        Ok(Value::Gpu(tensor.map_err(step_error)?))
    }

    async fn linear(&self, terms: &[Term<'_>], form: Form) -> Result<Value> {
        let shape = shape_of(terms)?;
        let count: usize = shape.iter().product();
        let out_shape = repeated(&shape, form.copies)?;
        let bytes = (count * form.copies) as u64 * 4;
        let out = self.0.buffer(bytes, "latents").map_err(step_error)?;
        let mut inputs = Inputs::of(terms, count)?;
        let launch = inputs.launch(count, form)?;
        inputs.buffers.push(out.clone());
        let recording = Recording::new(&self.0, &[(launch, inputs.buffers)])
            .await
            .map_err(step_error)?;
        recording.execute().await.map_err(step_error)?;
        let sum = GpuTensor::new(&self.0, out, out_shape, DType::F32);
        Ok(Value::Gpu(sum.map_err(step_error)?))
    }
}

/// What the kernel reads.
struct Inputs {
    /// [`MAX_VALUES`] of them; those that no term has are the first one again.
    buffers: Vec<Buffer>,
    shares: [f32; 8],
    terms: usize,
    guidance: Option<Guidance>,
}

#[derive(Clone, Copy)]
struct Guidance {
    term: usize,
    scale: f32,
    negative_offset: usize,
}

impl Inputs {
    fn of(terms: &[Term<'_>], count: usize) -> Result<Self> {
        let too_many = || Error::engine(format!("a sum of {} terms is too long", terms.len()));
        let (mut buffers, mut shares) = (Vec::new(), [0.0; 8]);
        let (mut guidance, mut negative) = (None, None);
        for (term, &(share, operand)) in terms.iter().enumerate() {
            *shares.get_mut(term).ok_or_else(too_many)? = share;
            let (value, other) = match operand {
                Operand::Value(value) | Operand::Answer(Answer::One(value)) => (value, None),
                Operand::Answer(Answer::Both(both, scale)) => (both, Some((both, scale, count))),
                Operand::Answer(Answer::Each(prompt, other, scale)) => {
                    (prompt, Some((other, scale, 0)))
                }
            };
            buffers.push(resident(value)?.buffer().clone());
            if let Some((other, scale, negative_offset)) = other {
                if guidance.is_some() {
                    return Err(Error::engine("a sum of two guided answers"));
                }
                negative = Some(resident(other)?.buffer().clone());
                guidance = Some(Guidance {
                    term,
                    scale,
                    negative_offset,
                });
            }
        }
        buffers.extend(negative);
        if buffers.len() > MAX_VALUES {
            return Err(too_many());
        }
        let first = buffers.first().cloned().ok_or_else(too_many)?;
        buffers.resize(MAX_VALUES, first);
        Ok(Self {
            buffers,
            shares,
            terms: terms.len(),
            guidance,
        })
    }

    fn launch(&self, count: usize, form: Form) -> Result<Launch> {
        let groups = u32::try_from(count.div_ceil(64))
            .map_err(|_| Error::engine(format!("{count} latents are too many")))?;
        let rows = groups.div_ceil(MAX_WORKGROUPS).max(1);
        let none = Guidance {
            term: MAX_VALUES,
            scale: 1.0,
            negative_offset: 0,
        };
        let guidance = self.guidance.unwrap_or(none);
        let mut params = vec![
            count as u32,
            form.copies as u32,
            self.terms as u32,
            guidance.term as u32,
            guidance.scale.to_bits(),
            guidance.negative_offset as u32,
            form.limit.unwrap_or_default().to_bits(),
            0,
        ];
        params.extend(self.shares.map(f32::to_bits));
        Ok(Launch {
            label: "linear_step",
            key: "linear_step".to_owned(),
            wgsl: include_str!("step.wgsl").into(),
            params,
            workgroups: [groups.div_ceil(rows).max(1), rows, 1],
            turns: 0,
            bindings: MAX_VALUES + 1,
            flops: 0,
        })
    }
}
