//! What the denoising loop computes between two runs of the denoiser, on the engine's device.

use async_trait::async_trait;

use super::Value;
use crate::error::{Error, Result};
use crate::scheduler::guide;
use crate::tensor::Tensor;

/// Most values that a sum reads: what a shader of any WebGPU device can bind beside its output.
pub const MAX_VALUES: usize = 7;

/// What the denoiser answered to the prompt and to the negative prompt.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// To the prompt alone, `[1, C, H, W]`.
    One(&'a Value),
    /// To both in one run, `[2, C, H, W]`, the prompt first, and the guidance scale.
    Both(&'a Value, f32),
    /// To each in a run of its own, `[1, C, H, W]`: the prompt, the negative prompt; and the guidance scale.
    Each(&'a Value, &'a Value, f32),
}

/// What a term of a sum is of.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// A value.
    Value(&'a Value),
    /// The guided answer `u + scale (c - u)`, where the answer is `c` to the prompt and `u` to the negative prompt.
    Answer(Answer<'a>),
}

impl Operand<'_> {
    /// Dimensions of one prompt's part.
    fn shape(&self) -> Result<Vec<usize>> {
        match self {
            Self::Value(value) | Self::Answer(Answer::One(value) | Answer::Each(value, ..)) => {
                Ok(value.shape().to_vec())
            }
            Self::Answer(Answer::Both(value, _)) => match value.shape() {
                [2, rest @ ..] => Ok([&[1], rest].concat()),
                shape => Err(Error::engine(format!("{shape:?} is not for two prompts"))),
            },
        }
    }
}

/// A share of something.
pub type Term<'a> = (f32, Operand<'a>);

/// What becomes of a sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Form {
    /// How often it is written along the first dimension.
    pub copies: usize,
    /// Where its elements are cut off, on both sides of 0; above 0.
    pub limit: Option<f32>,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            copies: 1,
            limit: None,
        }
    }
}

/// Arithmetic of the loop over values `[1, C, H, W]`.
#[async_trait(?Send)]
pub trait Stepper {
    /// Brings a tensor to where the loop's values are.
    ///
    /// # Errors
    /// A device kind when the device is at fault.
    async fn upload(&self, tensor: Tensor) -> Result<Value>;

