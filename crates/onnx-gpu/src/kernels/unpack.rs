//! Packed weights as the 32-bit words that every kernel reads.

use super::{Launch, cover, elements, render, word};
use crate::Result;
use crate::tensor::Packing;

/// Input: `len` elements packed as `packing` says; output: one word each, `f32` for [`Packing::F16`] and [`Packing::BF16`], else an
/// integer.
pub fn unpack(packing: Packing, len: usize) -> Result<Launch> {
    elements(&[len])?;
    let (name, output, value) = match packing {
        Packing::Words => ("words", "u32", "word"),
        Packing::F16 => ("f16", "f32", "unpack2x16float(word)[part]"),
        Packing::BF16 => (
            "bf16",
            "f32",
            "bitcast<f32>(select(word << 16u, word & 0xffff0000u, part == 1u))",
        ),
        Packing::U8 => ("u8", "u32", "extractBits(word, part * 8u, 8u)"),
        Packing::I8 => ("i8", "i32", "extractBits(i32(word), part * 8u, 8u)"),
        Packing::U4 => ("u4", "u32", "extractBits(word, part * 4u, 4u)"),
        Packing::I4 => ("i4", "i32", "extractBits(i32(word), part * 4u, 4u)"),
    };
    let per_word = packing.per_word();
    Ok(Launch {
        label: "unpack",
        key: format!("unpack-{name}"),
        wgsl: render(
            include_str!("unpack/unpack.wgsl"),
            &[
                ("output", output),
                ("value", value),
                ("per_word", &per_word.to_string()),
            ],
        ),
        params: vec![word(len)?, word(len.div_ceil(per_word))?, 0, 0],
        workgroups: cover(len.div_ceil(per_word))?,
        turns: 0,
        bindings: 2,
        flops: 0,
    })
}
