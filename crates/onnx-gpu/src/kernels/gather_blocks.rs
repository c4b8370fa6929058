//! Entries of a table of quantised blocks, widened as they are gathered.

use super::operand::Scales;
use super::{Launch, cover, elements, pad16, render, word};
use crate::tensor::Packing;
use crate::{Error, ErrorKind, Result};

/// How integers lie in storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Integers {
    /// Bits of each, 4 or 8; those of a word lie behind each other from the lowest bit on.
    pub bits: u32,
    /// Whether the highest bit is a sign.
    pub signed: bool,
}

impl Integers {
    /// What a packing means; none for words and floats.
    pub fn of(packing: Packing) -> Option<Self> {
        let (bits, signed) = match packing {
            Packing::U8 => (8, false),
            Packing::I8 => (8, true),
            Packing::U4 => (4, false),
            Packing::I4 => (4, true),
            Packing::Words | Packing::F16 | Packing::BF16 => return None,
        };
        Some(Self { bits, signed })
    }

    fn wgsl(self, array: &str, at: &str) -> String {
        let Self { bits, signed } = self;
        let per_word = 32 / bits;
        let word = format!("{array}[{at} / {per_word}u]");
        let word = if signed { format!("i32({word})") } else { word };
        format!("extractBits({word}, {at} % {per_word}u * {bits}u, {bits}u)")
    }

    fn key(self) -> String {
        format!("{}{}", if self.signed { "i" } else { "u" }, self.bits)
    }
}

/// A gather along an axis of data `[outer, axis, inner]`, whose blocks lie along another one or the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatherBlocks {
    /// Product of the axes before the indexed one.
    pub outer: usize,
    /// Length of the indexed axis.
    pub axis: usize,
    /// Product of the axes after it.
    pub inner: usize,
    /// Number of indices.
    pub indices: usize,
    /// Length of the axis along which blocks lie.
    pub q_axis: usize,
    /// Product of the axes after that.
    pub q_inner: usize,
    /// Elements of a block.
    pub block: usize,
    /// How the elements are stored.
    pub elements: Integers,
    /// How the scales are stored.
    pub scales: Scales,
    /// Scales in a row along the last axis.
    pub scale_row: usize,
    /// Zero points in such a row, at least as many.
    pub zero_row: usize,
    /// Where zero points come from.
    pub zeros: ZeroPoint,
}

/// Zero points: an input, or one number for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroPoint {
    /// A fourth input.
    Stored(Integers),
    /// The same for all.
    Number(u32),
}

/// Inputs elements, indices (`i32`), scales and maybe zero points, both with one entry for each block; the output is
/// `[outer, indices, inner]` of `f32`.
///
/// # Errors
/// [`ErrorKind::Limit`] where an element cannot be indexed, [`ErrorKind::UnsupportedOp`] for integers of other widths.
pub fn gather_blocks(geometry: &GatherBlocks) -> Result<Launch> {
    let g = geometry;
    let stored = match g.zeros {
        ZeroPoint::Stored(integers) => Some(integers),
        ZeroPoint::Number(_) => None,
    };
    for integers in [Some(g.elements), stored].into_iter().flatten() {
        if !matches!(integers.bits, 4 | 8) {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                format!("integers of {} bits are not supported", integers.bits),
            ));
        }
    }
    elements(&[g.outer, g.axis, g.inner])?;
    let len = elements(&[g.outer, g.indices, g.inner])?;
    let (element, scale) = match g.scales {
        Scales::F32 => ("f32", "in_scales[block]"),
        Scales::F16 => ("u32", "unpack2x16float(in_scales[block / 2u])[block % 2u]"),
    };
    let mut beside =
        format!("@group(0) @binding(3) var<storage, read> in_scales: array<{element}>;\n");
    let zero = match g.zeros {
        ZeroPoint::Stored(integers) => {
            beside += "@group(0) @binding(4) var<storage, read> in_zeros: array<u32>;\n";
            format!("f32({})", integers.wgsl("in_zeros", "zero_at"))
        }
        ZeroPoint::Number(number) => format!("{number}.0"),
    };
    let bindings = 4 + usize::from(stored.is_some());
    let key = match g.zeros {
        ZeroPoint::Stored(integers) => format!("z{}", integers.key()),
        ZeroPoint::Number(number) => number.to_string(),
    };
    Ok(Launch {
        label: "gather",
        key: format!("gather_blocks-{}-{:?}-{key}", g.elements.key(), g.scales),
        wgsl: render(
            include_str!("gather/blocks.wgsl"),
            &[
                ("beside", &beside),
                ("out", &bindings.to_string()),
                ("element", &g.elements.wgsl("in_q", "at")),
                ("zero", &zero),
                ("scale", scale),
            ],
        ),
        params: pad16(vec![
            word(len)?,
            word(g.axis)?,
            word(g.inner.max(1))?,
            word(g.indices.max(1))?,
            word(g.q_axis.max(1))?,
            word(g.q_inner.max(1))?,
            word(g.block.max(1))?,
            word(g.q_axis.div_ceil(g.block.max(1)))?,
            word(g.scale_row.max(1))?,
            word(g.zero_row.max(1))?,
        ]),
        workgroups: cover(len)?,
        turns: 0,
        bindings,
        flops: 0,
    })
}
