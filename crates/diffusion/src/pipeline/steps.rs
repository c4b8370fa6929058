//! The steps of a picture: a scheduler's program over registers on the engine's device.

use protocol::Variation;

use super::denoise::Answered;
use super::pause;
use super::start::Begun;
use crate::cancel::Cancel;
use crate::engine::{Form, Operand, Stepper, Term, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Interval;
use crate::noise::{randn, turned};
use crate::scheduler::program::{Evaluation, KEPT, Program, Register, Sum};
use crate::tensor::Tensor;

/// The state between two steps: with the request, everything that the rest of the picture depends on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Steps done.
    pub step: u32,
    /// Latents `[c, h, w]`, row-major.
    pub latents: Vec<f32>,
    /// What the scheduler keeps beside the latents, as many values each: the registers of [`Program::kept_before`] in their
    /// order. Most schedulers keep none.
    pub registers: Vec<Vec<f32>>,
}

/// Shares of picture and noise where there is no noise.
const NO_NOISE: [f64; 2] = [1.0, 0.0];

/// What the steps of a picture go by.
#[derive(Clone, Copy)]
pub(super) struct Course<'p> {
    pub program: &'p Program,
    pub stepper: &'p dyn Stepper,
    pub seed: u64,
    pub variation: Option<Variation>,
    pub guidance_scale: f32,
    /// Where the guidance acts; everywhere if nowhere is said.
    pub guided: Option<Interval>,
    /// Whether lines of guided answers have the length of those to the prompt, see [`Guidance::ClassifierFreeRescaled`].
    pub rescaled: bool,
    /// Whether the denoiser's answers count with the other sign.
    pub negated: bool,
    /// Channels, height and width of the latents.
    pub shape: [usize; 3],
    /// The picture that it begins with.
    pub begun: Option<&'p Begun>,
}

impl Course<'_> {
    /// Refuses a checkpoint from which the course cannot go on.
    pub fn check(&self, checkpoint: &Checkpoint) -> Result<()> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidRequest, message));
        let steps = self.program.steps.len();
        let step = checkpoint.step as usize;
        if !(1..=steps).contains(&step) {
            return invalid(format!("step {step} of {steps} is none to go on from"));
        }
        let wanted: usize = self.shape.iter().product();
        let kept = self.program.kept_before(step).len();
        let given = checkpoint.registers.len();
        if given != kept {
            return invalid(format!(
                "the scheduler keeps {kept} registers beside the latents after step {step}; {given} were given"
            ));
        }
        for values in [&checkpoint.latents]
            .into_iter()
            .chain(&checkpoint.registers)
        {
            if values.len() != wanted {
                let given = values.len();
                return invalid(format!(
                    "{given} latents were given, the package has {wanted}"
                ));
            }
            if let Some(bad) = values.iter().find(|x| !x.is_finite()) {
                return invalid(format!("a latent is {bad}"));
            }
        }
        Ok(())
    }

    /// The guided answer, each of whose lines has the length of that to the prompt. No sum says it, so it is made in main memory.
    async fn rescaled(&self, answered: Answered, scale: f32) -> Result<Answered> {
        if matches!(answered, Answered::Each(_, None)) {
            return Ok(answered);
        }
        let guided = Operand::Answer(answered.as_answer(scale));
        let guided = self
            .stepper
            .linear(&[(1.0, guided)], Form::default())
            .await?;
        let prompt = Operand::Answer(answered.as_answer(1.0));
        let prompt = self
            .stepper
            .linear(&[(1.0, prompt)], Form::default())
            .await?;
        let mut values = guided.into_tensor().await?.into_f32()?;
        let wanted = prompt.into_tensor().await?.into_f32()?;
        let [.., width] = self.shape;
        rescale(&mut values, &wanted, width);
        Ok(Answered::Each(self.upload(values).await?, None))
    }

    async fn upload(&self, values: Vec<f32>) -> Result<Value> {
        let [c, h, w] = self.shape;
        let tensor = Tensor::f32(&[1, c, h, w], values)?;
        self.stepper.upload(tensor).await
    }

    /// Latents after `evaluated` evaluations, outside of the mask those of the picture that it begins with.
    async fn masked(&self, latents: Value, evaluated: u32) -> Result<Value> {
        let Some(begun) = self.begun.filter(|begun| begun.is_masked()) else {
            return Ok(latents);
        };
        let next = self.program.evaluations().nth(evaluated as usize);
        let level = next.map_or(NO_NOISE, |evaluation| evaluation.level);
        let values = latents.clone().into_tensor().await?.into_f32()?;
        match begun.blended(values, level, &self.noise(0)) {
            Some(blended) => self.upload(blended).await,
            None => Ok(latents),
        }
    }

    fn noise(&self, draw: u32) -> Vec<f32> {
        let count = self.shape.iter().product();
        let noise = randn(self.seed, draw, count);
        match self.variation.filter(|_| draw == 0) {
            Some(Variation { seed, strength }) => turned(&noise, &randn(seed, 0, count), strength),
            None => noise,
        }
    }
}

