//! A scheduler as a program over registers: what its formulas leave when everything but latents and answers is known.
//!
//! Every scheduler here is affine: an evaluation of the denoiser writes the latents, and registers that are kept beside them,
//! as sums of latents, answer, noise and registers. A sampler says its formulas once, over [`Sum`]s in place of tensors; the
//! shares that come out are the program.

use std::collections::BTreeSet;
use std::ops::{Add, Div, Mul, Sub};

/// Registers beside the latents.
pub const KEPT: usize = 4;
/// Registers of a sum.
const REGISTERS: usize = 4 + KEPT;

/// What a sum is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// The latents before the evaluation.
    Latents,
    /// The guided answer of the denoiser.
    Answer,
    /// Noise of variance 1, drawn for the evaluation.
    Noise,
    /// What [`Evaluation::clamped`] gives.
    Clamped,
    /// A value that an earlier evaluation kept.
    Kept(usize),
}

/// A sum of registers, each with its share.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum([f64; REGISTERS]);

impl Sum {
    /// A register alone.
    pub fn of(register: Register) -> Self {
        let mut shares = [0.0; REGISTERS];
        shares[place(register)] = 1.0;
        Self(shares)
    }

    /// The share of a register.
    pub fn share(&self, register: Register) -> f64 {
        self.0[place(register)]
    }

    /// The registers that have a share.
    pub fn terms(&self) -> impl Iterator<Item = (Register, f64)> {
        use Register::{Answer, Clamped, Kept, Latents, Noise};
        let registers = [Latents, Answer, Noise, Clamped]
            .into_iter()
            .chain((0..KEPT).map(Kept));
        registers.zip(self.0).filter(|(_, share)| *share != 0.0)
    }

    /// The sum of numbers in the registers' places.
    pub fn at(&self, value: impl Fn(Register) -> f64) -> f64 {
        self.terms()
            .map(|(register, share)| share * value(register))
            .sum()
    }

    fn kept(&self) -> impl Iterator<Item = usize> {
        self.terms().filter_map(|(register, _)| match register {
            Register::Kept(index) => Some(index),
            _ => None,
        })
    }
}

fn place(register: Register) -> usize {
    match register {
        Register::Latents => 0,
        Register::Answer => 1,
        Register::Noise => 2,
        Register::Clamped => 3,
        Register::Kept(index) => 4 + index.min(KEPT - 1),
    }
}

impl Add for Sum {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
}

impl Sub for Sum {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }
}

impl Mul<f64> for Sum {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self(self.0.map(|share| share * factor))
    }
}

impl Div<f64> for Sum {
    type Output = Self;
    fn div(self, by: f64) -> Self {
        Self(self.0.map(|share| share / by))
    }
}

/// One evaluation of the denoiser and what is written after it. Every sum is of the values from before.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// What the denoiser is told of the time.
    pub timestep: f32,
    /// What the latents are multiplied with on their way into the denoiser.
    pub input_scale: f32,
    /// Shares of a picture and of noise of variance 1 in latents of its time: what a picture that is begun with is mixed by.
    pub level: [f64; 2],
    /// A sum that is cut off on both sides of 0, and where; the other sums have it as [`Register::Clamped`].
    pub clamped: Option<(Sum, f64)>,
    /// The latents after it.
    pub latents: Sum,
    /// Registers that change, with what they become.
    pub kept: Vec<(usize, Sum)>,
    /// The picture as the denoiser expects it from here.
    pub denoised: Sum,
}

impl Evaluation {
    /// At `timestep`, from latents to `latents`; `denoised` is the picture that the answer says.
    pub fn new(timestep: f64, latents: Sum, denoised: Sum) -> Self {
        Self {
            timestep: timestep as f32,
            input_scale: 1.0,
            level: [0.0, 1.0],
            clamped: None,
            latents,
            kept: Vec::new(),
            denoised,
        }
    }

    /// With a picture that is cut off, see [`Self::clamped`].
    #[must_use]
    pub fn clamping(mut self, clamped: Option<(Sum, f64)>) -> Self {
        self.clamped = clamped;
        self
    }

