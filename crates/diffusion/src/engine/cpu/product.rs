//! The product that a processor's speed is measured with.

use rten::FloatOperators;
use rten_tensor::{AsView, NdTensor};

use crate::error::{Error, Result};

/// A square matrix product of 32-bit floats on the engine's own kernel.
pub struct Product {
    side: usize,
    a: NdTensor<f32, 2>,
    b: NdTensor<f32, 2>,
}

impl Product {
    /// `[side, side] · [side, side]`; no element is zero.
    pub fn new(side: usize) -> Self {
        let matrix = |period: usize| {
            NdTensor::from_fn([side, side], |[row, column]| {
                ((row * side + column) % period + 1) as f32 / period as f32
            })
        };
        Self {
            side,
            a: matrix(17),
            b: matrix(13),
        }
    }

    /// Multiplications and additions.
    pub fn flops(&self) -> u64 {
        2 * (self.side as u64).pow(3)
    }

    /// Computes it once; the sum of the diagonal.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Engine`].
    pub fn run(&self) -> Result<f32> {
        let product = self
            .a
            .matmul(self.b.as_dyn())
            .map_err(|error| Error::engine(error.to_string()))?;
        Ok((0..self.side).map(|i| product[[i, i]]).sum())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_is_the_product() {
        let product = Product::new(24);
        let (a, b) = (&product.a, &product.b);
        let diagonal = |i: usize| (0..24).map(|k| a[[i, k]] * b[[k, i]]).sum::<f32>();
        let want: f32 = (0..24).map(diagonal).sum();
        let got = product.run().unwrap();
        assert!((got - want).abs() < 1e-3 * want, "{got}, not {want}");
        assert_eq!(product.flops(), 27_648);
    }
}
