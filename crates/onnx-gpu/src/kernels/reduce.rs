//! Reductions over any set of axes.

use super::{AdapterClass, Elem, Launch};
use crate::{Error, ErrorKind, Result};

/// What a reduction computes. Index results count along the single reduced axis, as `I32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the ONNX operators")]
pub enum ReduceOp {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    L1,
    L2,
    SumSquare,
    LogSum,
    LogSumExp,
    /// First index of the maximum, or the last with `last`.
    ArgMax { last: bool },
    ArgMin { last: bool },
}

/// A reduction of a tensor of `shape`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// The function.
    pub op: ReduceOp,
    /// Element type: `F32` or `I32`.
    pub elem: Elem,
    /// Input shape.
    pub shape: Vec<usize>,
    /// Axes that disappear (or become 1), each less than the rank, in any order.
    pub axes: Vec<usize>,
}

/// One input, one output with one element per index of the kept axes, in order.
pub fn reduce(_geometry: &Reduce, _class: AdapterClass) -> Result<Launch> {
    Err(Error::new(ErrorKind::UnsupportedOp, "reduce"))
}
