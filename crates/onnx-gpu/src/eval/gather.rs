//! Gathers by constant indices.

use crate::error::{Result, mismatch};
use crate::kernels::row_major;
use crate::tensor::Tensor;

use super::pick;

fn normal(index: i64, len: usize) -> Result<i64> {
    let signed = len as i64;
    if index < -signed || index >= signed {
        return Err(mismatch(format!("index {index} is outside {len}")));
    }
    Ok(if index < 0 { index + signed } else { index })
}

/// ONNX `Gather`.
pub(crate) fn gather(
    data: &Tensor,
    indices: &Tensor,
    axis: usize,
    out: &[usize],
) -> Result<Tensor> {
    if out.contains(&0) {
        return Tensor::zeros(data.dtype(), out);
    }
    let (outer, len, inner) = crate::tensor::split_at_axis(data.shape(), axis);
    let indices = indices.to_i64_vec()?;
    let mut offsets = Vec::new();
    for o in 0..outer {
        for &index in &indices {
            let start = (o * len) as i64 + normal(index, len)?;
            offsets.extend((0..inner as i64).map(|i| start * inner as i64 + i));
        }
    }
    pick(data, out, &offsets)
}

/// ONNX `GatherElements`.
pub(crate) fn gather_elements(data: &Tensor, indices: &Tensor, axis: usize) -> Result<Tensor> {
    let strides = row_major(data.shape());
    let shape = indices.shape();
    let mut offsets = Vec::new();
    for (flat, index) in indices.to_i64_vec()?.into_iter().enumerate() {
        let mut rest = flat;
        let mut offset = normal(index, data.shape()[axis])? * strides[axis];
        for d in (0..shape.len()).rev() {
            if d != axis {
                offset += (rest % shape[d]) as i64 * strides[d];
            }
            rest /= shape[d];
        }
        offsets.push(offset);
    }
    pick(data, shape, &offsets)
}

/// ONNX `GatherND`.
pub(crate) fn gather_nd(
    data: &Tensor,
    indices: &Tensor,
    batch_dims: usize,
    out: &[usize],
) -> Result<Tensor> {
    let strides = row_major(data.shape());
    let depth = indices.shape().last().copied().unwrap_or(1);
    let batches: usize = data.shape()[..batch_dims].iter().product();
    let slice: usize = data.shape()[batch_dims + depth..].iter().product();
    let values = indices.to_i64_vec()?;
    let per_batch = (values.len() / depth.max(1)) / batches.max(1);
    let batch_stride: usize = data.shape()[batch_dims..].iter().product();
    let mut offsets = Vec::new();
    for (row, tuple) in values.chunks(depth.max(1)).enumerate() {
        let mut offset = (row / per_batch.max(1) * batch_stride) as i64;
        for (k, &index) in tuple.iter().enumerate() {
            offset += normal(index, data.shape()[batch_dims + k])? * strides[batch_dims + k];
        }
        offsets.extend((0..slice as i64).map(|i| offset + i));
    }
    pick(data, out, &offsets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ints(shape: &[usize], v: &[i64]) -> Tensor {
        Tensor::i64(shape, v.to_vec()).unwrap()
    }

    // Expected values: the examples in the ONNX operator documentation.
    #[test]
    fn gather_examples_of_the_specification() {
        let data = ints(&[3, 3], &[10, 12, 19, 23, 34, 39, 45, 57, 59]);
        let out = gather(&data, &ints(&[1, 2], &[0, 2]), 1, &[3, 1, 2]).unwrap();
        assert_eq!(out.to_i64_vec().unwrap(), [10, 19, 23, 39, 45, 59]);
        assert!(gather(&data, &ints(&[1], &[3]), 1, &[3, 1]).is_err());
    }

    #[test]
    fn gather_elements_examples_of_the_specification() {
        let data = ints(&[3, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let out = gather_elements(&data, &ints(&[2, 3], &[1, 2, 0, 2, 0, 0]), 0).unwrap();
        assert_eq!(out.to_i64_vec().unwrap(), [4, 8, 3, 7, 2, 3]);
    }

    #[test]
    fn gather_nd_examples_of_the_specification() {
        let data = ints(&[2, 2, 2], &[0, 1, 2, 3, 4, 5, 6, 7]);
        let out = gather_nd(&data, &ints(&[2, 1], &[1, 0]), 1, &[2, 2]).unwrap();
        assert_eq!(out.to_i64_vec().unwrap(), [2, 3, 4, 5]);
        let out = gather_nd(&data, &ints(&[2, 2], &[0, 1, 1, 0]), 0, &[2, 2]).unwrap();
        assert_eq!(out.to_i64_vec().unwrap(), [2, 3, 4, 5]);
    }
}
