//! Ranges and cumulative sums.

use super::{Elem, Launch, cover, elements, pad16, render, word};
use crate::{Error, ErrorKind, Result};

/// No input, one output: `len` elements `start + i·step`. Start and step are bits of `elem` (`F32` or `I32`).
pub fn range(elem: Elem, len: usize, start: u32, step: u32) -> Result<Launch> {
    let item = number("range", elem)?;
    Ok(Launch {
        label: "range",
        key: format!("range-{item}"),
        wgsl: render(include_str!("scan/range.wgsl"), &[("item", item)]),
        params: vec![word(len)?, start, step, 0],
        workgroups: cover(len)?,
        turns: 0,
        bindings: 1,
        flops: 0,
    })
}

fn number(what: &str, elem: Elem) -> Result<&'static str> {
    match elem {
        Elem::F32 | Elem::I32 => Ok(elem.wgsl()),
        Elem::U32 | Elem::Bool => Err(Error::new(
            ErrorKind::UnsupportedOp,
            format!("{what} of {elem:?} elements"),
        )),
    }
}

/// A cumulative sum along the middle axis of `[outer, axis, inner]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CumSum {
    /// `F32` or `I32`.
    pub elem: Elem,
    /// Product of the axes before.
    pub outer: usize,
    /// Length of the summed axis.
    pub axis: usize,
    /// Product of the axes after.
    pub inner: usize,
    /// Leave the element itself out.
    pub exclusive: bool,
    /// From the end.
    pub reverse: bool,
}

/// One input, one output of the same shape.
pub fn cumsum(geometry: &CumSum) -> Result<Launch> {
    let g = geometry;
    elements(&[g.outer, g.axis, g.inner])?;
    let item = number("cumsum", g.elem)?;
    let lines = elements(&[g.outer, g.inner])?;
    Ok(Launch {
        label: "cumsum",
        key: format!("cumsum-{item}"),
        wgsl: render(include_str!("scan/cumsum.wgsl"), &[("item", item)]),
        params: pad16(vec![
            word(lines)?,
            word(g.axis)?,
            word(g.inner)?,
            u32::from(g.exclusive),
            u32::from(g.reverse),
        ]),
        workgroups: cover(lines)?,
        turns: g.axis,
        bindings: 2,
        flops: 0,
    })
}