    /// With a factor for the latents that the denoiser sees.
    #[must_use]
    pub fn scaled(mut self, input_scale: f64) -> Self {
        self.input_scale = input_scale as f32;
        self
    }

    /// With the shares of picture and noise in what it takes, see [`Self::level`].
    #[must_use]
    pub fn at_level(mut self, picture: f64, noise: f64) -> Self {
        self.level = [picture, noise];
        self
    }

    /// With registers that it writes.
    #[must_use]
    pub fn keeping(mut self, kept: Vec<(usize, Sum)>) -> Self {
        self.kept = kept;
        self
    }

    fn sums(&self) -> impl Iterator<Item = &Sum> {
        let clamped = self.clamped.iter().map(|(sum, _)| sum);
        let kept = self.kept.iter().map(|(_, sum)| sum);
        clamped.chain([&self.latents, &self.denoised]).chain(kept)
    }

    /// Whether it draws noise.
    pub fn draws(&self) -> bool {
        self.sums().any(|sum| sum.share(Register::Noise) != 0.0)
    }
}

/// The work of a whole picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// What the noise of variance 1 is multiplied with at first.
    pub initial_scale: f32,
    /// The steps, from noise to picture, each of one evaluation or more.
    pub steps: Vec<Vec<Evaluation>>,
}

impl Program {
    /// The program without what no later evaluation reads: samplers keep more than their last steps need, and pass registers
    /// on before their first have written them.
    pub fn new(initial_scale: f64, mut steps: Vec<Vec<Evaluation>>) -> Self {
        let mut read = BTreeSet::new();
        for evaluation in steps.iter_mut().flatten().rev() {
            evaluation
                .kept
                .retain(|(register, _)| read.contains(register));
            for (register, _) in &evaluation.kept {
                read.remove(register);
            }
            read.extend(evaluation.sums().flat_map(Sum::kept));
        }
        Self {
            initial_scale: initial_scale as f32,
            steps,
        }
    }

    /// Steps of one evaluation each.
    pub fn of_single(
        initial_scale: f64,
        evaluations: impl IntoIterator<Item = Evaluation>,
    ) -> Self {
        let steps = evaluations.into_iter().map(|one| vec![one]).collect();
        Self::new(initial_scale, steps)
    }

    /// The evaluations of all steps.
    pub fn evaluations(&self) -> impl Iterator<Item = &Evaluation> {
        self.steps.iter().flatten()
    }

    /// The registers whose values steps from `step` on need of those before, in ascending order.
    pub fn kept_before(&self, step: usize) -> Vec<usize> {
        let (mut needed, mut written) = (BTreeSet::new(), BTreeSet::new());
        for evaluation in self.steps.iter().skip(step).flatten() {
            let read = evaluation.sums().flat_map(Sum::kept);
            needed.extend(read.filter(|register| !written.contains(register)));
            written.extend(evaluation.kept.iter().map(|(register, _)| *register));
        }
        needed.into_iter().collect()
    }

    /// Whether noise is drawn on the way.
    pub fn draws(&self) -> bool {
        self.evaluations().any(Evaluation::draws)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Register 0 is handed from step to step; 1 lives within a step.
    #[test]
    fn what_later_steps_read_is_kept() {
        let kept = |index| Sum::of(Register::Kept(index));
        let x = Sum::of(Register::Latents);
        let write = |register| Evaluation::new(0.0, x, x).keeping(vec![(register, x)]);
        let passed_on = vec![(3, kept(2)), (2, kept(0)), (0, x)];
        let steps = vec![
            vec![Evaluation::new(0.0, x, x).keeping(passed_on)],
            vec![write(1), Evaluation::new(0.0, kept(1), x)],
            vec![Evaluation::new(0.0, x + kept(0), x)],
            vec![write(0)],
        ];
        let program = Program::new(1.0, steps);
        let kept: Vec<_> = program.evaluations().map(|e| e.kept.clone()).collect();
        assert_eq!(kept, [vec![(0, x)], vec![(1, x)], vec![], vec![], vec![]]);
        assert_eq!(program.kept_before(0), [0; 0]);
        assert_eq!(program.kept_before(1), [0]);
        assert_eq!(program.kept_before(2), [0]);
        assert_eq!(program.kept_before(3), [0; 0]);
    }
}
