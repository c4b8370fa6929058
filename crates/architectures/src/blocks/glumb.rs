//! `GLUMBConv` of diffusers: a gated layer of convolutions (Xie et al., arXiv:2410.10629).

use super::{Activation, Window};
use crate::error::Result;
use crate::network::{Scope, Value};

impl Scope<'_, '_> {
    /// Planes of `from` channels through twice `inner` to planes of `to`. The halves are computed apart: together they are larger than
    /// what many devices bind.
    pub fn gated_convolutions(
        &mut self,
        planes: Value,
        [from, inner, to]: [usize; 3],
    ) -> Result<Value> {
        let [value, gate] = [0, 1].map(|half| {
            let rows = half * inner..(half + 1) * inner;
            let first = Window::centred(1);
            let wide = self.at("conv_inverted").convolution_part(
                planes,
                [from, 2 * inner],
                rows.clone(),
                first,
            )?;
            let active = self.activated(wide, Activation::Silu);
            let each = Window::centred(3).each(inner);
            self.at("conv_depth")
                .convolution_part(active, [2 * inner; 2], rows, each)
        });
        let gate = self.activated(gate?, Activation::Silu);
        let product = self.multiply(value?, gate);
        self.at("conv_point")
            .convolution(product, [inner, to], Window::centred(1).plain())
    }
}
