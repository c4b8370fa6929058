//! How a matrix operand or a convolution's weights lie in storage.
//!
//! Templates read an operand only through two generated functions, so that a storage format is one text here:
//! `fn load_{name}(at: u32) -> f32` gives element `at`, `fn load4_{name}(at: vec4<u32>) -> vec4<f32>` four of them.

/// Storage format of an operand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats, two per word; needs no `shader-f16`.
    F16,
    /// Upper halves of 32-bit floats, two per word.
    BF16,
    /// Quantised blocks as [`super::blocks::pack`] writes them.
    Blocks(Blocks),
    /// Quantised blocks as files have them: the elements, and the scales in a binding of their own; the zero point is the middle of the
    /// range.
    Scaled(Blocks, Scales),
    /// Signed whole numbers of 8 bits, four per word. What is summed is multiplied by a scale for each row, which has a binding of its
    /// own.
    Channels,
}

/// How the scales of blocks are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scales {
    /// 32-bit floats.
    F32,
    /// 16-bit floats, two per word.
    F16,
}

/// Blocks of unsigned integers with a scale and a zero point each: `(q - zero point) · scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Blocks {
    /// Bits of an element, 4 or 8.
    pub bits: u32,
    /// Elements per block, a power of two from 16 on.
    pub size: u32,
}

impl Blocks {
    /// Words of one block: scale, zero point, elements.
    pub const fn words(self) -> u32 {
        2 + self.size * self.bits / 32
    }
}

impl Format {
    /// Name for pipeline keys; empty for [`Format::F32`].
    pub(super) fn key(self) -> String {
        match self {
            Self::F32 => String::new(),
            Self::F16 => "-f16".to_owned(),
            Self::BF16 => "-bf16".to_owned(),
            Self::Blocks(Blocks { bits, size }) => format!("-q{bits}x{size}"),
            Self::Channels => "-c8".to_owned(),
            Self::Scaled(Blocks { bits, size }, Scales::F32) => format!("-s{bits}x{size}"),
            Self::Scaled(Blocks { bits, size }, Scales::F16) => format!("-s{bits}x{size}-f16"),
        }
    }

    /// Whether there is a binding for the scales.
    pub(super) fn is_scaled(self) -> bool {
        matches!(self, Self::Scaled(..) | Self::Channels)
    }

    /// The binding `in_{name}` and its two load functions; `scales` is the binding of the scales, where they have one.
    pub(super) fn wgsl(self, name: &str, binding: usize, scales: usize) -> String {
        match self {
            Self::Channels => format!(
                "@group(0) @binding({binding}) var<storage, read> in_{name}: array<u32>;
@group(0) @binding({scales}) var<storage, read> in_{name}_scales: array<f32>;
fn load_{name}(at: u32) -> f32 {{
    return f32(extractBits(i32(in_{name}[at / 4u]), at % 4u * 8u, 8u));
}}
{}",
                four(name)
            ),
            Self::Scaled(Blocks { bits, size }, stored) => {
                let (element, scale) = match stored {
                    Scales::F32 => ("f32", format!("in_{name}_scales[block]")),
                    Scales::F16 => (
                        "u32",
                        format!("unpack2x16float(in_{name}_scales[block / 2u])[block % 2u]"),
                    ),
                };
                format!(
                    "@group(0) @binding({binding}) var<storage, read> in_{name}: array<u32>;
@group(0) @binding({scales}) var<storage, read> in_{name}_scales: array<{element}>;
fn load_{name}(at: u32) -> f32 {{
    let block = at / {size}u;
    let q = extractBits(in_{name}[at / {per_word}u], at % {per_word}u * {bits}u, {bits}u);
    return (f32(q) - {middle}.0) * {scale};
}}
{four}",
                    per_word = 32 / bits,
                    middle = 1u32 << (bits - 1),
                    four = four(name)
                )
            }
            Self::F16 => format!(
                "@group(0) @binding({binding}) var<storage, read> in_{name}: array<u32>;
fn load_{name}(at: u32) -> f32 {{
    return unpack2x16float(in_{name}[at / 2u])[at % 2u];
}}
{}",
                four(name)
            ),
            Self::BF16 => format!(
                "@group(0) @binding({binding}) var<storage, read> in_{name}: array<u32>;
fn load_{name}(at: u32) -> f32 {{
    let word = in_{name}[at / 2u];
    return bitcast<f32>(select(word << 16u, word & 0xffff0000u, at % 2u == 1u));
}}
{}",
                four(name)
            ),
            Self::Blocks(blocks) => format!(
                "@group(0) @binding({binding}) var<storage, read> in_{name}: array<u32>;
fn load_{name}(at: u32) -> f32 {{
    let block = at / {size}u * {words}u;
    let i = at % {size}u;
    let q = extractBits(in_{name}[block + 2u + i / {per_word}u], i % {per_word}u * {bits}u, {bits}u);
    return (f32(q) - bitcast<f32>(in_{name}[block + 1u])) * bitcast<f32>(in_{name}[block]);
}}
{four}",
                size = blocks.size,
                words = blocks.words(),
                per_word = 32 / blocks.bits,
                bits = blocks.bits,
                four = four(name)
            ),
            Self::F32 => format!(
                "@group(0) @binding({binding}) var<storage, read> in_{name}: array<f32>;
fn load_{name}(at: u32) -> f32 {{
    return in_{name}[at];
}}
fn load4_{name}(at: vec4<u32>) -> vec4<f32> {{
    return vec4<f32>(in_{name}[at.x], in_{name}[at.y], in_{name}[at.z], in_{name}[at.w]);
}}
"
            ),
        }
    }
}

/// `load4_{name}` by way of `load_{name}`.
fn four(name: &str) -> String {
    format!(
        "fn load4_{name}(at: vec4<u32>) -> vec4<f32> {{
    return vec4<f32>(load_{name}(at.x), load_{name}(at.y), load_{name}(at.z), load_{name}(at.w));
}}
"
    )
}
