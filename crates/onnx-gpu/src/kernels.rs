//! Compute kernels: one module per family, a pure plan in Rust beside its WGSL.
//!
//! A plan function turns the geometry of an operator into a [`Launch`] without touching a GPU.
//! Tensors are contiguous, row-major, one whole buffer each. Buffers come from
//! [`Gpu::buffer`](crate::gpu::Gpu::buffer), which rounds sizes up to 16 bytes: kernels read and write
//! whole `vec4`s past the last element.
//!
//! Binding convention of every kernel: `@group(0) @binding(0)` the uniform `params`, then the inputs in the
//! operator's order (`storage, read`), last the output (`storage, read_write`).

use std::borrow::Cow;

use crate::{Error, ErrorKind, Result};

pub mod activation;
pub mod attention;
pub mod blocks;
pub mod conv2d;
pub mod conv_transpose2d;
pub mod dequantize;
pub mod elementwise;
pub mod gather;
pub mod gather_blocks;
mod math;
pub mod matmul;
pub mod norm;
pub mod operand;
pub mod pool;
pub mod reduce;
pub mod resample;
pub mod resize;
pub mod rotary;
pub mod scan;
pub mod scatter;
mod snippets;
pub mod softmax;
pub mod strided_copy;
mod target;
pub mod tiles;
pub mod top_k;
pub mod unpack;
mod workgroup;

pub use activation::Activation;
pub use operand::Format;
pub(crate) use snippets::{render, unravel};
pub(crate) use target::Target;
pub use tiles::{Extent, Tile, Tiles};

/// Highest rank of a shape or stride table.
pub const MAX_RANK: usize = 8;

/// Most workgroups in one dimension that every WebGPU device accepts.
pub const MAX_WORKGROUPS: u32 = 65_535;

/// Most turns of loops that an invocation takes on a software adapter. Mesa's lavapipe leaves every loop once an invocation has
/// taken 65,535 turns, those of inner loops included (`LP_MAX_TGSI_LOOP_ITERATIONS`), and goes on with what it has.
pub const MAX_TURNS: usize = 60_000;

/// What kind of processor runs the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdapterClass {
    /// A CPU rasteriser (lavapipe, SwiftShader): workgroup barriers are expensive.
    Software,
    /// A GPU.
    Hardware,
}

/// Element type of a buffer as WGSL sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Elem {
    /// 32-bit float.
    F32,
    /// 32-bit signed integer; ONNX `int64` and `int32`.
    I32,
    /// 32-bit unsigned integer; ONNX `uint8`.
    U32,
    /// Truth value stored as a `u32` of 0 or 1.
    Bool,
}

impl Elem {
    /// The WGSL scalar type in storage.
    pub const fn wgsl(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::I32 => "i32",
            Self::U32 | Self::Bool => "u32",
        }
    }
}

/// One compute dispatch: pure data, made without a GPU.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Kernel family, for the profiler.
    pub label: &'static str,
    /// Pipeline-cache key; equal keys mean equal WGSL.
    pub key: String,
    /// The shader, entry point `main`.
    pub wgsl: Cow<'static, str>,
    /// Words of the uniform struct `Params` (`f32` by its bits); shapes live here, not in the key.
    pub params: Vec<u32>,
    /// Workgroups per dimension, each at most [`MAX_WORKGROUPS`].
    pub workgroups: [u32; 3],
    /// Turns of loops that one invocation takes, all loops of the shader together: beyond [`MAX_TURNS`] a software adapter may
    /// stop them without a word. 0 where they are few whatever the shapes.
    pub turns: usize,
    /// Buffers that the shader binds besides the uniform: its inputs and the output.
    pub bindings: usize,
    /// Multiplications and additions of a product, a convolution or attention; 0 for other kernels.
    pub flops: u64,
}

/// Turns of an invocation that goes over the channels of every tap of a window.
pub(crate) fn window_turns([height, width]: [usize; 2], channels: usize) -> usize {
    let row = width.saturating_mul(channels.saturating_add(2));
    height.saturating_mul(row.saturating_add(2))
}

/// Invocations in a workgroup of the 1-D kernels.
pub(crate) const WORKGROUP: u32 = 64;

/// Workgroups that cover `items` invocations, folded into two dimensions where one is too short.
///
/// The shader recovers the index as `(wid.y * num_workgroups.x + wid.x) * 64 + lid.x`.
pub(crate) fn cover(items: usize) -> Result<[u32; 3]> {
    fold(items.div_ceil(WORKGROUP as usize))
}

/// Folds a 1-D count of workgroups into two dimensions.
pub(crate) fn fold(groups: usize) -> Result<[u32; 3]> {
    let max = MAX_WORKGROUPS as usize;
    let y = groups.div_ceil(max).max(1);
    let x = groups.div_ceil(y).max(1);
    Ok([word(x)?, groups_in("y", y)?, 1])
}

/// A workgroup count for one dimension, or [`ErrorKind::Limit`].
pub(crate) fn groups_in(axis: &str, count: usize) -> Result<u32> {
    let count = count.max(1);
    if count > MAX_WORKGROUPS as usize {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("{count} workgroups in {axis}, the limit is {MAX_WORKGROUPS}"),
        ));
    }
    word(count)
}

/// A size as a uniform word, or [`ErrorKind::Limit`] where it exceeds 31 bits (indices are `i32` in places).
pub(crate) fn word(value: usize) -> Result<u32> {
    i32::try_from(value)
        .map(i32::cast_unsigned)
        .map_err(|_| Error::new(ErrorKind::Limit, format!("{value} exceeds 31-bit indexing")))
}

