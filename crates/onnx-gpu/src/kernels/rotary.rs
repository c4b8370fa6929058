//! Pairs of numbers of every head turned by an angle.

use super::{Launch, cover, elements, pad16, render, row_major, word};
use crate::{Error, ErrorKind, Result};

/// A rotation of all of every head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotary {
    /// Batches.
    pub batch: usize,
    /// Tokens.
    pub length: usize,
    /// Heads.
    pub heads: usize,
    /// Numbers of a head, which are even.
    pub size: usize,
    /// Whether X is `[batch, length, heads · size]`, not `[batch, heads, length, size]`.
    pub flat: bool,
    /// Whether neighbours make a pair, not numbers half a head apart.
    pub interleaved: bool,
    /// Whether every batch has angles of its own.
    pub own_angles: bool,
}

/// Inputs X, cosines and sines `[batch or 1, length, size / 2]`; one output of X's shape. All `f32`.
pub fn rotary(geometry: &Rotary) -> Result<Launch> {
    let g = geometry;
    if !g.size.is_multiple_of(2) {
        return Err(Error::new(
            ErrorKind::ShapeMismatch,
            format!("heads of {} numbers do not divide into pairs", g.size),
        ));
    }
    let half = g.size / 2;
    elements(&[g.batch, g.length, g.heads, g.size])?;
    let len = elements(&[g.batch, g.length, g.heads, half])?;
    let shape = if g.flat {
        [g.batch, g.length, g.heads, g.size]
    } else {
        [g.batch, g.heads, g.length, g.size]
    };
    let steps: Vec<usize> = row_major(&shape)
        .iter()
        .map(|s| s.unsigned_abs() as usize)
        .collect();
    let (row, head) = if g.flat {
        (steps[1], steps[2])
    } else {
        (steps[2], steps[1])
    };
    let (step, apart) = if g.interleaved { (2, 1) } else { (1, half) };
    let lead = if g.own_angles { g.length * half } else { 0 };
    let words = [
        len, half, g.heads, g.length, steps[0], row, head, step, apart, lead,
    ];
    Ok(Launch {
        label: "rotary",
        key: "rotary".to_owned(),
        wgsl: render(include_str!("rotary/pairs.wgsl"), &[]),
        params: pad16(words.into_iter().map(word).collect::<Result<_>>()?),
        workgroups: cover(len)?,
        turns: 0,
        bindings: 4,
        flops: 0,
    })
}
