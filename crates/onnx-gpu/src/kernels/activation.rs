//! Activation functions fused into the epilogue of matmul, convolution and norms.

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
