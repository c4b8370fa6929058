//! What kernels are chosen for.

use super::{AdapterClass, Tiles};

/// What a program is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub tiles: Tiles,
    /// Most bytes of a buffer that a launch binds.
    pub max_binding: u64,
}

impl From<AdapterClass> for Target {
    /// An adapter that binds no more than what every WebGPU device does.
    fn from(class: AdapterClass) -> Self {
        Self {
            tiles: class.into(),
            max_binding: 128 << 20,
        }
    }
}
