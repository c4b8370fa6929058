//! Reductions of constants.

use crate::error::Result;
use crate::kernels::reduce::ReduceOp;
use crate::kernels::row_major;
use crate::tensor::{Tensor, elements};

use super::for_each;

/// A reduction over `axes`; `out` is the result's shape, kept axes or not. `None` where only the GPU knows the operator.
pub(crate) fn reduce(
    op: ReduceOp,
    x: &Tensor,
    axes: &[usize],
    out: &[usize],
) -> Option<Result<Tensor>> {
    if !matches!(
        op,
        ReduceOp::Sum | ReduceOp::Mean | ReduceOp::Max | ReduceOp::Min | ReduceOp::Prod
    ) {
        return None;
    }
    Some(run(op, x, axes, out))
}

fn run(op: ReduceOp, x: &Tensor, axes: &[usize], out: &[usize]) -> Result<Tensor> {
    let kept: Vec<usize> = (0..x.shape().len())
        .map(|i| if axes.contains(&i) { 1 } else { x.shape()[i] })
        .collect();
    let mut strides = row_major(&kept);
    for &axis in axes {
        strides[axis] = 0;
    }
    let n = elements(&kept)?;
    let dtype = x.dtype();
    if dtype.is_float() {
        let v = x.to_f32_vec();
        let start = match op {
            ReduceOp::Max => f64::NEG_INFINITY,
            ReduceOp::Min => f64::INFINITY,
            ReduceOp::Prod => 1.0,
            _ => 0.0,
        };
        let mut sums = vec![start; n];
        let mut next = v.iter();
        for_each(x.shape(), [&strides], [0], |[o]| {
            let value = f64::from(next.next().copied().unwrap_or_default());
            let slot = &mut sums[o as usize];
            *slot = match op {
                ReduceOp::Max if value.is_nan() || value > *slot => value,
                ReduceOp::Min if value.is_nan() || value < *slot => value,
                ReduceOp::Max | ReduceOp::Min => *slot,
                ReduceOp::Prod => *slot * value,
                _ => *slot + value,
            };
            Ok(())
        })?;
        let count = v.len() as f64 / n.max(1) as f64;
        let scale = if op == ReduceOp::Mean {
            1.0 / count
        } else {
            1.0
        };
        let data = sums.into_iter().map(|s| (s * scale) as f32).collect();
        return Ok(Tensor::f32(out, data)?.cast(dtype));
    }
    let v = x.to_i64_vec()?;
    let start = match op {
        ReduceOp::Max => i64::MIN,
        ReduceOp::Min => i64::MAX,
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
            _ => slot.wrapping_add(value),
        };
        Ok(())
    })?;
    if op == ReduceOp::Mean {
        let count = (v.len() / n.max(1)).max(1) as i64;
        sums.iter_mut().for_each(|s| *s /= count);
    }
    Ok(Tensor::i64(out, sums)?.cast(dtype))
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
