//! Times and other numbers as waves, and the layers behind them.

use super::Activation;
use crate::error::Result;
use crate::network::{Scope, Value};

/// How a number becomes waves: `Timesteps` of diffusers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Waves {
    /// Sines and cosines together, an even number.
    pub width: usize,
    /// Whether the cosines come first.
    pub cosines_first: bool,
    /// Taken off the number of frequencies by which the last one is found.
    pub shift: f64,
}

impl Waves {
    /// The frequencies from 1 down to a ten-thousandth, computed as diffusers does, in 32 bits.
    fn frequencies(self) -> Vec<f32> {
        let half = self.width / 2;
        let scale = -(10_000f64.ln() as f32);
        let count = (half as f64 - self.shift) as f32;
        (0..half)
            .map(|i| (scale * i as f32 / count).exp())
            .collect()
    }
}

impl Scope<'_, '_> {
    /// Numbers `[.., 1]` as waves `[.., width]`; a scalar as one row.
    pub fn waves(&mut self, x: Value, waves: Waves) -> Value {
        let half = waves.width / 2;
        let frequencies = self.floats(&[1, half], &waves.frequencies());
        let angles = self.multiply(x, frequencies);
        let sines = self.node("Sin", &[angles], &[]);
        let cosines = self.node("Cos", &[angles], &[]);
        let both = if waves.cosines_first {
            [cosines, sines]
        } else {
            [sines, cosines]
        };
        self.node("Concat", &both, &[("axis", (-1).into())])
    }

    /// `TimestepEmbedding` of diffusers: two layers.
    pub fn embedded(
        &mut self,
        rows: Value,
        [from, to]: [usize; 2],
        activation: Activation,
    ) -> Result<Value> {
        let inner = self.at("linear_1").linear(rows, [from, to], true)?;
        let inner = self.activated(inner, activation);
        self.at("linear_2").linear(inner, [to; 2], true)
    }

    /// `CombinedTimestepTextProjEmbeddings` of diffusers, and with a guidance scale its other form: time and pooled text `[1, from]` as one
    /// row `[1, to]`, behind the activation with which every block reads it.
    pub fn time_and_text(
        &mut self,
        [time, pooled]: [Value; 2],
        guidance: Option<Value>,
        [from, to]: [usize; 2],
    ) -> Result<Value> {
        let waves = Waves {
            width: 256,
            cosines_first: true,
            shift: 0.0,
        };
        let mut row = self
            .at("text_embedder")
            .embedded(pooled, [from, to], Activation::Silu)?;
        for (module, number) in [
            ("timestep_embedder", Some(time)),
            ("guidance_embedder", guidance),
        ] {
            let Some(number) = number else { continue };
            let number = self.reshaped(number, &[1, 1]);
            let waves_of_it = self.waves(number, waves);
            let own = self
                .at(module)
                .embedded(waves_of_it, [waves.width, to], Activation::Silu)?;
            row = self.add(row, own);
        }
        Ok(self.activated(row, Activation::Silu))
    }
}
