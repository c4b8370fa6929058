//! `FeedForward` of diffusers with `gelu-approximate`.

use super::Activation;
use super::language::parts_of;
use crate::error::Result;
use crate::network::{Scope, Value};

impl Scope<'_, '_> {
    /// Rows through an inner layer, which is computed in parts that are not wider than `widest`.
    pub fn feed_forward(
        &mut self,
        rows: Value,
        [width, inner]: [usize; 2],
        widest: usize,
    ) -> Result<Value> {
        let mut sum = self.at("net.2").weight("bias", &[width])?;
        for (start, size) in parts_of(inner, widest) {
            let columns = [width, inner];
            let mut layer = self.at("net.0.proj");
            let hidden = layer.linear_part(rows, columns, start..start + size)?;
            let hidden = layer.activated(hidden, Activation::GeluTanh);
            let mut back = self.at("net.2");
            let matrix = back.weight_columns("weight", columns, start, size)?;
            sum = back.product(hidden, matrix, Some(sum));
        }
        Ok(sum)
    }
}
