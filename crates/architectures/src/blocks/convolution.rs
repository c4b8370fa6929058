//! Convolutions of planes.

use std::ops::Range;

use crate::error::Result;
use crate::network::{Scope, Value};

/// What a convolution looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Height and width.
    pub side: usize,
    /// Steps between two of them.
    pub stride: usize,
    /// Zeros before the first row and column, and behind the last.
    pub padding: [usize; 2],
    /// Whether a number is added to each plane.
    pub bias: bool,
    /// Groups of channels, which see nothing of each other.
    pub groups: usize,
}

impl Window {
    /// An odd side, which leaves sizes as they are.
    pub fn centred(side: usize) -> Self {
        Self {
            side,
            stride: 1,
            padding: [side / 2; 2],
            bias: true,
            groups: 1,
        }
    }

    /// Three by three, of which every second one is left out; by PyTorch's padding, or zeros behind the last alone where that is 0.
    pub fn halving(padding: usize) -> Self {
        Self {
            side: 3,
            stride: 2,
            padding: if padding == 0 { [0, 1] } else { [padding; 2] },
            bias: true,
            groups: 1,
        }
    }

    /// In so many groups of channels; as many as there are channels: each by itself.
    pub fn each(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Without a number that is added.
    pub fn plain(self) -> Self {
        Self {
            bias: false,
            ..self
        }
    }
}

impl Scope<'_, '_> {
    /// PyTorch's `Conv2d`: `weight` `[to, from / groups, side, side]` and, if it has one, `bias` `[to]`.
    pub fn convolution(&mut self, x: Value, channels: [usize; 2], window: Window) -> Result<Value> {
        self.convolution_part(x, channels, 0..channels[1], window)
    }

    /// PyTorch's `Linear` of the channels of each pixel, without bias: `weight` `[to, from]`.
    pub fn pointwise(&mut self, x: Value, [from, to]: [usize; 2]) -> Result<Value> {
        let weight = self.weight_as("weight", &[to, from], &[to, from, 1, 1])?;
        let attributes = [("kernel_shape", [1; 2].into()), ("strides", [1; 2].into())];
        Ok(self.node("Conv", &[x, weight], &attributes))
    }

    /// The part of [`Self::convolution`] that makes the channels `to` of `all`; in groups, of those that are as many.
    pub fn convolution_part(
        &mut self,
        x: Value,
        [from, all]: [usize; 2],
        to: Range<usize>,
        window: Window,
    ) -> Result<Value> {
        let Window {
            side,
            stride,
            padding: [before, behind],
            bias,
            groups,
        } = window;
        // A part of the channels has a part of the groups.
        let within = if groups == 1 {
            from
        } else {
            from / (groups * all / to.len().max(1)).max(1)
        };
        let shape = [all, within, side, side];
        let mut inputs = vec![x, self.weight_rows("weight", &shape, to.clone())?];
        if bias {
            inputs.push(self.weight_rows("bias", &[all], to)?);
        }
        let [side, stride, before, behind] = [side, stride, before, behind].map(|size| size as i64);
        let mut attributes = vec![
            ("kernel_shape", [side; 2].into()),
            ("strides", [stride; 2].into()),
            ("pads", [before, before, behind, behind].into()),
        ];
        if groups > 1 {
            attributes.push(("group", (groups as i64).into()));
        }
        Ok(self.node("Conv", &inputs, &attributes))
    }
}
