//! Operators that only move elements, all as strided copies: [`Transpose`](https://onnx.ai/onnx/operators/onnx__Transpose.html),
//! `Slice`, `Concat`, `Split`, `Expand`, `Tile`, `DepthToSpace`, `SpaceToDepth`.
//!
//! Opset notes: `Slice` took attributes before 10, `Split` took `split` as an attribute before 13.

use super::elementwise::one_type;
use crate::context::{Cx, Lower};
use crate::error::{Error, ErrorKind, Result, invalid_model, mismatch, unsupported};
use crate::kernels::strided_copy::StridedCopy;
use crate::kernels::{broadcast_strides, row_major};
use crate::program::Value;
use crate::tensor::elements;
use crate::tensor::{axes, axis, broadcast};

pub(super) fn find(op: &str) -> Option<Lower> {
    Some(match op {
        "Transpose" => transpose,
        "Slice" => slice,
        "Concat" => concat,
        "Split" => split,
        "Expand" => expand,
        "Tile" => tile,
        "DepthToSpace" => depth_to_space,
        "SpaceToDepth" => space_to_depth,
        _ => return None,
    })
}

/// Reads `x` with the given strides into a new contiguous tensor of `shape`.
pub(super) fn strided(
    cx: &mut Cx<'_>,
    x: &Value,
    shape: &[usize],
    offset: i64,
    strides: Vec<i64>,
) -> Result<Value> {
    let copy = StridedCopy {
        shape: shape.to_vec(),
        in_offset: offset,
        in_strides: strides,
        out_offset: 0,
        out_strides: row_major(shape),
    };
    cx.copies(shape, x.dtype(), &[(x, copy)])
}

/// Permutes the axes of `x`. Moving only axes of length 1 is a view.
pub(super) fn permuted(cx: &mut Cx<'_>, x: &Value, perm: &[usize]) -> Result<Value> {
    let shape: Vec<usize> = perm.iter().map(|&p| x.shape()[p]).collect();
    let long: Vec<usize> = perm
        .iter()
        .copied()
        .filter(|&p| x.shape()[p] != 1)
        .collect();
    if long.is_sorted() {
        return cx.reshaped(x.clone(), shape);
    }
    let strides = row_major(x.shape());
    strided(cx, x, &shape, 0, perm.iter().map(|&p| strides[p]).collect())
}

fn transpose(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let perm = match cx.attributes.opt_ints("perm")? {
        Some(perm) if perm.len() == x.rank() => axes(perm, x.rank())?,
        Some(perm) => {
            return Err(mismatch(format!(
                "perm {perm:?} does not fit rank {}",
                x.rank()
            )));
        }
        None => (0..x.rank()).rev().collect(),
    };
    let out = permuted(cx, &x, &perm)?;
    cx.set(0, out);
    Ok(())
}

/// `[N, H, W, C]` to `[N, C, H, W]`; other ranks with the channels last likewise.
pub(super) fn channels_first(cx: &mut Cx<'_>, x: &Value) -> Result<Value> {
    let rank = x.rank();
    if rank < 3 {
        return Err(mismatch(format!("{:?} is not [N, ..., C]", x.shape())));
    }
    let perm: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    permuted(cx, x, &perm)
}

/// The inverse of [`channels_first`].
pub(super) fn channels_last(cx: &mut Cx<'_>, x: &Value) -> Result<Value> {
    let perm: Vec<usize> = std::iter::once(0).chain(2..x.rank()).chain([1]).collect();
    permuted(cx, x, &perm)
}

