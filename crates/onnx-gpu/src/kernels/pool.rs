//! Max and average pooling over the two spatial axes of NCHW.

use super::{Launch, cover, elements, render, signed, word};
use crate::{Error, ErrorKind, Result};

/// What a pool computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolOp {
    /// Maximum; padding never wins.
    Max,
    /// Mean over the window, padding included or not.
    Average {
        /// Divide by the window's size, padding counted.
        count_include_pad: bool,
    },
}

/// A pool of `planes` images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The function.
    pub op: PoolOp,
    /// N·C.
    pub planes: usize,
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width (already rounded by `ceil_mode`).
    pub output: [usize; 2],
    /// Window height and width.
    pub kernel: [usize; 2],
    /// Strides.
    pub strides: [usize; 2],
    /// Top, left, bottom, right padding.
    pub pads: [usize; 4],
    /// Dilations.
    pub dilations: [usize; 2],
}

/// One `f32` input, one output.
pub fn pool(geometry: &Pool) -> Result<Launch> {
    let g = geometry;
    elements(&[g.planes, g.input[0], g.input[1]])?;
    let len = elements(&[g.planes, g.output[0], g.output[1]])?;
    if (0..2).any(|a| g.pads[a] >= g.kernel[a] * g.dilations[a].max(1) || g.input[a] == 0) {
        return Err(Error::new(
            ErrorKind::ShapeMismatch,
            format!("{g:?}: a window lies in the padding alone"),
        ));
    }
    let average = "acc / max(count, 1.0)";
    let padded = "y < params.end_h && x < params.end_w";
    let (name, init, step, counts, finish) = match g.op {
        PoolOp::Max => (
            "max",
            "0.0",
            "select(acc, value, count == 0.0 || value > acc || (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u)",
            "inside",
            "acc",
        ),
        PoolOp::Average {
            count_include_pad: false,
        } => ("average", "0.0", "acc + value", "inside", average),
        PoolOp::Average {
            count_include_pad: true,
        } => ("average_pad", "0.0", "acc + value", padded, average),
    };
    let mut params = Vec::new();
    for pair in [g.input, g.output, g.kernel, g.strides, g.dilations] {
        params.extend([word(pair[0])?, word(pair[1])?]);
    }
    for size in [
        g.pads[0],
        g.pads[1],
        g.input[0] + g.pads[2],
        g.input[1] + g.pads[3],
    ] {
        params.push(signed(i64::from(word(size)?))?);
    }
    params.extend([word(len)?, 0]);
    Ok(Launch {
        label: "pool",
        key: format!("pool-{name}"),
        wgsl: render(
            include_str!("pool/pool.wgsl"),
            &[
                ("init", init),
                ("step", step),
                ("counts", counts),
                ("finish", finish),
            ],
        ),
        params,
        workgroups: cover(len)?,
        turns: g.kernel[0].saturating_mul(g.kernel[1] + 2),
        bindings: 2,
        flops: 0,
    })
}
