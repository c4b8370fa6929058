//! Operators on the CPU, for constants and shape arithmetic.

mod arithmetic;
mod gather;
mod reduce;

/// Most elements of a constant computed on the CPU (128 MiB of `f32`).
pub(crate) const MAX_FOLDED: usize = 1 << 25;

pub(crate) use arithmetic::{binary, range, select, unary};
pub(crate) use gather::{gather, gather_elements, gather_nd};
pub(crate) use reduce::reduce;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result, invalid_model, mismatch};
use crate::kernels::strided_copy::StridedCopy;
use crate::tensor::{DType, Data, Tensor, elements};

/// Calls `f` with one offset per stride list for every index of `shape`, in row-major order.
pub(crate) fn for_each<const N: usize>(
    shape: &[usize],
    strides: [&[i64]; N],
    start: [i64; N],
    mut f: impl FnMut([i64; N]) -> Result<()>,
) -> Result<()> {
    if shape.contains(&0) {
        return Ok(());
    }
    let mut index = vec![0usize; shape.len()];
    let mut offsets = start;
    loop {
        f(offsets)?;
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return Ok(());
            }
            axis -= 1;
            index[axis] += 1;
            for (offset, stride) in offsets.iter_mut().zip(strides) {
                *offset += stride[axis];
            }
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
            for (offset, stride) in offsets.iter_mut().zip(strides) {
                *offset -= stride[axis] * shape[axis] as i64;
            }
        }
    }
}

/// A checked element access.
pub(crate) fn at<T: Copy>(data: &[T], offset: i64) -> Result<T> {
    usize::try_from(offset)
        .ok()
        .and_then(|i| data.get(i))
        .copied()
        .ok_or_else(|| {
            mismatch(format!(
                "element {offset} is outside a tensor of {}",
                data.len()
            ))
        })
}

/// Fills a new tensor by strided copies.
pub(crate) fn copies(
    shape: &[usize],
    dtype: DType,
    pieces: &[(&Tensor, &StridedCopy)],
) -> Result<Tensor> {
    let zeros = Tensor::zeros(dtype, shape)?;
    macro_rules! run {
        ($($variant:ident),*) => {
            match zeros.data().clone() {
                $(Data::$variant(mut out) => {
                    let target = Arc::make_mut(&mut out);
                    for (source, copy) in pieces {
                        let Data::$variant(source) = source.data() else {
                            return Err(invalid_model("tensors of different types are joined"));
                        };
                        copy_into(target, source, copy)?;
                    }
                    Tensor::new(shape, Data::$variant(out))
                })*
            }
        };
    }
    run!(F32, F16, BF16, I64, I32, U8, I8, Bool)
}

fn copy_into<T: Copy>(target: &mut [T], source: &[T], copy: &StridedCopy) -> Result<()> {
    let len = target.len();
    for_each(
        &copy.shape,
        [&copy.in_strides, &copy.out_strides],
        [copy.in_offset, copy.out_offset],
        |[from, to]| {
            let value = at(source, from)?;
            let slot = usize::try_from(to)
                .ok()
                .and_then(|i| target.get_mut(i))
                .ok_or_else(|| mismatch(format!("element {to} is outside a tensor of {len}")))?;
            *slot = value;
            Ok(())
        },
    )
}

/// A tensor of one repeated element, as ONNX `ConstantOfShape` and `Expand` of a scalar make it.
pub(crate) fn splat(value: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let n = elements(shape)?;
    if n > MAX_FOLDED {
        return Err(too_large(shape));
    }
    macro_rules! run {
        ($($variant:ident),*) => {
            match value.data() {
                $(Data::$variant(v) => Tensor::new(shape, Data::$variant(Arc::new(vec![at(v, 0)?; n]))),)*
            }
        };
    }
    run!(F32, F16, BF16, I64, I32, U8, I8, Bool)
}

/// 0, 1, 2 … row by row.
pub(crate) fn counted(shape: Vec<usize>) -> Result<Tensor> {
    let n = elements(&shape)?;
    if n > MAX_FOLDED {
        return Err(too_large(&shape));
    }
    Tensor::i64(shape, (0..n as i64).collect())
}

fn too_large(shape: &[usize]) -> Error {
    Error::new(
        ErrorKind::Limit,
        format!("a constant of shape {shape:?} is too large"),
    )
}

/// Picks elements by offset into a tensor of the same type.
pub(crate) fn pick(source: &Tensor, shape: &[usize], offsets: &[i64]) -> Result<Tensor> {
    macro_rules! run {
        ($($variant:ident),*) => {
            match source.data() {
                $(Data::$variant(v) => {
                    let picked: Result<Vec<_>> = offsets.iter().map(|&o| at(v, o)).collect();
                    Tensor::new(shape, Data::$variant(Arc::new(picked?)))
                })*
            }
        };
    }
    run!(F32, F16, BF16, I64, I32, U8, I8, Bool)
}
