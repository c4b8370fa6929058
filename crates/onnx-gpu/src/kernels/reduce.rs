//! Reductions over any set of axes.

use super::workgroup::Rows;
use super::{
    AdapterClass, Elem, Launch, coalesce, cover, elements, fold, render, row_major, signed, table,
    unravel, word, workgroup,
};
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
    ArgMax {
        last: bool,
    },
    ArgMin {
        last: bool,
    },
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

/// The texts of a reduction over pairs: a value and, for index results, where it is.
struct Spec {
    name: &'static str,
    init: &'static str,
    lift: &'static str,
    combine: &'static str,
    finish: &'static str,
}

const ADD: &str = "return a + b;";
/// A NaN stays.
const MAX: &str = "return select(b, a, a.x > b.x || is_nan(a.x));";
const MIN: &str = "return select(b, a, a.x < b.x || is_nan(a.x));";
/// Keeps the larger value; of equal ones the lower index.
const FIRST_MAX: &str = "return select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y));";
const LAST_MAX: &str = "return select(a, b, b.x > a.x || (b.x == a.x && b.y > a.y));";
const FIRST_MIN: &str = "return select(a, b, b.x < a.x || (b.x == a.x && b.y < a.y));";
const LAST_MIN: &str = "return select(a, b, b.x < a.x || (b.x == a.x && b.y > a.y));";
/// Sums of `exp(x - a.x)`, rescaled to the larger maximum.
const LOG_SUM_EXP: &str = "let high = max(a.x, b.x);
    let x = a.y * select(exp(a.x - high), 1.0, a.x == high);
    let y = b.y * select(exp(b.x - high), 1.0, b.x == high);
    return Acc(high, x + y);";

impl ReduceOp {
    fn spec(self, elem: Elem) -> Option<Spec> {
        let float = elem == Elem::F32;
        let (low, high) = if float {
            ("-infinity(), 0.0", "infinity(), 0.0")
        } else {
            ("-2147483647 - 1, 0", "2147483647, 0")
        };
        let zero = if float { "0.0, 0.0" } else { "0, 0" };
        let spec = |name, init, lift, combine, finish| {
            Some(Spec {
                name,
                init,
                lift,
                combine,
                finish,
            })
        };
        let plain = "Acc(x, T(0))";
        let indexed = "Acc(x, T(index))";
        match self {
            Self::Sum => spec("sum", zero, plain, ADD, "a.x"),
            Self::Mean => spec("mean", zero, plain, ADD, "a.x / n"),
            Self::Max => spec(
                "max",
                low,
                plain,
                if float { MAX } else { "return max(a, b);" },
                "a.x",
            ),
            Self::Min => spec(
                "min",
                high,
                plain,
                if float { MIN } else { "return min(a, b);" },
                "a.x",
            ),
            Self::Prod => spec(
                "prod",
                if float { "1.0, 0.0" } else { "1, 0" },
                plain,
                "return a * b;",
                "a.x",
            ),
            Self::L1 => spec("l1", zero, "Acc(abs(x), T(0))", ADD, "a.x"),
            Self::SumSquare => spec("sum_square", zero, "Acc(x * x, T(0))", ADD, "a.x"),
            Self::L2 if float => spec("l2", zero, "Acc(x * x, T(0))", ADD, "sqrt(a.x)"),
            Self::LogSum if float => spec("log_sum", zero, plain, ADD, "log(a.x)"),
            Self::LogSumExp if float => spec(
                "log_sum_exp",
                "-3.4028234e38, 0.0",
                "Acc(x, 1.0)",
                LOG_SUM_EXP,
                "a.x + log(a.y)",
            ),
            Self::ArgMax { last: false } => spec("arg_max", low, indexed, FIRST_MAX, "i32(a.y)"),
            Self::ArgMax { last: true } => spec("arg_max_last", low, indexed, LAST_MAX, "i32(a.y)"),
            Self::ArgMin { last: false } => spec("arg_min", high, indexed, FIRST_MIN, "i32(a.y)"),
            Self::ArgMin { last: true } => {
                spec("arg_min_last", high, indexed, LAST_MIN, "i32(a.y)")
            }
            Self::L2 | Self::LogSum | Self::LogSumExp => None,
        }
    }
}

/// Shortest reduction that gets a workgroup per output.
const WORKGROUP_COUNT: usize = 64;

