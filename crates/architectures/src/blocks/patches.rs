//! Latents as tokens of two down and two across.

use crate::network::{Scope, Value};

/// Latents down and across that are one token.
pub(crate) const PATCH: usize = 2;

/// Which number of a token comes behind which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Channel, row, column: as a convolution's weights lie.
    Channels,
    /// Row, column, channel.
    Places,
}

impl Scope<'_, '_> {
    /// Tokens down and across of latents `[1, channels, h, w]`, `[1]` each.
    pub fn grid(&mut self, latents: Value) -> [Value; 2] {
        let patch = self.integers(&[PATCH as i64]);
        [2, 3].map(|axis: i64| {
            let attributes = [("start", axis.into()), ("end", (axis + 1).into())];
            let size = self.node("Shape", &[latents], &attributes);
            self.divide(size, patch)
        })
    }

    /// Rows `[tokens, channels · 4]` of latents, a token's numbers in this order.
    pub fn packed(
        &mut self,
        latents: Value,
        [down, across]: [Value; 2],
        channels: usize,
        order: Order,
    ) -> Value {
        let [lead, patch] = [channels, PATCH].map(|size| self.integers(&[size as i64]));
        let shape = [lead, down, patch, across, patch];
        let shape = self.node("Concat", &shape, &[("axis", 0.into())]);
        let split = self.node("Reshape", &[latents, shape], &[]);
        let perm = match order {
            Order::Channels => [1, 3, 0, 2, 4],
            Order::Places => [1, 3, 2, 4, 0],
        };
        let turned = self.node("Transpose", &[split], &[("perm", perm.into())]);
        self.rows(turned, PATCH * PATCH * channels)
    }

    /// Latents `[1, channels, h, w]` of rows whose numbers are in this order.
    pub fn unpacked(
        &mut self,
        rows: Value,
        [down, across]: [Value; 2],
        channels: usize,
        order: Order,
    ) -> Value {
        let [one, lead, patch] = [1, channels, PATCH].map(|size| self.integers(&[size as i64]));
        let (shape, perm) = match order {
            Order::Channels => ([down, across, lead, patch, patch], [2, 0, 3, 1, 4]),
            Order::Places => ([down, across, patch, patch, lead], [4, 0, 2, 1, 3]),
        };
        let shape = self.node("Concat", &shape, &[("axis", 0.into())]);
        let split = self.node("Reshape", &[rows, shape], &[]);
        let turned = self.node("Transpose", &[split], &[("perm", perm.into())]);
        let [height, width] = [down, across].map(|side| self.multiply(side, patch));
        let shape = [one, lead, height, width];
        let shape = self.node("Concat", &shape, &[("axis", 0.into())]);
        self.node("Reshape", &[turned, shape], &[])
    }
}
