//! Weighted gathers along one axis: interpolation whose taps are computed beforehand.

use super::{Launch, cover, elements, pad16, render, word};
use crate::{Error, ErrorKind, Result};

/// `out[o, j, i] = Σₜ weights[j, t] · x[o, indices[j, t], i]` over `[outer, axis, inner]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resample {
    /// Product of the axes before.
    pub outer: usize,
    /// Length of the axis in the input.
    pub input: usize,
    /// Length of the axis in the output.
    pub output: usize,
    /// Product of the axes after.
    pub inner: usize,
    /// Taps per output entry.
    pub taps: usize,
}

/// Inputs X, weights `[output, taps]` (`f32`), indices `[output, taps]` (`i32`). A tap of index -1 adds its weight itself.
pub fn resample(geometry: &Resample) -> Result<Launch> {
    let g = geometry;
    elements(&[g.outer, g.input, g.inner])?;
    elements(&[g.output, g.taps])?;
    let len = elements(&[g.outer, g.output, g.inner])?;
    if g.taps == 0 || g.input == 0 {
        return Err(Error::new(
            ErrorKind::ShapeMismatch,
            format!("{g:?} has nothing to read"),
        ));
    }
    Ok(Launch {
        label: "resample",
        key: "resample".to_owned(),
        wgsl: render(include_str!("resample/axis.wgsl"), &[]),
        params: pad16(vec![
            word(len)?,
            word(g.input)?,
            word(g.output)?,
            word(g.inner)?,
            word(g.taps)?,
        ]),
        workgroups: cover(len)?,
        turns: g.taps,
        bindings: 4,
        flops: 0,
    })
}