/// Gives each line of `width` values the length (Euclid's) that the line has in `wanted`; one of zeros stays.
fn rescale(values: &mut [f32], wanted: &[f32], width: usize) {
    let length = |line: &[f32]| {
        line.iter()
            .map(|x| f64::from(*x).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let width = width.max(1);
    for (line, wanted) in values.chunks_mut(width).zip(wanted.chunks(width)) {
        let own = length(line);
        if own > 0.0 {
            let factor = (length(wanted) / own) as f32;
            line.iter_mut().for_each(|x| *x *= factor);
        }
    }
}

/// A picture between two steps.
pub(super) struct Steps<'p> {
    course: Course<'p>,
    done: u32,
    /// Evaluations of the steps done.
    evaluated: u32,
    latents: Value,
    kept: [Option<Value>; KEPT],
}

impl<'p> Steps<'p> {
    /// From noise, or from a checkpoint.
    pub async fn begin(course: Course<'p>, resume: Option<Checkpoint>) -> Result<Self> {
        let mut kept = [const { None }; KEPT];
        let Some(checkpoint) = resume else {
            let scale = course.program.initial_scale;
            let noise = course.noise(0);
            let first = course.program.evaluations().next();
            let level = first.map_or(NO_NOISE, |evaluation| evaluation.level);
            let start = match course.begun.filter(|begun| !begun.is_noise_first()) {
                Some(begun) => begun.mixed(level, &noise),
                None => noise.into_iter().map(|x| x * scale).collect(),
            };
            return Ok(Self {
                latents: course.upload(start).await?,
                course,
                done: 0,
                evaluated: 0,
                kept,
            });
        };
        course.check(&checkpoint)?;
        let step = checkpoint.step as usize;
        let registers = course.program.kept_before(step);
        for (register, values) in registers.into_iter().zip(checkpoint.registers) {
            if let Some(place) = kept.get_mut(register) {
                *place = Some(course.upload(values).await?);
            }
        }
        let done = course.program.steps.iter().take(step);
        Ok(Self {
            latents: course.upload(checkpoint.latents).await?,
            course,
            done: checkpoint.step,
            evaluated: done.map(|step| step.len() as u32).sum(),
            kept,
        })
    }

    /// Steps done.
    pub fn done(&self) -> u32 {
        self.done
    }

    /// The latents after the last step.
    pub fn latents(&self) -> &Value {
        &self.latents
    }

    /// Takes a step. With `picture` it gives the picture that the last answer says, as latents. `denoise` is told whether the
    /// guidance acts, and need not ask about the negative prompt where it does not.
    pub async fn step<F>(
        &mut self,
        denoise: F,
        picture: bool,
        cancel: &Cancel,
    ) -> Result<Option<Value>>
    where
        F: AsyncFn(&Value, &Evaluation, bool) -> Result<Answered>,
    {
        let course = self.course;
        let Some(evaluations) = course.program.steps.get(self.done as usize) else {
            return Err(Error::engine("a step after the last one"));
        };
        let steps = course.program.steps.len() as u32;
        let guided = course
            .guided
            .is_none_or(|part| part.holds(self.done, steps));
        let scale = if guided { course.guidance_scale } else { 1.0 };
        let mut denoised = None;
        for (index, evaluation) in evaluations.iter().enumerate() {
            if index > 0 {
                pause(cancel).await?;
            }
            let mut answered = denoise(&self.latents, evaluation, guided).await?;
            if course.rescaled {
                answered = course.rescaled(answered, scale).await?;
            }
            self.evaluated += 1;
            let noise = if evaluation.draws() {
                Some(course.upload(course.noise(self.evaluated)).await?)
            } else {
                None
            };
            let mut values = Values {
                course,
                latents: &self.latents,
                answer: Operand::Answer(answered.as_answer(scale)),
                noise,
                clamped: None,
                kept: &self.kept,
            };
            if let Some((sum, limit)) = &evaluation.clamped {
                values.clamped = Some(values.sum(sum, Some(*limit)).await?);
            }
            if picture && index + 1 == evaluations.len() {
                denoised = Some(values.sum(&evaluation.denoised, None).await?);
            }
            let next = values.sum(&evaluation.latents, None).await?;
            let mut kept = self.kept.clone();
            for (register, sum) in &evaluation.kept {
                if let Some(place) = kept.get_mut(*register) {
                    *place = Some(values.sum(sum, None).await?);
                }
            }
            self.latents = course.masked(next, self.evaluated).await?;
            self.kept = kept;
        }
        self.done += 1;
        Ok(denoised)
    }

    /// Reads back what the rest of the picture depends on.
    pub async fn checkpoint(&self) -> Result<Checkpoint> {
        let read = async |value: Value| value.into_tensor().await?.into_f32();
        let mut registers = Vec::new();
        for register in self.course.program.kept_before(self.done as usize) {
            let value = self.kept.get(register).cloned().flatten();
            registers.push(read(value.ok_or_else(|| unwritten(register))?).await?);
        }
        Ok(Checkpoint {
            step: self.done,
            latents: read(self.latents.clone()).await?,
            registers,
        })
    }
}

fn unwritten(register: usize) -> Error {
    Error::engine(format!(
        "the scheduler reads register {register} before it is written"
    ))
}

/// The registers while an evaluation's sums are written.
struct Values<'v> {
    course: Course<'v>,
    latents: &'v Value,
    answer: Operand<'v>,
    noise: Option<Value>,
    clamped: Option<Value>,
    kept: &'v [Option<Value>; KEPT],
}

