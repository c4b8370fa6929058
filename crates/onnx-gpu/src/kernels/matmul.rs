//! Batched matrix product with bias and activation.

use super::{Activation, AdapterClass, Launch};
use crate::{Error, ErrorKind, Result};

/// Where the bias of output element `(batch, row, col)` lies: `batch·s0 + row·s1 + col·s2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bias {
    /// Elements per output matrix, 0 if every matrix shares the bias.
    pub batch_stride: usize,
    /// Elements per row, 0 if every row shares the bias.
    pub row_stride: usize,
    /// 1, or 0 if every column shares the bias.
    pub col_stride: usize,
}

/// `out = activation(alpha · A·B + beta · bias)` over row-major matrices.
#[derive(Clone, Debug, PartialEq)]
pub struct MatMul {
    /// Rows of the product.
    pub m: usize,
    /// Columns of the product.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// A is stored as `[k, m]`.
    pub trans_a: bool,
    /// B is stored as `[n, k]`.
    pub trans_b: bool,
    /// Leading axes of the output.
    pub batch: Vec<usize>,
    /// Leading axes of A, broadcast to `batch`.
    pub a_batch: Vec<usize>,
    /// Leading axes of B, broadcast to `batch`.
    pub b_batch: Vec<usize>,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of the bias.
    pub beta: f32,
    /// A third input added to the product.
    pub bias: Option<Bias>,
    /// Applied last.
    pub activation: Activation,
}

impl MatMul {
    /// A plain `[m, k] × [k, n]` product.
    pub fn new(m: usize, n: usize, k: usize) -> Self {
        Self {
            m,
            n,
            k,
            trans_a: false,
            trans_b: false,
            batch: Vec::new(),
            a_batch: Vec::new(),
            b_batch: Vec::new(),
            alpha: 1.0,
            beta: 1.0,
            bias: None,
            activation: Activation::None,
        }
    }
}

/// Inputs A, B and, with [`MatMul::bias`], the bias; the output is `[batch.., m, n]`. All `f32`.
pub fn matmul(_geometry: &MatMul, _class: AdapterClass) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "matmul"))
}
