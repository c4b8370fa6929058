//! Quantised weights as 16-bit floats.

use super::{Launch, cover, elements, pad16, render, word};
use crate::tensor::Packing;
use crate::{Error, ErrorKind, Result};

/// `(q - zero point) · scale` over a tensor seen as `[outer, axis, inner]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dequantize {
    /// How the elements are packed; integers.
    pub packing: Packing,
    /// Number of elements.
    pub len: usize,
    /// Length of the axis along which scales differ; 1 for one scale.
    pub axis: usize,
    /// Product of the axes after it.
    pub inner: usize,
    /// Elements of the axis that share a scale; with blocks, scales differ along the other axes as well. 0 for none.
    pub block: usize,
    /// A third input of 32-bit integers in the scales' shape.
    pub zero_points: bool,
}

/// Inputs: packed integers, `f32` scales, maybe zero points; output: [`Packing::F16`].
///
/// # Errors
/// [`ErrorKind::UnsupportedOp`] for elements that are not packed integers.
pub fn dequantize(geometry: &Dequantize) -> Result<Launch> {
    let g = geometry;
    elements(&[g.len])?;
    let (element, zero_type) = match g.packing {
        Packing::U8 => ("extractBits(in_q[at / 4u], at % 4u * 8u, 8u)", "u32"),
        Packing::I8 => ("extractBits(i32(in_q[at / 4u]), at % 4u * 8u, 8u)", "i32"),
        Packing::U4 => ("extractBits(in_q[at / 8u], at % 8u * 4u, 4u)", "u32"),
        Packing::I4 => ("extractBits(i32(in_q[at / 8u]), at % 8u * 4u, 4u)", "i32"),
        Packing::Words | Packing::F16 | Packing::BF16 => {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                format!("elements packed as {:?} are not quantised", g.packing),
            ));
        }
    };
    let (binding, zero, out) = if g.zero_points {
        (
            format!("@group(0) @binding(3) var<storage, read> in_zero: array<{zero_type}>;\n"),
            "f32(in_zero[at])",
            "4",
        )
    } else {
        (String::new(), "0.0", "3")
    };
    let words = g.len.div_ceil(2);
    Ok(Launch {
        label: "dequantize",
        key: format!("dequantize-{:?}-{}", g.packing, g.zero_points),
        wgsl: render(
            include_str!("dequantize/dequantize.wgsl"),
            &[
                ("zero_binding", &binding),
                ("out", out),
                ("element", element),
                ("zero", zero),
            ],
        ),
        params: pad16(vec![
            word(g.len)?,
            word(words)?,
            word(g.axis.max(1))?,
            word(g.inner.max(1))?,
            word(g.block)?,
            word(g.axis.div_ceil(g.block.max(1)))?,
        ]),
        workgroups: cover(words)?,
        turns: 0,
        bindings: 3 + usize::from(g.zero_points),
        flops: 0,
    })
}