/// A signed offset or stride as a uniform word.
pub(crate) fn signed(value: i64) -> Result<u32> {
    i32::try_from(value)
        .map(i32::cast_unsigned)
        .map_err(|_| Error::new(ErrorKind::Limit, format!("{value} exceeds 32-bit indexing")))
}

/// Number of elements of a shape, or [`ErrorKind::Limit`].
pub(crate) fn elements(shape: &[usize]) -> Result<usize> {
    let mut n = 1usize;
    for &d in shape {
        n = n
            .checked_mul(d)
            .ok_or_else(|| Error::new(ErrorKind::Limit, format!("shape {shape:?} overflows")))?;
    }
    word(n)?;
    Ok(n)
}

/// A [`MAX_RANK`]-word table, right-aligned: missing leading entries are `fill`.
pub(crate) fn table(values: &[u32], fill: u32) -> Result<[u32; MAX_RANK]> {
    if values.len() > MAX_RANK {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("rank {} exceeds {MAX_RANK}", values.len()),
        ));
    }
    let mut out = [fill; MAX_RANK];
    out[MAX_RANK - values.len()..].copy_from_slice(values);
    Ok(out)
}

/// Contiguous row-major strides.
pub(crate) fn row_major(shape: &[usize]) -> Vec<i64> {
    let mut strides = vec![0i64; shape.len()];
    let mut step = 1i64;
    for (stride, &dim) in strides.iter_mut().zip(shape).rev() {
        *stride = step;
        step = step.saturating_mul(i64::try_from(dim).unwrap_or(i64::MAX));
    }
    strides
}

/// Strides of `shape` seen as `out`, 0 along broadcast axes; an error where ONNX broadcasting forbids it.
pub(crate) fn broadcast_strides(shape: &[usize], out: &[usize]) -> Result<Vec<i64>> {
    let mismatch = || {
        Error::new(
            ErrorKind::ShapeMismatch,
            format!("{shape:?} does not broadcast to {out:?}"),
        )
    };
    let lead = out.len().checked_sub(shape.len()).ok_or_else(mismatch)?;
    let mut strides = vec![0i64; out.len()];
    for (i, (&dim, stride)) in shape.iter().zip(row_major(shape)).enumerate() {
        if dim == out[lead + i] {
            strides[lead + i] = if dim == 1 { 0 } else { stride };
        } else if dim != 1 {
            return Err(mismatch());
        }
    }
    Ok(strides)
}

/// Merges neighbouring axes over which every operand advances contiguously, and drops axes of length 1.
///
/// `strides` holds one stride list per operand, each as long as `shape`.
pub(crate) fn coalesce(shape: &[usize], strides: &[Vec<i64>]) -> (Vec<usize>, Vec<Vec<i64>>) {
    let mut dims: Vec<usize> = Vec::new();
    let mut out: Vec<Vec<i64>> = vec![Vec::new(); strides.len()];
    for (axis, &dim) in shape.iter().enumerate() {
        if dim == 1 {
            continue;
        }
        let step = i64::try_from(dim).unwrap_or(i64::MAX);
        let joins = !dims.is_empty()
            && out.iter().zip(strides).all(|(merged, full)| {
                merged
                    .last()
                    .is_some_and(|&s| s == full[axis].saturating_mul(step))
            });
        if joins {
            if let Some(last) = dims.last_mut() {
                *last *= dim;
            }
            for (merged, full) in out.iter_mut().zip(strides) {
                if let Some(last) = merged.last_mut() {
                    *last = full[axis];
                }
            }
        } else {
            dims.push(dim);
            for (merged, full) in out.iter_mut().zip(strides) {
                merged.push(full[axis]);
            }
        }
    }
    (dims, out)
}

/// Pads a parameter list to whole `vec4`s, the size of a uniform struct that holds a `vec4`.
pub(crate) fn pad16(mut words: Vec<u32>) -> Vec<u32> {
    words.resize(words.len().next_multiple_of(4), 0);
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn broadcasting_follows_the_onnx_rule() {
        assert_eq!(broadcast_strides(&[3, 1], &[2, 3, 4]).unwrap(), [0, 1, 0]);
        assert_eq!(broadcast_strides(&[], &[2, 3]).unwrap(), [0, 0]);
        assert_eq!(
            broadcast_strides(&[2], &[3]).unwrap_err().kind(),
            ErrorKind::ShapeMismatch
        );
        assert!(broadcast_strides(&[1, 1, 2], &[1, 2]).is_err());
    }

    #[test]
    fn coalescing_keeps_the_index_map() {
        let shape = [2, 1, 3, 4];
        let full = row_major(&shape);
        let channel = broadcast_strides(&[3, 1], &shape).unwrap();
        let (dims, strides) = coalesce(&shape, &[full.clone(), channel]);
        assert_eq!(dims, [2, 3, 4]);
        assert_eq!(strides[1], [0, 1, 0]);
        assert_eq!(coalesce(&shape, &[full]), (vec![24], vec![vec![1]]));
    }

    #[test]
    fn folding_covers_every_group() {
        for groups in [0usize, 1, 65_535, 65_536, 1 << 20] {
            let [x, y, z] = fold(groups).unwrap();
            assert!(x <= MAX_WORKGROUPS && y <= MAX_WORKGROUPS && z == 1);
            assert!(x as usize * y as usize >= groups);
        }
    }
}
