//! Dense tensors in main memory: a shape and typed elements in row-major order.

mod axes;
mod cast;
mod packing;
mod tolerance;

use std::sync::Arc;

use half::{bf16, f16};

use crate::error::{Error, ErrorKind, Result};

pub(crate) use axes::{axes, axis, broadcast, split_at_axis};
pub use packing::Packing;
pub use tolerance::Tolerance;

/// Element type of a tensor. ONNX `double` is narrowed to [`DType::F32`] when a model is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit float; kept as such in main memory, widened to 32 bits on the GPU.
    F16,
    /// The upper half of a 32-bit float: what weights are stored as. It is moved and converted, and not computed with.
    BF16,
    /// 64-bit signed integer; 32 bits on the GPU.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 8-bit unsigned integer; 32 bits on the GPU.
    U8,
    /// 8-bit signed integer; 32 bits on the GPU.
    I8,
    /// Truth value; a `u32` of 0 or 1 on the GPU.
    Bool,
}

/// Names of element types that nothing is computed with, by their numbers in `TensorProto.DataType`.
#[rustfmt::skip]
const UNSUPPORTED: [&str; 27] = [
    "", "", "", "", "uint16", "int16", "", "", "string", "", "", "", "uint32", "uint64", "complex64", "complex128", "",
    "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2",
];

impl DType {
    /// The type named by an ONNX `TensorProto.DataType` number.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedOp`] for types this crate does not compute with.
    pub fn from_onnx(code: i64) -> Result<Self> {
        Ok(match code {
            1 | 11 => Self::F32,
            2 => Self::U8,
            3 => Self::I8,
            6 => Self::I32,
            7 => Self::I64,
            9 => Self::Bool,
            10 => Self::F16,
            16 => Self::BF16,
            _ => {
                let name = usize::try_from(code)
                    .ok()
                    .and_then(|at| UNSUPPORTED.get(at));
                let name = name.filter(|name| !name.is_empty());
                let name = name.map_or_else(|| format!("number {code}"), ToString::to_string);
                return Err(Error::new(
                    ErrorKind::UnsupportedOp,
                    format!("the ONNX element type {name} is not supported"),
                ));
            }
        })
    }

    /// Whether this is a floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16)
    }

    /// Bytes of one element in main memory.
    pub fn size(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::I64 => 8,
            Self::U8 | Self::I8 | Self::Bool => 1,
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::I64 => "int64",
            Self::I32 => "int32",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::Bool => "bool",
        })
    }
}

/// Elements of a tensor; cloning shares them.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Data {
    F32(Arc<Vec<f32>>),
    F16(Arc<Vec<f16>>),
    BF16(Arc<Vec<bf16>>),
    I64(Arc<Vec<i64>>),
    I32(Arc<Vec<i32>>),
    U8(Arc<Vec<u8>>),
    I8(Arc<Vec<i8>>),
    Bool(Arc<Vec<bool>>),
}

/// Runs an expression with the typed elements of a [`Data`] bound to a name.
macro_rules! with_data {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            $crate::tensor::Data::F32($v) => $body,
            $crate::tensor::Data::F16($v) => $body,
            $crate::tensor::Data::BF16($v) => $body,
            $crate::tensor::Data::I64($v) => $body,
            $crate::tensor::Data::I32($v) => $body,
            $crate::tensor::Data::U8($v) => $body,
            $crate::tensor::Data::I8($v) => $body,
            $crate::tensor::Data::Bool($v) => $body,
        }
    };
}
pub(crate) use with_data;

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        with_data!(self, v => v.len())
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F16(_) => DType::F16,
            Self::BF16(_) => DType::BF16,
            Self::I64(_) => DType::I64,
            Self::I32(_) => DType::I32,
            Self::U8(_) => DType::U8,
            Self::I8(_) => DType::I8,
            Self::Bool(_) => DType::Bool,
        }
    }
}

/// A dense row-major tensor. Cloning and reshaping share the elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

/// Product of the dimensions.
///
/// # Errors
/// [`ErrorKind::Limit`] when it does not fit a `usize`.
pub fn elements(shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(dim))
        .filter(|&n| n <= isize::MAX as usize / 8)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Limit,
                format!("shape {shape:?} has more elements than can be addressed"),
            )
        })
}

/// A number that a [`Tensor`] holds; for this crate's own types alone.
pub trait Element: sealed::Sealed + Copy {
    /// Its type.
    const DTYPE: DType;

