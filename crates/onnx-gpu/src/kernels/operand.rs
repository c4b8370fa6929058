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
    /// Quantised blocks as files have them: the elements, the scales in a binding of their own and, behind it, zero points where they are
    /// not the middle of the range.
    Scaled(Blocks, Scales, Zeros),
    /// Signed whole numbers of 8 bits, four per word. What is summed is multiplied by a scale for each row, which has a binding of its
    /// own.
    Channels,
}

/// Where the zero points of blocks as files have them come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zeros {
    /// The middle of the range for all.
    Middle,
    /// As many bits as an element each; every row of blocks starts a byte.
    Packed,
    /// 32-bit floats.
    F32,
    /// 16-bit floats, two per word.
    F16,
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
    /// Bits of an element: 4 or 8, as files have them also 2 or 3.
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
            Self::Scaled(Blocks { bits, size }, scales, zeros) => {
                let scales = match scales {
                    Scales::F32 => "",
                    Scales::F16 => "-f16",
                };
                let zeros = match zeros {
                    Zeros::Middle => "",
                    Zeros::Packed => "-z",
                    Zeros::F32 => "-z32",
                    Zeros::F16 => "-z16",
                };
                format!("-s{bits}x{size}{scales}{zeros}")
            }
        }
    }

    /// Whether there is a binding for the scales.
    pub(super) fn is_scaled(self) -> bool {
        matches!(self, Self::Scaled(..) | Self::Channels)
    }

    /// Bindings besides that of the elements.
    pub(super) fn beside(self) -> usize {
        match self {
            Self::Scaled(_, _, Zeros::Middle) | Self::Channels => 1,
            Self::Scaled(..) => 2,
            Self::F32 | Self::F16 | Self::BF16 | Self::Blocks(_) => 0,
        }
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
            Self::Scaled(blocks, stored, zeros) => scaled(name, [binding, scales], blocks, stored, zeros),
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

/// The statements that take element `at` of unsigned integers, bit behind bit in `array`, for the name `to`.
fn bits_of(array: &str, at: &str, bits: u32, to: &str) -> String {
    if bits == 3 {
        // Three words hold 32 elements, of which two lie across an edge.
        return format!(
            "    let {to}_bit = ({at}) % 32u * 3u;
    let {to}_word = ({at}) / 32u * 3u + {to}_bit / 32u;
    let {to}_low = {array}[{to}_word] >> ({to}_bit % 32u);
    let {to}_high = {array}[{to}_word + 1u] << ((32u - {to}_bit % 32u) % 32u);
    let {to} = select({to}_low, {to}_low | {to}_high, {to}_bit % 32u > 29u) & 7u;
"
        );
    }
    let per_word = 32 / bits;
    format!(
        "    let {to} = extractBits({array}[({at}) / {per_word}u], ({at}) % {per_word}u * {bits}u, {bits}u);
"
    )
}

/// The declaration of an array of floats, and the expression for the one at `at`.
fn floats_of(array: &str, binding: usize, at: &str, halves: bool) -> [String; 2] {
    let (element, value) = if halves {
        (
            "u32",
            format!("unpack2x16float({array}[{at} / 2u])[{at} % 2u]"),
        )
    } else {
        ("f32", format!("{array}[{at}]"))
    };
    [
        format!("@group(0) @binding({binding}) var<storage, read> {array}: array<{element}>;\n"),
        value,
    ]
}

/// [`Format::wgsl`] of blocks as files have them; `params.{name}_col` is the number of elements from one row to the next.
fn scaled(
    name: &str,
    [binding, beside]: [usize; 2],
    Blocks { bits, size }: Blocks,
    scales: Scales,
    zeros: Zeros,
) -> String {
    let array = format!("in_{name}");
    let halves = scales == Scales::F16;
    let [scale_binding, scale] = floats_of(&format!("{array}_scales"), beside, "block", halves);
    let zero_array = format!("{array}_zeros");
    let [zero_binding, find, zero] = match zeros {
        Zeros::Middle => [
            String::new(),
            String::new(),
            format!("{}.0", 1u32 << (bits - 1)),
        ],
        Zeros::F32 | Zeros::F16 => {
            let [declared, value] =
                floats_of(&zero_array, beside + 1, "block", zeros == Zeros::F16);
            [declared, String::new(), value]
        }
        Zeros::Packed => {
            // In units of whole bytes per row; elements of 3 bits are taken by their first bit.
            let find = format!(
                "    let per_row = params.{name}_col / {size}u;
    let zero_bit = block / per_row * ((per_row * {bits}u + 7u) / 8u * 8u) + block % per_row * {bits}u;
    let zero_low = {zero_array}[zero_bit / 32u] >> (zero_bit % 32u);
    let zero_high = {zero_array}[zero_bit / 32u + 1u] << ((32u - zero_bit % 32u) % 32u);
    let zero = select(zero_low, zero_low | zero_high, zero_bit % 32u > {last}u) & {mask}u;
",
                last = 32 - bits,
                mask = (1u32 << bits) - 1,
            );
            let declared = format!(
                "@group(0) @binding({}) var<storage, read> {zero_array}: array<u32>;\n",
                beside + 1
            );
            [declared, find, "f32(zero)".to_owned()]
        }
    };
    format!(
        "@group(0) @binding({binding}) var<storage, read> {array}: array<u32>;
{scale_binding}{zero_binding}fn load_{name}(at: u32) -> f32 {{
    let block = at / {size}u;
{q}{find}    return (f32(q) - {zero}) * {scale};
}}
{four}",
        q = bits_of(&array, "at", bits, "q"),
        four = four(name)
    )
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
