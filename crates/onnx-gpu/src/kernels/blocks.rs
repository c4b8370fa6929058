//! Brings quantised blocks into the layout of [`Format::Blocks`](super::Format::Blocks).

use super::operand::Blocks;
use super::{Launch, cover, elements, pad16, render, word};
use crate::tensor::Packing;
use crate::{Error, ErrorKind, Result};

/// Where the zero points of blocks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroPoints {
    /// The middle of the range for all: 8 or 128.
    Middle,
    /// A third input of bytes, one per word; with 4 bits the low half of a byte is the first, and every row starts a byte.
    Bytes,
    /// A third input of one `f32` per block.
    Floats,
}

/// Inputs: the elements as bytes (two 4-bit elements per byte, the low half first), packed as `packing` says
/// ([`Packing::U8`] or [`Packing::Words`]), one `f32` scale per block, and maybe zero points; `rows` rows of `per_row` blocks.
/// Output: [`Blocks::words`] words per block.
///
/// # Errors
/// [`ErrorKind::UnsupportedOp`] for another width, size or packing.
pub fn pack(
    blocks: Blocks,
    rows: usize,
    per_row: usize,
    zero_points: ZeroPoints,
    packing: Packing,
) -> Result<Launch> {
    let byte = match packing {
        Packing::U8 => "extractBits(in_q[at / 4u], at % 4u * 8u, 8u)",
        Packing::Words => "in_q[at]",
        other => return Err(refuse(format!("blocks packed as {other:?}"))),
    };
    if !matches!(blocks.bits, 4 | 8) || blocks.size < 16 || !blocks.size.is_power_of_two() {
        return Err(refuse(format!(
            "blocks of {} elements of {} bits",
            blocks.size, blocks.bits
        )));
    }
    let count = elements(&[rows, per_row])?;
    elements(&[count, blocks.words() as usize])?;
    elements(&[count, blocks.size as usize])?;
    let (input, zero) = match zero_points {
        ZeroPoints::Middle => ("", format!("{}.0", 1u32 << (blocks.bits - 1))),
        ZeroPoints::Bytes if blocks.bits == 8 => ("array<u32>", "f32(in_zero[i])".to_owned()),
        ZeroPoints::Bytes => (
            "array<u32>",
            "f32(extractBits(in_zero[row * ((params.per_row + 1u) / 2u) + column / 2u], column % 2u * 4u, 4u))"
                .to_owned(),
        ),
        ZeroPoints::Floats => ("array<f32>", "in_zero[i]".to_owned()),
    };
    let (binding, out) = if input.is_empty() {
        (String::new(), "3")
    } else {
        (
            format!("@group(0) @binding(3) var<storage, read> in_zero: {input};\n"),
            "4",
        )
    };
    Ok(Launch {
        label: "blocks",
        key: format!(
            "blocks-{}x{}-{zero_points:?}-{packing:?}",
            blocks.bits, blocks.size
        ),
        wgsl: render(
            include_str!("blocks/pack.wgsl"),
            &[
                ("zero_binding", &binding),
                ("out", out),
                ("byte", byte),
                ("zero", &zero),
                ("words", &blocks.words().to_string()),
                ("bytes", &(blocks.size * blocks.bits / 8).to_string()),
            ],
        ),
        params: pad16(vec![word(count)?, word(per_row)?]),
        workgroups: cover(count)?,
        turns: 0,
        bindings: 3 + usize::from(!input.is_empty()),
        flops: 0,
    })
}

fn refuse(what: String) -> Error {
    Error::new(
        ErrorKind::UnsupportedOp,
        format!("{what} are not supported"),
    )
}
