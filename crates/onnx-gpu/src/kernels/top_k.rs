//! The places of the largest or smallest elements along an axis.

use super::{Elem, Launch, cover, elements, pad16, render, word};
use crate::{Error, ErrorKind, Result};

/// The `k` first of the order along the middle axis of `[outer, axis, inner]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopK {
    /// `F32` or `I32`, or `U32`.
    pub elem: Elem,
    /// Product of the axes before.
    pub outer: usize,
    /// Length of the ordered axis.
    pub axis: usize,
    /// Product of the axes after.
    pub inner: usize,
    /// Results per line, at most `axis`.
    pub k: usize,
    /// From the largest down; else from the smallest up.
    pub largest: bool,
}

/// One input, one output `[outer, k, inner]` of `i32` places; of equal elements the first comes first.
///
/// Every element counts those before it in the order: quadratic in the axis, without barriers. A NaN counts as larger than any
/// number.
pub fn top_k(geometry: &TopK) -> Result<Launch> {
    let g = geometry;
    if g.k > g.axis || g.elem == Elem::Bool {
        return Err(Error::new(
            ErrorKind::UnsupportedOp,
            format!("{g:?} is not supported"),
        ));
    }
    let len = elements(&[g.outer, g.axis, g.inner])?;
    let key = match g.elem {
        // An order on the bits that agrees with that on the numbers.
        Elem::F32 => "select(bits | 0x80000000u, ~bits, bits > 0x80000000u && bits <= 0xff800000u)",
        Elem::I32 => "bits ^ 0x80000000u",
        Elem::U32 | Elem::Bool => "bits",
    };
    Ok(Launch {
        label: "top_k",
        key: format!("top_k-{:?}", g.elem),
        wgsl: render(include_str!("top_k/ranks.wgsl"), &[("key", key)]),
        params: pad16(vec![
            word(len)?,
            word(g.axis)?,
            word(g.inner)?,
            word(g.k)?,
            u32::from(g.largest),
        ]),
        workgroups: cover(len)?,
        turns: g.axis,
        bindings: 2,
        flops: 0,
    })
}
