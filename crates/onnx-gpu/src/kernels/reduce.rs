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
    /// Reduce only runs of this many elements: the output has a last axis with one entry for each. Nothing is done to a result
    /// after its run, such as a division by the number of elements.
    pub run: Option<usize>,
}

impl Reduce {
    /// A reduction of `shape` over `axes`.
    pub fn new(op: ReduceOp, elem: Elem, shape: &[usize], axes: &[usize]) -> Self {
        Self {
            op,
            elem,
            shape: shape.to_vec(),
            axes: axes.to_vec(),
            run: None,
        }
    }
}

/// The texts of a reduction over pairs: a value and, for index results, where it is.
struct Spec {
    name: &'static str,
    init: &'static str,
    lift: &'static str,
    combine: &'static str,
    finish: &'static str,
    /// What a part of a longer reduction gives.
    partial: &'static str,
}

const ADD: &str = "return a + b;";
/// A NaN stays.
const MAX: &str = "return select(b, a, a.x > b.x || is_nan(a.x));";
const MIN: &str = "return select(b, a, a.x < b.x || is_nan(a.x));";
/// Keeps the larger value; of equal ones the lower index. A NaN is larger, and in a minimum smaller, than any number.
const FIRST_MAX: &str =
    "return select(a, b, leads(b.x > a.x, a, b) || (same(a.x, b.x) && b.y < a.y));";
const LAST_MAX: &str =
    "return select(a, b, leads(b.x > a.x, a, b) || (same(a.x, b.x) && b.y > a.y));";
const FIRST_MIN: &str =
    "return select(a, b, leads(b.x < a.x, a, b) || (same(a.x, b.x) && b.y < a.y));";
const LAST_MIN: &str =
    "return select(a, b, leads(b.x < a.x, a, b) || (same(a.x, b.x) && b.y > a.y));";
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
                partial: if name == "log_sum_exp" { finish } else { "a.x" },
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
            Self::ArgMax { last: false } => {
                spec("arg_max", low, indexed, FIRST_MAX, "i32(a.y) + i32(first)")
            }
            Self::ArgMax { last: true } => spec(
                "arg_max_last",
                low,
                indexed,
                LAST_MAX,
                "i32(a.y) + i32(first)",
            ),
            Self::ArgMin { last: false } => {
                spec("arg_min", high, indexed, FIRST_MIN, "i32(a.y) + i32(first)")
            }
            Self::ArgMin { last: true } => spec(
                "arg_min_last",
                high,
                indexed,
                LAST_MIN,
                "i32(a.y) + i32(first)",
            ),
            Self::L2 | Self::LogSum | Self::LogSumExp => None,
        }
    }
}

/// Whether `b` comes before `a`, where `beyond` says so of two numbers, and whether they are alike.
const FLOAT_ORDER: &str = "fn leads(beyond: bool, a: Acc, b: Acc) -> bool {
    return !is_nan(a.x) && (beyond || is_nan(b.x));
}

fn same(a: T, b: T) -> bool {
    return a == b || (is_nan(a) && is_nan(b));
}
";
const WHOLE_ORDER: &str = "fn leads(beyond: bool, a: Acc, b: Acc) -> bool {
    return beyond;
}

fn same(a: T, b: T) -> bool {
    return a == b;
}
";

/// Shortest reduction that gets a workgroup per output.
const WORKGROUP_COUNT: usize = 64;

/// One input, one output with one element per index of the kept axes, in order.
///
/// An empty reduction gives the operator's neutral element, infinities for `Min` and `Max` of floats.
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
    let run = g.run.unwrap_or(count).clamp(1, count.max(1));
    let runs = count.div_ceil(run).max(1);
    let results = elements(&[outputs, runs])?;
    for size in [
        results,
        count,
        kept.0.len().max(1),
        reduced.0.len().max(1),
        runs,
        run,
        0,
        0,
    ] {
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
    let order = match g.elem {
        Elem::F32 => FLOAT_ORDER,
        _ => WHOLE_ORDER,
    };
    let common = render(
        include_str!("reduce/common.wgsl"),
        &[
            ("order", order),
            ("offsets", &offsets),
            ("item", g.elem.wgsl()),
            ("out", if indexes { "i32" } else { g.elem.wgsl() }),
            ("init", spec.init),
            ("lift", spec.lift),
            ("combine", spec.combine),
            (
                "finish",
                if g.run.is_none() || indexes {
                    spec.finish
                } else {
                    spec.partial
                },
            ),
        ],
    );
    let contiguous = reduced.1[0].last() == Some(&1);
    let part = if g.run.is_some() { "-runs" } else { "" };
    let key = format!("reduce-{}-{:?}{part}", spec.name, g.elem);
    let shared = match Rows::of(class, results, run) {
        Rows::Workgroup(width) if contiguous && run >= WORKGROUP_COUNT => Some(width),
        _ => None,
    };
    let lanes = shared.unwrap_or(1);
    // Finding an element takes a turn for each axis.
    let turns = run
        .div_ceil(lanes)
        .saturating_mul(1 + reduced.0.len().max(1))
        + 2 * lanes;
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
        (format!("{key}-{width}-{class:?}"), wgsl, fold(results)?)
    } else {
        let wgsl = render(
            include_str!("reduce/invocations.wgsl"),
            &[("common", &common)],
        );
        (key, wgsl, cover(results)?)
    };
    Ok(Launch {
        label: "reduce",
        key,
        wgsl,
        params,
        workgroups,
        turns,
        bindings: 2,
        flops: 0,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sum(shape: &[usize], axes: &[usize]) -> Result<Launch> {
        let geometry = Reduce::new(ReduceOp::Sum, Elem::F32, shape, axes);
        reduce(&geometry, AdapterClass::Software)
    }

    #[test]
    fn long_contiguous_rows_get_a_workgroup_each() {
        assert_eq!(sum(&[3, 100], &[1]).unwrap().workgroups, [3, 1, 1]);
        assert_eq!(sum(&[100, 3], &[0]).unwrap().workgroups, [1, 1, 1]);
    }

    #[test]
    fn runs_have_a_result_each() {
        let mut geometry = Reduce::new(ReduceOp::Sum, Elem::F32, &[2, 10_000], &[1]);
        let whole = reduce(&geometry, AdapterClass::Software).unwrap();
        geometry.run = Some(4096);
        let runs = reduce(&geometry, AdapterClass::Software).unwrap();
        assert_eq!((whole.workgroups[0], runs.workgroups[0]), (2, 6));
        assert!(runs.turns < whole.turns);
    }

    #[test]
    fn axes_beyond_the_rank_are_refused() {
        assert_eq!(
            sum(&[2, 3], &[2]).unwrap_err().kind(),
            ErrorKind::ShapeMismatch
        );
    }
}
