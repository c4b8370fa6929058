//! Values of a graph: tensors that are known before the run, and tensors in buffers of the device.

use std::sync::Arc;

use super::{BufferId, Layout};
use crate::kernels::{Elem, Format};
use crate::tensor::{DType, Packing, Tensor, with_data};

/// A value met in the walk.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Known before the run.
    Const(Tensor),
    /// Computed by the run.
    Device(Device),
}

/// A tensor in a buffer of the device.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub buffer: BufferId,
    pub shape: Vec<usize>,
    pub dtype: DType,
    /// Whether every element is a number of 16 bits. A float16 tensor that a kernel computed in 32 bits is rounded when an
    /// elementwise kernel, a cast or a comparison reads it, and when it leaves the graph.
    pub half: bool,
    /// How the elements lie in the buffer; [`Packing::Words`] for everything but weights.
    pub packing: Packing,
    /// Where the elements are if not row by row; only where they are words or floats of 16 bits. Whoever binds the buffer itself has to look at this;
    /// for other launches the elements are copied into order first.
    pub layout: Option<Arc<Layout>>,
}

impl Value {
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Const(t) => t.shape(),
            Self::Device(d) => &d.shape,
        }
    }

    pub fn dtype(&self) -> DType {
        match self {
            Self::Const(t) => t.dtype(),
            Self::Device(d) => d.dtype,
        }
    }

    pub fn rank(&self) -> usize {
        self.shape().len()
    }

    pub fn elements(&self) -> usize {
        self.shape().iter().product()
    }

    pub fn constant(&self) -> Option<&Tensor> {
        match self {
            Self::Const(t) => Some(t),
            Self::Device(_) => None,
        }
    }
}

impl Value {
    /// How a launch that reads any [`Format`] finds the elements.
    pub fn format(&self) -> Format {
        match self {
            Self::Device(device) => match device.packing {
                Packing::F16 => Format::F16,
                Packing::BF16 => Format::BF16,
                _ => Format::F32,
            },
            Self::Const(_) => Format::F32,
        }
    }
}

impl Value {
    /// Whether the elements still have to be rounded to the 16 bits that the type has.
    pub fn unrounded(&self) -> bool {
        matches!(self, Self::Device(d) if d.dtype == DType::F16 && !d.half)
    }

    /// The value, noted to hold numbers of 16 bits alone if `half`.
    pub fn noted(self, half: bool) -> Self {
        match self {
            Self::Device(device) => Self::Device(Device { half, ..device }),
            known => known,
        }
    }

    /// Whether every element is a number of 16 bits.
    pub fn is_half(&self) -> bool {
        match self {
            Self::Const(tensor) => tensor.dtype() == DType::F16,
            Self::Device(device) => device.half,
        }
    }

    /// How the elements lie in their buffer.
    pub fn packing(&self) -> Packing {
        match self {
            Self::Const(_) => Packing::Words,
            Self::Device(device) => device.packing,
        }
    }
}

/// How the device holds a type.
pub(crate) fn elem(dtype: DType) -> Elem {
    match dtype {
        DType::F32 | DType::F16 | DType::BF16 => Elem::F32,
        DType::I64 | DType::I32 | DType::I8 => Elem::I32,
        DType::U8 => Elem::U32,
        DType::Bool => Elem::Bool,
    }
}

/// Identifies the elements of a tensor for as long as it lives: address and length.
pub(crate) fn data_key(tensor: &Tensor) -> (usize, usize) {
    with_data!(tensor.data(), v => (v.as_ptr().addr(), v.len()))
}
