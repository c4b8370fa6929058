//! Elementwise operators: unary, broadcast binary, select, cast.

use super::{Elem, Launch};
use crate::{Error, ErrorKind, Result};

/// Functions of one value. On `I32` only the integer ones are accepted, on `Bool` only `Not`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "named after the ONNX operators")]
pub enum UnaryOp {
    Identity,
    Neg,
    Abs,
    Sign,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
    Tanh,
    Sigmoid,
    Relu,
    LeakyRelu(f32),
    ThresholdedRelu(f32),
    Elu(f32),
    Celu(f32),
    Selu { alpha: f32, gamma: f32 },
    Gelu,
    GeluTanh,
    QuickGelu(f32),
    Silu,
    Mish,
    Erf,
    Floor,
    Ceil,
    /// Half to even.
    Round,
    Softplus,
    Softsign,
    HardSigmoid { alpha: f32, beta: f32 },
    HardSwish,
    Clip { min: f32, max: f32 },
    ClipInt { min: i32, max: i32 },
    /// `Bool` in, `Bool` out.
    Not,
    /// `F32` in, `Bool` out.
    IsNan,
    /// `F32` in, `Bool` out.
    IsInf { negative: bool, positive: bool },
    /// `scale * x + shift`.
    Affine { scale: f32, shift: f32 },
}

/// Functions of two values with ONNX broadcasting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the ONNX operators")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Min,
    Max,
    /// Sign of the divisor (`Mod` with `fmod = 0`).
    Mod,
    /// Sign of the dividend (`Mod` with `fmod = 1`).
    Fmod,
    Prelu,
    /// Comparisons give `Bool`.
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// On `Bool`.
    And,
    Or,
    Xor,
}

/// One input of `len` elements of `elem`, one output.
pub fn unary(_op: UnaryOp, _elem: Elem, _len: usize) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "unary"))
}

/// Inputs A, B of `elem`; the output has the broadcast shape `out`.
pub fn binary(
    _op: BinaryOp,
    _elem: Elem,
    _a: &[usize],
    _b: &[usize],
    _out: &[usize],
) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "binary"))
}

/// ONNX `Where`: inputs condition (`Bool`), X, Y (any 32-bit element), broadcast to `out`.
pub fn select(_cond: &[usize], _x: &[usize], _y: &[usize], _out: &[usize]) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "select"))
}

/// One input of `len` elements of `from`, one output of `to`.
pub fn cast(_from: Elem, _to: Elem, _len: usize) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "cast"))
}
