//! Convolutions of planes.

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
}

impl Window {
    /// An odd side, which leaves sizes as they are.
    pub fn centred(side: usize) -> Self {
        Self {
            side,
            stride: 1,
            padding: [side / 2; 2],
            bias: true,
        }
    }

    /// Three by three, of which every second one is left out; by PyTorch's padding, or zeros behind the last alone where that is 0.
    pub fn halving(padding: usize) -> Self {
        Self {
            side: 3,
            stride: 2,
            padding: if padding == 0 { [0, 1] } else { [padding; 2] },
            bias: true,
        }
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
    /// PyTorch's `Conv2d`: `weight` `[to, from, side, side]` and, if it has one, `bias` `[to]`.
    pub fn convolution(
        &mut self,
        x: Value,
        [from, to]: [usize; 2],
        window: Window,
    ) -> Result<Value> {
        let Window {
            side,
            stride,
            padding: [before, behind],
            bias,
        } = window;
        let mut inputs = vec![x, self.weight("weight", &[to, from, side, side])?];
        if bias {
            inputs.push(self.weight("bias", &[to])?);
        }
        let [side, stride, before, behind] = [side, stride, before, behind].map(|size| size as i64);
        let attributes = [
            ("kernel_shape", [side; 2].into()),
            ("strides", [stride; 2].into()),
            ("pads", [before, before, behind, behind].into()),
        ];
        Ok(self.node("Conv", &inputs, &attributes))
    }
}