    /// A tensor's elements.
    fn data(elements: Vec<Self>) -> Data;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements_of {
    ($($type:ty, $variant:ident;)*) => {$(
        impl sealed::Sealed for $type {}

        impl Element for $type {
            const DTYPE: DType = DType::$variant;

            fn data(elements: Vec<Self>) -> Data {
                Data::$variant(Arc::new(elements))
            }
        }
    )*};
}

elements_of! {
    f32, F32;
    f16, F16;
    bf16, BF16;
    i64, I64;
    i32, I32;
    u8, U8;
    i8, I8;
    bool, Bool;
}

macro_rules! constructors {
    ($($name:ident, $view:ident, $variant:ident, $type:ty;)*) => {$(
        #[doc = concat!("A tensor of `", stringify!($type), "`.")]
        ///
        /// # Errors
        /// [`ErrorKind::ShapeMismatch`] unless the product of `shape` is the number of elements.
        pub fn $name(shape: impl Into<Vec<usize>>, data: Vec<$type>) -> Result<Self> {
            Self::new(shape, Data::$variant(Arc::new(data)))
        }

        #[doc = concat!("The elements, if they are `", stringify!($type), "`.")]
        ///
        /// # Errors
        /// [`ErrorKind::InvalidInput`] for another element type.
        pub fn $view(&self) -> Result<&[$type]> {
            match &self.data {
                Data::$variant(v) => Ok(v),
                other => Err(wrong_type(DType::$variant, other.dtype())),
            }
        }
    )*};
}

impl Tensor {
    /// A tensor over existing elements.
    ///
    /// # Errors
    /// [`ErrorKind::ShapeMismatch`] unless the product of `shape` is the number of elements.
    pub fn new(shape: impl Into<Vec<usize>>, data: Data) -> Result<Self> {
        let shape = shape.into();
        let wanted = elements(&shape)?;
        if wanted != data.len() {
            return Err(Error::new(
                ErrorKind::ShapeMismatch,
                format!(
                    "shape {shape:?} wants {wanted} elements, {} given",
                    data.len()
                ),
            ));
        }
        Ok(Self { shape, data })
    }

    constructors! {
        f32, as_f32, F32, f32;
        f16, as_f16, F16, f16;
        bf16, as_bf16, BF16, bf16;
        i64, as_i64, I64, i64;
        i32, as_i32, I32, i32;
        u8, as_u8, U8, u8;
        i8, as_i8, I8, i8;
        bool, as_bool, Bool, bool;
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the shape is too large to address.
    pub fn zeros(dtype: DType, shape: impl Into<Vec<usize>>) -> Result<Self> {
        let shape = shape.into();
        let n = elements(&shape)?;
        let data = match dtype {
            DType::F32 => Data::F32(Arc::new(vec![0.0; n])),
            DType::F16 => Data::F16(Arc::new(vec![f16::ZERO; n])),
            DType::BF16 => Data::BF16(Arc::new(vec![bf16::ZERO; n])),
            DType::I64 => Data::I64(Arc::new(vec![0; n])),
            DType::I32 => Data::I32(Arc::new(vec![0; n])),
            DType::U8 => Data::U8(Arc::new(vec![0; n])),
            DType::I8 => Data::I8(Arc::new(vec![0; n])),
            DType::Bool => Data::Bool(Arc::new(vec![false; n])),
        };
        Self::new(shape, data)
    }

    /// Dimensions, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Whether shape, type and every bit are the same: a NaN is itself, and 0 is not -0.
    pub(crate) fn same_bits(&self, other: &Self) -> bool {
        self.shape == other.shape
            && match (&self.data, &other.data) {
                (Data::F32(a), Data::F32(b)) => a
                    .iter()
                    .map(|x| x.to_bits())
                    .eq(b.iter().map(|x| x.to_bits())),
                (Data::F16(a), Data::F16(b)) => a
                    .iter()
                    .map(|x| x.to_bits())
                    .eq(b.iter().map(|x| x.to_bits())),
                (Data::BF16(a), Data::BF16(b)) => a
                    .iter()
                    .map(|x| x.to_bits())
                    .eq(b.iter().map(|x| x.to_bits())),
                (a, b) => a == b,
            }
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// [`ErrorKind::ShapeMismatch`] when the number of elements differs.
    pub fn reshaped(&self, shape: impl Into<Vec<usize>>) -> Result<Self> {
        Self::new(shape, self.data.clone())
    }
}

fn wrong_type(wanted: DType, got: DType) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("a tensor of {wanted} is wanted, this one holds {got}"),
    )
}
