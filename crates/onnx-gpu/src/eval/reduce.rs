//! Reductions of constants.

use super::MAX_FOLDED;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::reduce::ReduceOp;
use crate::kernels::row_major;
use crate::tensor::{DType, Tensor, elements};

use super::for_each;

/// A reduction over `axes`; `out` is the result's shape, kept axes or not. `None` where only the GPU knows the operator.
pub(crate) fn reduce(
    op: ReduceOp,
    x: &Tensor,
    axes: &[usize],
    out: &[usize],
) -> Option<Result<Tensor>> {
    let simple = matches!(
        op,
        ReduceOp::Sum
            | ReduceOp::Mean
            | ReduceOp::Max
            | ReduceOp::Min
            | ReduceOp::Prod
            | ReduceOp::L1
            | ReduceOp::SumSquare
    );
    if matches!(op, ReduceOp::ArgMax { .. } | ReduceOp::ArgMin { .. }) {
        None
    } else if x.dtype().is_float() {
        Some(floats(op, x, axes, out))
    } else if simple {
        Some(integers(op, x, axes, out))
    } else {
        None
    }
}

/// Strides of the result over the input's axes, and the number of results.
fn target(x: &Tensor, axes: &[usize]) -> Result<(Vec<i64>, usize)> {
    let kept: Vec<usize> = (0..x.shape().len())
        .map(|i| if axes.contains(&i) { 1 } else { x.shape()[i] })
        .collect();
    let mut strides = row_major(&kept);
    for &axis in axes {
        strides[axis] = 0;
    }
    let n = elements(&kept)?;
    // Of nothing, much can be made: axes of any length beside one of length 0.
    if n > MAX_FOLDED {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("a constant of shape {kept:?} is too large"),
        ));
    }
    Ok((strides, n))
}

fn floats(op: ReduceOp, x: &Tensor, axes: &[usize], out: &[usize]) -> Result<Tensor> {
    let (strides, n) = target(x, axes)?;
    let v = x.to_f32_vec();
    let each = |slots: &mut [f64], f: &dyn Fn(f64, usize, f64) -> f64| {
        let mut next = v.iter();
        for_each(x.shape(), [&strides], [0], |[o]| {
            let value = f64::from(next.next().copied().unwrap_or_default());
            let slot = &mut slots[o as usize];
            *slot = f(*slot, o as usize, value);
            Ok(())
        })
    };
    let start = match op {
        ReduceOp::Max | ReduceOp::LogSumExp => f64::NEG_INFINITY,
        ReduceOp::Min => f64::INFINITY,
        ReduceOp::Prod => 1.0,
        _ => 0.0,
    };
    let mut results = vec![start; n];
    // A NaN stays: nothing is larger or smaller.
    each(&mut results, &|slot, _, value| match op {
        ReduceOp::Max | ReduceOp::LogSumExp if value.is_nan() || value > slot => value,
        ReduceOp::Min if value.is_nan() || value < slot => value,
        ReduceOp::Max | ReduceOp::LogSumExp | ReduceOp::Min => slot,
        ReduceOp::Prod => slot * value,
        ReduceOp::L1 => slot + value.abs(),
        ReduceOp::L2 | ReduceOp::SumSquare => slot + value * value,
        _ => slot + value,
    })?;
    if op == ReduceOp::LogSumExp {
        // Powers of what is below the largest, which itself is one: also where it is infinite.
        let tops = results.clone();
        results.fill(0.0);
        each(&mut results, &|slot, at, value| {
            let power = if value == tops[at] {
                1.0
            } else {
                (value - tops[at]).exp()
            };
            slot + power
        })?;
        for (sum, top) in results.iter_mut().zip(tops) {
            *sum = top + sum.ln();
        }
    }
    let count = v.len() as f64 / n.max(1) as f64;
    let finish = |result: f64| match op {
        ReduceOp::Mean => result / count,
        ReduceOp::L2 => result.sqrt(),
        ReduceOp::LogSum => result.ln(),
        _ => result,
    };
    let data = results.into_iter().map(|r| finish(r) as f32).collect();
    Ok(Tensor::f32(out, data)?.cast(x.dtype()))
}

fn integers(op: ReduceOp, x: &Tensor, axes: &[usize], out: &[usize]) -> Result<Tensor> {
    let (strides, n) = target(x, axes)?;
    let v = x.to_i64_vec()?;
    let (lowest, highest) = match x.dtype() {
        DType::Bool => (0, 1),
        DType::U8 => (0, i64::from(u8::MAX)),
        DType::I8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
        DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    let start = match op {
        ReduceOp::Max => lowest,
        ReduceOp::Min => highest,
        ReduceOp::Prod => 1,
        _ => 0,
    };
    let mut sums = vec![start; n];
    let mut next = v.iter();
    for_each(x.shape(), [&strides], [0], |[o]| {
        let value = next.next().copied().unwrap_or_default();
        let slot = &mut sums[o as usize];
        *slot = match op {
            ReduceOp::Max => value.max(*slot),
            ReduceOp::Min => value.min(*slot),
            ReduceOp::Prod => slot.wrapping_mul(value),
            ReduceOp::L1 => slot.wrapping_add(value.wrapping_abs()),
            ReduceOp::SumSquare => slot.wrapping_add(value.wrapping_mul(value)),
            _ => slot.wrapping_add(value),
        };
        Ok(())
    })?;
    if op == ReduceOp::Mean {
        let count = (v.len() / n.max(1)).max(1) as i64;
        sums.iter_mut().for_each(|s| *s /= count);
    }
    Ok(Tensor::i64(out, sums)?.cast(x.dtype()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reduces_over_any_axes() {
        let x = Tensor::i64([2, 3], vec![1, 2, 3, 4, 5, 6]).unwrap();
        let run = |op, axes: &[usize], out: &[usize]| {
            reduce(op, &x, axes, out)
                .unwrap()
                .unwrap()
                .to_i64_vec()
                .unwrap()
        };
        assert_eq!(run(ReduceOp::Sum, &[0], &[3]), [5, 7, 9]);
        assert_eq!(run(ReduceOp::Prod, &[0, 1], &[]), [720]);
        assert_eq!(run(ReduceOp::Max, &[1], &[2, 1]), [3, 6]);
        let f = x.cast(crate::DType::F32);
        let mean = reduce(ReduceOp::Mean, &f, &[1], &[2]).unwrap().unwrap();
        assert_eq!(mean.as_f32().unwrap(), &[2.0, 5.0]);
    }
}
