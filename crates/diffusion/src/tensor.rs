//! What goes in and out of a model: a shape and row-major elements.

use crate::error::{Error, Result};

/// Elements of a [`Tensor`].
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// ONNX `float`.
    F32(Vec<f32>),
    /// ONNX `int64`.
    I64(Vec<i64>),
    /// ONNX `int32`.
    I32(Vec<i32>),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::I32(v) => v.len(),
        }
    }
}

/// A dense row-major tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

impl Tensor {
    /// A tensor of 32-bit floats.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Engine`] unless the product of `shape` is the number of elements.
    pub fn f32(shape: &[usize], data: Vec<f32>) -> Result<Self> {
        Self::new(shape, Data::F32(data))
    }

    /// A tensor of 64-bit integers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Engine`] unless the product of `shape` is the number of elements.
    pub fn i64(shape: &[usize], data: Vec<i64>) -> Result<Self> {
        Self::new(shape, Data::I64(data))
    }

    /// A tensor of 32-bit integers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Engine`] unless the product of `shape` is the number of elements.
    pub fn i32(shape: &[usize], data: Vec<i32>) -> Result<Self> {
        Self::new(shape, Data::I32(data))
    }

    fn new(shape: &[usize], data: Data) -> Result<Self> {
        let wanted = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if wanted != Some(data.len()) {
            return Err(Error::engine(format!(
                "a tensor of shape {shape:?} was given {} elements",
                data.len()
            )));
        }
        Ok(Self {
            shape: shape.to_vec(),
            data,
        })
    }

    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Shape and elements.
    pub fn into_parts(self) -> (Vec<usize>, Data) {
        (self.shape, self.data)
    }

    /// The elements, if they are floats.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Engine`] for integers.
    pub fn into_f32(self) -> Result<Vec<f32>> {
        match self.data {
            Data::F32(v) => Ok(v),
            Data::I64(_) | Data::I32(_) => Err(Error::engine(
                "the model gave integers where floats were expected",
            )),
        }
    }
}