impl Values<'_> {
    fn operand(&self, register: Register) -> Result<Operand<'_>> {
        let value = match register {
            Register::Latents => Some(self.latents),
            Register::Answer => return Ok(self.answer),
            Register::Noise => self.noise.as_ref(),
            Register::Clamped => self.clamped.as_ref(),
            Register::Kept(index) => {
                let value = self.kept.get(index).and_then(Option::as_ref);
                return value.map(Operand::Value).ok_or_else(|| unwritten(index));
            }
        };
        value
            .map(Operand::Value)
            .ok_or_else(|| Error::engine(format!("the scheduler reads {register:?} of nothing")))
    }

    async fn sum(&self, sum: &Sum, limit: Option<f64>) -> Result<Value> {
        let mut terms: Vec<Term<'_>> = sum
            .terms()
            .map(|(register, share)| {
                let turned = register == Register::Answer && self.course.negated;
                let share = if turned { -share } else { share };
                Ok((share as f32, self.operand(register)?))
            })
            .collect::<Result<_>>()?;
        if terms.is_empty() {
            terms.push((0.0, Operand::Value(self.latents)));
        }
        if let ([(1.0, Operand::Value(value))], None) = (&terms[..], limit) {
            return Ok((*value).clone());
        }
        let form = Form {
            limit: limit.map(|x| x as f32),
            ..Form::default()
        };
        self.course.stepper.linear(&terms, form).await
    }
}

#[cfg(test)]
mod tests {
    use super::rescale;

    #[test]
    fn lines_get_the_lengths_of_others() {
        let mut values = [3.0, 4.0, 0.0, 0.0, -6.0, 8.0];
        rescale(&mut values, &[0.0, 1.0, 2.0, 3.0, 12.0, 5.0], 2);
        let expected = [0.6, 0.8, 0.0, 0.0, -7.8, 10.4];
        for (ours, expected) in values.iter().zip(expected) {
            assert!((ours - expected).abs() < 1e-6, "{values:?}");
        }
    }
}
