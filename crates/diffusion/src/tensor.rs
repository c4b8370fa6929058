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

    /// Floats joined along the last axis; all other dimensions are equal.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Engine`] for integers and for shapes that do not fit.
    pub fn beside(parts: &[Self]) -> Result<Self> {
        let misfit = || Error::engine("tensors of other shapes or types cannot be joined");
        let (_, outer) = parts
            .first()
            .and_then(|first| first.shape.split_last())
            .ok_or_else(misfit)?;
        let mut columns = Vec::with_capacity(parts.len());
        for part in parts {
            let Data::F32(data) = &part.data else {
                return Err(misfit());
            };
            match part.shape.split_last() {
                Some((&width, before)) if before == outer && width > 0 => {
                    columns.push((width, data));
                }
                _ => return Err(misfit()),
            }
        }
        let rows: usize = outer.iter().product();
        let width = columns.iter().map(|(width, _)| width).sum();
        let row = |row: usize| {
            let part = move |(width, data): &(usize, &Vec<f32>)| {
                data[row * width..(row + 1) * width].to_vec()
            };
            columns.iter().flat_map(part)
        };
        let shape = [outer, &[width]].concat();
        Self::f32(&shape, (0..rows).flat_map(row).collect())
    }

    /// The elements, if they are 64-bit integers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Engine`] for other types.
    pub fn into_i64(self) -> Result<Vec<i64>> {
        match self.data {
            Data::I64(v) => Ok(v),
            Data::F32(_) | Data::I32(_) => Err(Error::engine(
                "a tensor of other numbers where 64-bit integers were expected",
            )),
        }
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
