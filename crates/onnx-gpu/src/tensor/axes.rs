//! Axes and the rules of shapes.

use crate::error::{Result, mismatch};

/// An axis that may count from the end, as an index below `rank`.
pub(crate) fn axis(value: i64, rank: usize) -> Result<usize> {
    let signed = rank as i64;
    if value < -signed || value >= signed {
        return Err(mismatch(format!("axis {value} is outside rank {rank}")));
    }
    Ok(value.rem_euclid(signed.max(1)) as usize)
}

/// Distinct axes that may count from the end.
pub(crate) fn axes(values: &[i64], rank: usize) -> Result<Vec<usize>> {
    let mut out = Vec::with_capacity(values.len());
    for &value in values {
        let index = axis(value, rank)?;
        if out.contains(&index) {
            return Err(mismatch(format!("axis {value} is given twice")));
        }
        out.push(index);
    }
    Ok(out)
}

/// Splits a shape into the products before, at and after an axis.
pub(crate) fn split_at_axis(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (
        shape[..axis].iter().product(),
        shape[axis],
        shape[axis + 1..].iter().product(),
    )
}

/// The ONNX broadcast of two shapes.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], i: usize| -> usize {
        (i + shape.len())
            .checked_sub(rank)
            .map_or(1, |index| shape[index])
    };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(mismatch(format!("{a:?} and {b:?} do not broadcast"))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn broadcasting_is_multidirectional() {
        assert_eq!(broadcast(&[2, 1, 4], &[3, 1]).unwrap(), [2, 3, 4]);
        assert_eq!(broadcast(&[], &[5]).unwrap(), [5]);
        assert_eq!(broadcast(&[0], &[1]).unwrap(), [0]);
        assert!(broadcast(&[2], &[3]).is_err());
    }

    #[test]
    fn axes_count_from_the_end_and_stay_distinct() {
        assert_eq!(axes(&[-1, 0], 3).unwrap(), [2, 0]);
        assert!(axes(&[-1, 2], 3).is_err());
        assert!(axis(3, 3).is_err());
        assert!(axis(0, 0).is_err());
    }
}
