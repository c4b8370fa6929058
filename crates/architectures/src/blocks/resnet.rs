//! `ResnetBlock2D` of diffusers.

use super::{Activation, Groups, Window};
use crate::error::Result;
use crate::network::{Scope, Value};

/// What the residual blocks of a network have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Resnet {
    pub groups: Groups,
    pub activation: Activation,
    /// Rows of the embedded time behind the activation, and their width.
    pub time: Option<(Value, usize)>,
}

impl Scope<'_, '_> {
    /// Planes of `from` channels to planes of `to`.
    pub fn resnet(&mut self, x: Value, [from, to]: [usize; 2], kind: &Resnet) -> Result<Value> {
        let normal = self.at("norm1").group_norm(x, from, kind.groups)?;
        let active = self.activated(normal, kind.activation);
        let mut hidden = self
            .at("conv1")
            .convolution(active, [from, to], Window::centred(3))?;
        if let Some((time, width)) = kind.time {
            let time = self.at("time_emb_proj").linear(time, [width, to], true)?;
            let time = self.reshaped(time, &[-1, to as i64, 1, 1]);
            hidden = self.add(hidden, time);
        }
        let normal = self.at("norm2").group_norm(hidden, to, kind.groups)?;
        let active = self.activated(normal, kind.activation);
        let hidden = self
            .at("conv2")
            .convolution(active, [to; 2], Window::centred(3))?;
        let beside = if from == to {
            x
        } else {
            self.at("conv_shortcut")
                .convolution(x, [from, to], Window::centred(1))?
        };
        Ok(self.add(hidden, beside))
    }
}
