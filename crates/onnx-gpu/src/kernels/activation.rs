//! Activation functions fused into the epilogue of matmul, convolution and norms.

use super::elementwise::UnaryOp;
use super::math;

/// Applied to every output after bias; parameters live in the uniform, the function in the pipeline key.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// Identity.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x < 0 ? alpha * x : x`.
    LeakyRelu(f32),
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// Exact GELU, by `erf`.
    Gelu,
    /// GELU by its `tanh` form.
    GeluTanh,
    /// Logistic function.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `min(max(x, lo), hi)`.
    Clip(f32, f32),
    /// `x * max(0, min(1, x / 6 + 0.5))`.
    HardSwish,
}

impl Activation {
    fn op(self) -> UnaryOp {
        match self {
            Self::None => UnaryOp::Identity,
            Self::Relu => UnaryOp::Relu,
            Self::LeakyRelu(alpha) => UnaryOp::LeakyRelu(alpha),
            Self::Silu => UnaryOp::Silu,
            Self::QuickGelu => UnaryOp::QuickGelu(1.702),
            Self::Gelu => UnaryOp::Gelu,
            Self::GeluTanh => UnaryOp::GeluTanh,
            Self::Sigmoid => UnaryOp::Sigmoid,
            Self::Tanh => UnaryOp::Tanh,
            Self::Clip(min, max) => UnaryOp::Clip { min, max },
            Self::HardSwish => UnaryOp::HardSwish,
        }
    }

    /// Name for pipeline keys.
    pub(super) fn key(self) -> &'static str {
        self.op().spec().name
    }

    /// The two uniform words that [`Self::wgsl`] reads as `p.x` and `p.y`.
    pub(super) fn words(self) -> [u32; 2] {
        self.op().spec().params
    }

    /// `fn activate(x: vec4<f32>, p: vec2<f32>) -> vec4<f32>` with its helpers.
    pub(super) fn wgsl(self) -> String {
        let body = self.op().spec().float;
        format!(
            "{}\nfn activate(x: vec4<f32>, p: vec2<f32>) -> vec4<f32> {{\n    return {body};\n}}\n",
            math::helpers(body)
        )
    }
}
