//! Functions of one value.

use crate::config::Members;
use crate::error::Result;
use crate::network::{Scope, Value};

/// A function between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    Relu,
    Silu,
    /// With the error function.
    Gelu,
    /// With a hyperbolic tangent in its place.
    GeluTanh,
    /// `x · sigmoid(1.702 x)`, of the first CLIP.
    QuickGelu,
}

impl Activation {
    /// The one that a member names, or the class's default.
    pub fn read(members: &mut Members, name: &str, default: Self) -> Result<Self> {
        let Some(stated) = members.get::<String>(name)? else {
            return Ok(default);
        };
        let found = Self::named(&stated);
        found.ok_or_else(|| members.wrong(name, stated, "no such function is built"))
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "relu" => Self::Relu,
            "silu" | "swish" => Self::Silu,
            "gelu" => Self::Gelu,
            "gelu_pytorch_tanh" | "gelu_new" => Self::GeluTanh,
            "quick_gelu" => Self::QuickGelu,
            _ => return None,
        })
    }
}

impl Scope<'_, '_> {
    /// The function of every element, written as the engines fuse it into the operator before.
    pub fn activated(&mut self, x: Value, activation: Activation) -> Value {
        match activation {
            Activation::Relu => self.node("Relu", &[x], &[]),
            Activation::Silu => {
                let gate = self.node("Sigmoid", &[x], &[]);
                self.multiply(x, gate)
            }
            Activation::Gelu => {
                let root = self.number(std::f32::consts::SQRT_2);
                let scaled = self.divide(x, root);
                let erf = self.node("Erf", &[scaled], &[]);
                let one = self.number(1.0);
                let sum = self.add(erf, one);
                let product = self.multiply(x, sum);
                let half = self.number(0.5);
                self.multiply(product, half)
            }
            Activation::GeluTanh => self.node("Gelu", &[x], &[("approximate", "tanh".into())]),
            Activation::QuickGelu => {
                let factor = self.number(1.702);
                let scaled = self.multiply(x, factor);
                let gate = self.node("Sigmoid", &[scaled], &[]);
                self.multiply(x, gate)
            }
        }
    }
}