    /// The sum of `terms`, added in their order. It has at least one term, at most one of a guided answer, and the terms
    /// read [`MAX_VALUES`] values at most, the two answers of guidance counted as two.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Engine`] when the shapes do not fit, a device kind when the device is at fault.
    async fn linear(&self, terms: &[Term<'_>], form: Form) -> Result<Value>;

    /// `copies` times `factor value` along the first dimension.
    ///
    /// # Errors
    /// As [`Stepper::linear`].
    async fn scale(&self, value: &Value, factor: f32, copies: usize) -> Result<Value> {
        if factor == 1.0 && copies == 1 {
            return Ok(value.clone());
        }
        let form = Form {
            copies,
            limit: None,
        };
        self.linear(&[(factor, Operand::Value(value))], form).await
    }
}

/// The shape that all terms have.
pub(super) fn shape_of(terms: &[Term<'_>]) -> Result<Vec<usize>> {
    let Some((_, first)) = terms.first() else {
        return Err(Error::engine("a sum of nothing"));
    };
    let shape = first.shape()?;
    for (_, operand) in terms {
        let other = match operand {
            Operand::Answer(Answer::Each(_, negative, _)) => negative.shape().to_vec(),
            _ => operand.shape()?,
        };
        if other != shape || operand.shape()? != shape {
            let message = format!("{shape:?} and {other:?} cannot be added");
            return Err(Error::engine(message));
        }
    }
    Ok(shape)
}

/// A shape `copies` times along its first dimension.
pub(super) fn repeated(shape: &[usize], copies: usize) -> Result<Vec<usize>> {
    match shape {
        [first, rest @ ..] => Ok([&[first * copies], rest].concat()),
        [] => Err(Error::engine("a number is no tensor to repeat")),
    }
}

/// A [`Stepper`] in main memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostStepper;

fn host(value: &Value) -> Result<Vec<f32>> {
    match value {
        Value::Host(tensor) => tensor.clone().into_f32(),
        #[cfg(feature = "gpu")]
        Value::Gpu(_) => Err(Error::engine("a value of a GPU among those of a CPU")),
    }
}

fn read(operand: Operand<'_>) -> Result<Vec<f32>> {
    match operand {
        Operand::Value(value) | Operand::Answer(Answer::One(value)) => host(value),
        Operand::Answer(Answer::Both(both, scale)) => {
            let both = host(both)?;
            let (prompt, negative) = both.split_at(both.len() / 2);
            Ok(guide(prompt, negative, scale))
        }
        Operand::Answer(Answer::Each(prompt, negative, scale)) => {
            Ok(guide(&host(prompt)?, &host(negative)?, scale))
        }
    }
}

#[async_trait(?Send)]
impl Stepper for HostStepper {
    async fn upload(&self, tensor: Tensor) -> Result<Value> {
        Ok(Value::Host(tensor))
    }

    async fn linear(&self, terms: &[Term<'_>], form: Form) -> Result<Value> {
        let shape = shape_of(terms)?;
        let mut sum: Option<Vec<f32>> = None;
        for &(share, operand) in terms {
            let mut value = read(operand)?;
            match &mut sum {
                None => {
                    value.iter_mut().for_each(|x| *x *= share);
                    sum = Some(value);
                }
                Some(sum) => {
                    let pairs = sum.iter_mut().zip(&value);
                    pairs.for_each(|(sum, x)| *sum += share * x);
                }
            }
        }
        let mut sum = sum.unwrap_or_default();
        if let Some(limit) = form.limit {
            sum.iter_mut().for_each(|x| *x = x.clamp(-limit, limit));
        }
        let shape = repeated(&shape, form.copies)?;
        Ok(Value::Host(Tensor::f32(&shape, sum.repeat(form.copies))?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pollster::block_on;

    fn value(shape: &[usize], data: &[f32]) -> Value {
        Tensor::f32(shape, data.to_vec()).unwrap().into()
    }

    fn sum(terms: &[Term<'_>], copies: usize) -> Result<Vec<f32>> {
        let form = Form {
            copies,
            limit: None,
        };
        let sum = block_on(HostStepper.linear(terms, form))?;
        block_on(sum.into_tensor())?.into_f32()
    }

    #[test]
    fn sums_are_of_guided_answers_and_values() {
        let (x, both) = (
            value(&[1, 2], &[1.0, 2.0]),
            value(&[2, 2], &[4.0, 6.0, 2.0, 8.0]),
        );
        let guided = Operand::Answer(Answer::Both(&both, 3.0));
        // 2 + 3 (4 - 2) = 8, 8 + 3 (6 - 8) = 2
        let terms = [(0.5, Operand::Value(&x)), (-1.0, guided)];
        assert_eq!(sum(&terms, 1).unwrap(), [-7.5, -1.0]);
        assert_eq!(sum(&terms, 2).unwrap(), [-7.5, -1.0, -7.5, -1.0]);
        let (c, u) = (value(&[1, 2], &[4.0, 6.0]), value(&[1, 2], &[2.0, 8.0]));
        let each = Operand::Answer(Answer::Each(&c, &u, 3.0));
        assert_eq!(sum(&[(1.0, each)], 1).unwrap(), [8.0, 2.0]);
        let one = Operand::Answer(Answer::One(&c));
        assert_eq!(sum(&[(2.0, one)], 1).unwrap(), [8.0, 12.0]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let (x, other) = (value(&[1, 2], &[1.0; 2]), value(&[1, 3], &[1.0; 3]));
        for terms in [
            &[][..],
            &[(1.0, Operand::Value(&x)), (1.0, Operand::Value(&other))],
            &[(1.0, Operand::Answer(Answer::Each(&x, &other, 2.0)))],
            &[(1.0, Operand::Answer(Answer::Both(&x, 2.0)))],
        ] {
            assert!(sum(terms, 1).is_err(), "{terms:?}");
        }
    }
}