/// First element, count and step along one axis, clamped as `Slice` says.
fn slice_axis(start: i64, end: i64, step: i64, dim: usize) -> Result<(i64, usize)> {
    if dim == 0 {
        return Ok((0, 0));
    }
    let dim = dim as i64;
    let wrap = |v: i64| if v < 0 { v.saturating_add(dim) } else { v };
    let (start, end) = match step {
        0 => return Err(invalid_model("a step of 0")),
        1.. => (wrap(start).clamp(0, dim), wrap(end).clamp(0, dim)),
        _ => (wrap(start).clamp(0, dim - 1), wrap(end).clamp(-1, dim - 1)),
    };
    let span = if step > 0 { end - start } else { start - end };
    let step = step.unsigned_abs();
    let count = if span <= 0 {
        0
    } else {
        (span as u64).div_ceil(step) as usize
    };
    Ok((start, count))
}

fn slice(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let starts = cx
        .integers("starts", 1, 10)?
        .ok_or_else(|| invalid_model("the starts are missing"))?;
    let ends = cx
        .integers("ends", 2, 10)?
        .ok_or_else(|| invalid_model("the ends are missing"))?;
    let which = match cx.integers("axes", 3, 10)? {
        Some(list) => axes(&list, x.rank())?,
        None => (0..starts.len()).collect(),
    };
    let steps = match cx.constant(4)? {
        Some(steps) => steps.to_i64_vec()?,
        None => vec![1; starts.len()],
    };
    if [ends.len(), which.len(), steps.len()] != [starts.len(); 3]
        || which.iter().any(|&a| a >= x.rank())
    {
        return Err(mismatch(format!(
            "starts {starts:?}, ends {ends:?}, axes {which:?} and steps {steps:?} do not fit rank {}",
            x.rank()
        )));
    }
    let mut shape = x.shape().to_vec();
    let mut strides = row_major(&shape);
    let mut offset = 0i64;
    for (i, &a) in which.iter().enumerate() {
        let (first, count) = slice_axis(starts[i], ends[i], steps[i], shape[a])?;
        shape[a] = count;
        if count > 0 {
            offset += first * strides[a];
        }
        strides[a] = strides[a].saturating_mul(steps[i]);
    }
    let out = if shape == x.shape() && steps.iter().all(|&s| s == 1) {
        x
    } else if shape.contains(&0) {
        cx.copies(&shape, x.dtype(), &[])?
    } else {
        strided(cx, &x, &shape, offset, strides)?
    };
    cx.set(0, out);
    Ok(())
}

/// `length` entries of axis `along` from `start` on.
pub(super) fn part(
    cx: &mut Cx<'_>,
    x: &Value,
    along: usize,
    start: usize,
    length: usize,
) -> Result<Value> {
    let mut shape = x.shape().to_vec();
    if start
        .checked_add(length)
        .is_none_or(|end| end > shape[along])
    {
        return Err(mismatch(format!(
            "{length} entries from {start} on are not in axis {along} of {shape:?}"
        )));
    }
    let strides = row_major(&shape);
    shape[along] = length;
    if shape == x.shape() {
        return Ok(x.clone());
    }
    let offset = start as i64 * strides[along];
    strided(cx, x, &shape, offset, strides)
}

fn concat(cx: &mut Cx<'_>) -> Result<()> {
    let first = cx.input(0)?;
    let given = cx.attributes.opt_int("axis")?.copied();
    let along = given.ok_or_else(|| invalid_model("attribute 'axis' is missing"))?;
    let along = axis(along, first.rank())?;
    let parts = (0..cx.arity())
        .map(|index| cx.input(index))
        .collect::<Result<Vec<_>>>()?;
    let out = join(cx, &parts, along)?;
    cx.set(0, out);
    Ok(())
}

/// The length of two axes one after the other.
fn elements_beside(a: usize, b: usize) -> Result<usize> {
    a.checked_add(b)
        .ok_or_else(|| Error::new(ErrorKind::Limit, format!("an axis of {a} and {b} entries")))
}

