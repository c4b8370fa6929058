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
}

impl Format {
    /// Name for pipeline keys; empty for [`Format::F32`].
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::F32 => "",
        }
    }

    /// The binding `in_{name}` and its two load functions.
    pub(super) fn wgsl(self, name: &str, binding: usize) -> String {
        match self {
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