/// One input, one output with one element per index of the kept axes, in order.
///
/// An empty reduction gives the operator's neutral element, the largest or lowest number for `Min` and `Max`.
pub fn reduce(geometry: &Reduce, class: AdapterClass) -> Result<Launch> {
    let g = geometry;
    elements(&g.shape)?;
    if let Some(axis) = g.axes.iter().find(|&&a| a >= g.shape.len()) {
        return Err(Error::new(
            ErrorKind::ShapeMismatch,
            format!("no axis {axis} in {:?}", g.shape),
        ));
    }
    let spec = match g.elem {
        Elem::F32 | Elem::I32 => g.op.spec(g.elem),
        Elem::U32 | Elem::Bool => None,
    };
    let spec = spec.ok_or_else(|| {
        Error::new(
            ErrorKind::UnsupportedOp,
            format!("{:?} on {:?} elements", g.op, g.elem),
        )
    })?;
    let indexes = matches!(g.op, ReduceOp::ArgMax { .. } | ReduceOp::ArgMin { .. });
    let strides = row_major(&g.shape);
    let part = |reduced: bool| {
        let axes = (0..g.shape.len()).filter(|a| g.axes.contains(a) == reduced);
        let (dims, strides): (Vec<usize>, Vec<i64>) =
            axes.map(|a| (g.shape[a], strides[a])).unzip();
        coalesce(&dims, &[strides])
    };
    let (kept, reduced) = (part(false), part(true));
    let outputs = elements(&kept.0)?;
    let count = elements(&reduced.0)?;
    let mut params = Vec::new();
    for (dims, strides) in [&kept, &reduced] {
        let dims: Vec<u32> = dims.iter().map(|&d| word(d)).collect::<Result<_>>()?;
        params.extend(table(&dims, 1)?);
        let strides: Vec<u32> = strides[0]
            .iter()
            .map(|&s| signed(s))
            .collect::<Result<_>>()?;
        params.extend(table(&strides, 0)?);
    }
    for size in [outputs, count, kept.0.len().max(1), reduced.0.len().max(1)] {
        params.push(word(size)?);
    }
    let offsets = unravel(
        "kept_offset",
        "kept_dims",
        "kept_rank",
        &[("kept_strides", 0)],
    ) + &unravel(
        "reduced_offset",
        "reduced_dims",
        "reduced_rank",
        &[("reduced_strides", 0)],
    );
    let common = render(
        include_str!("reduce/common.wgsl"),
        &[
            ("offsets", &offsets),
            ("item", g.elem.wgsl()),
            ("out", if indexes { "i32" } else { g.elem.wgsl() }),
            ("init", spec.init),
            ("lift", spec.lift),
            ("combine", spec.combine),
            ("finish", spec.finish),
        ],
    );
    let contiguous = reduced.1[0].last() == Some(&1);
    let key = format!("reduce-{}-{:?}", spec.name, g.elem);
    let shared = match Rows::of(class, outputs, count) {
        Rows::Workgroup(width) if contiguous && count >= WORKGROUP_COUNT => Some(width),
        _ => None,
    };
    let (key, wgsl, workgroups) = if let Some(width) = shared {
        let all = workgroup::fold(class, width, "fold_all", "Acc", "combine(a, b)");
        let wgsl = render(
            include_str!("reduce/workgroups.wgsl"),
            &[
                ("common", &common),
                ("fold", &all),
                ("width", &width.to_string()),
            ],
        );
        (format!("{key}-{width}-{class:?}"), wgsl, fold(outputs)?)
    } else {
        let wgsl = render(
            include_str!("reduce/invocations.wgsl"),
            &[("common", &common)],
        );
        (key, wgsl, cover(outputs)?)
    };
    Ok(Launch {
        label: "reduce",
        key,
        wgsl,
        params,
        workgroups,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sum(shape: &[usize], axes: &[usize]) -> Result<Launch> {
        let geometry = Reduce {
            op: ReduceOp::Sum,
            elem: Elem::F32,
            shape: shape.to_vec(),
            axes: axes.to_vec(),
        };
        reduce(&geometry, AdapterClass::Software)
    }

    #[test]
    fn long_contiguous_rows_get_a_workgroup_each() {
        assert_eq!(sum(&[3, 100], &[1]).unwrap().workgroups, [3, 1, 1]);
        assert_eq!(sum(&[100, 3], &[0]).unwrap().workgroups, [1, 1, 1]);
    }

    #[test]
    fn axes_beyond_the_rank_are_refused() {
        assert_eq!(
            sum(&[2, 3], &[2]).unwrap_err().kind(),
            ErrorKind::ShapeMismatch
        );
    }
}