/// Values one after the other along an axis.
pub(super) fn join(cx: &mut Cx<'_>, parts: &[Value], along: usize) -> Result<Value> {
    let first = parts
        .first()
        .ok_or_else(|| invalid_model("nothing to join"))?;
    let mut shape = first.shape().to_vec();
    if along >= shape.len() {
        return Err(mismatch(format!("no axis {along} in {shape:?}")));
    }
    shape[along] = 0;
    for part in parts {
        one_type(first, part)?;
        let fits = part.rank() == shape.len()
            && (0..shape.len()).all(|i| i == along || part.shape()[i] == shape[i]);
        if !fits {
            return Err(mismatch(format!(
                "{:?} and {:?} do not join along axis {along}",
                first.shape(),
                part.shape()
            )));
        }
        shape[along] = elements_beside(shape[along], part.shape()[along])?;
    }
    let strides = row_major(&shape);
    let mut start = 0;
    let mut pieces = Vec::with_capacity(parts.len());
    for part in parts {
        pieces.push((
            part,
            StridedCopy {
                shape: part.shape().to_vec(),
                in_offset: 0,
                in_strides: row_major(part.shape()),
                out_offset: start as i64 * strides[along],
                out_strides: strides.clone(),
            },
        ));
        start += part.shape()[along];
    }
    cx.copies(&shape, first.dtype(), &pieces)
}

fn split(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let along = axis(cx.attributes.int("axis", 0)?, x.rank())?;
    let dim = x.shape()[along];
    let parts = cx.outputs();
    let declared = cx.attributes.opt_int("num_outputs")?;
    if declared.is_some_and(|&n| n != parts as i64) {
        return Err(invalid_model(format!(
            "num_outputs is {declared:?}, {parts} outputs are listed"
        )));
    }
    let sizes: Vec<usize> = match cx.integers("split", 1, 13)? {
        Some(list) => list
            .iter()
            .map(|&s| usize::try_from(s))
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| mismatch(format!("split {list:?}")))?,
        None => {
            let chunk = dim.div_ceil(parts.max(1));
            (0..parts)
                .map(|i| chunk.min(dim.saturating_sub(i * chunk)))
                .collect()
        }
    };
    let total = sizes.iter().try_fold(0usize, |sum, &s| sum.checked_add(s));
    if sizes.len() != parts || total != Some(dim) {
        return Err(mismatch(format!(
            "split {sizes:?} does not divide {dim} into {parts} outputs"
        )));
    }
    let strides = row_major(x.shape());
    let mut start = 0;
    for (index, size) in sizes.into_iter().enumerate() {
        if cx.wants(index) {
            let mut shape = x.shape().to_vec();
            shape[along] = size;
            let offset = start as i64 * strides[along];
            let part = strided(cx, &x, &shape, offset, strides.clone())?;
            cx.set(index, part);
        }
        start += size;
    }
    Ok(())
}

fn dims(list: &[i64]) -> Result<Vec<usize>> {
    list.iter()
        .map(|&d| usize::try_from(d))
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| mismatch(format!("{list:?} has a negative entry")))
}

fn expand(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let wanted = cx
        .constant(1)?
        .ok_or_else(|| invalid_model("the shape is missing"))?
        .to_i64_vec()?;
    let shape = broadcast(x.shape(), &dims(&wanted)?)?;
    let out = if elements(&shape)? == x.elements() {
        cx.reshaped(x, shape)?
    } else {
        let strides = broadcast_strides(x.shape(), &shape)?;
        strided(cx, &x, &shape, 0, strides)?
    };
    cx.set(0, out);
    Ok(())
}

fn tile(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let repeats = cx
        .constant(1)?
        .ok_or_else(|| invalid_model("the repeats are missing"))?
        .to_i64_vec()?;
    let repeats = dims(&repeats)?;
    if repeats.len() != x.rank() {
        return Err(mismatch(format!(
            "repeats {repeats:?} do not fit rank {}",
            x.rank()
        )));
    }
    // Every axis becomes (repeat, dim): the repeat re-reads with stride 0.
    let strides = row_major(x.shape());
    let (mut space, mut steps, mut shape) = (vec![], vec![], vec![]);
    for (i, &r) in repeats.iter().enumerate() {
        space.extend([r, x.shape()[i]]);
        steps.extend([0, strides[i]]);
        shape.push(elements(&[r, x.shape()[i]])?);
    }
    let tiled = strided(cx, &x, &space, 0, steps)?;
    let out = cx.reshaped(tiled, shape)?;
    cx.set(0, out);
    Ok(())
}

/// Blocks of channels to blocks of pixels and back: a view, a permutation and another view.
fn shuffle(cx: &mut Cx<'_>, view: Vec<usize>, perm: &[usize], shape: Vec<usize>) -> Result<()> {
    let x = cx.input(0)?;
    let viewed = cx.reshaped(x, view)?;
    let moved = permuted(cx, &viewed, perm)?;
    let out = cx.reshaped(moved, shape)?;
    cx.set(0, out);
    Ok(())
}

fn image(cx: &Cx<'_>) -> Result<([usize; 4], usize)> {
    let x = cx.input(0)?;
    let &[n, c, h, w] = x.shape() else {
        return Err(mismatch(format!("{:?} is not [N, C, H, W]", x.shape())));
    };
    let block = cx.attributes.int("blocksize", 0)?;
    match usize::try_from(block) {
        Ok(block @ 1..=65_536) => Ok(([n, c, h, w], block)),
        _ => Err(invalid_model(format!("attribute 'blocksize' = {block}"))),
    }
}

fn depth_to_space(cx: &mut Cx<'_>) -> Result<()> {
    let ([n, c, h, w], b) = image(cx)?;
    let depth = c / (b * b);
    if depth * b * b != c {
        return Err(mismatch(format!("{c} channels are no multiple of {b}²")));
    }
    let shape = vec![n, depth, h * b, w * b];
    match cx.attributes.text("mode", "DCR")? {
        "DCR" => shuffle(cx, vec![n, b, b, depth, h, w], &[0, 3, 4, 1, 5, 2], shape),
        "CRD" => shuffle(cx, vec![n, depth, b, b, h, w], &[0, 1, 4, 2, 5, 3], shape),
        other => Err(unsupported(format!(
            "attribute 'mode' = \"{other}\" is not supported"
        ))),
    }
}

fn space_to_depth(cx: &mut Cx<'_>) -> Result<()> {
    let ([n, c, h, w], b) = image(cx)?;
    if !h.is_multiple_of(b) || !w.is_multiple_of(b) {
        return Err(mismatch(format!("{h}×{w} is no multiple of {b}")));
    }
    let (h, w) = (h / b, w / b);
    let shape = vec![n, c * b * b, h, w];
    let view = vec![n, c, h, b, w, b];
    match cx.attributes.text("mode", "DCR")? {
        "DCR" => shuffle(cx, view, &[0, 3, 5, 1, 2, 4], shape),
        "CRD" => shuffle(cx, view, &[0, 1, 3, 5, 2, 4], shape),
        other => Err(unsupported(format!(
            "attribute 'mode' = \"{other}\" is not supported"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // NumPy: len(range(10)[start:end:step]) and the first element.
    #[test]
    fn slices_clamp_like_numpy() {
        assert_eq!(slice_axis(2, i64::MAX, 1, 10).unwrap(), (2, 8));
        assert_eq!(slice_axis(-3, -1, 1, 10).unwrap(), (7, 2));
        assert_eq!(slice_axis(20, 0, -4, 10).unwrap(), (9, 3));
        assert_eq!(slice_axis(-1, i64::MIN, -1, 10).unwrap(), (9, 10));
        assert_eq!(slice_axis(5, 2, 1, 10).unwrap().1, 0);
        assert_eq!(slice_axis(0, 10, 3, 10).unwrap(), (0, 4));
        assert_eq!(slice_axis(0, 5, 1, 0).unwrap().1, 0);
        assert!(slice_axis(0, 5, 0, 10).is_err());
    }
}
