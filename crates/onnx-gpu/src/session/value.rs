//! Tensors that stay on the device between graphs.

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu};
use crate::tensor::{DType, Tensor, elements};

/// A tensor in the memory of a device. Clones share it; nothing writes to it any more.
#[derive(Clone, Debug)]
pub struct GpuTensor {
    gpu: Gpu,
    buffer: Buffer,
    shape: Vec<usize>,
    dtype: DType,
}

impl GpuTensor {
    /// A tensor in the first elements of `buffer`: 32 bits each, see [`crate::kernels`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the buffer is shorter.
    pub fn new(gpu: &Gpu, buffer: Buffer, shape: Vec<usize>, dtype: DType) -> Result<Self> {
        let bytes = bytes(&shape)?;
        if bytes > buffer.size() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "{shape:?} needs {bytes} bytes of a buffer of {}",
                    buffer.size()
                ),
            ));
        }
        Ok(Self {
            gpu: gpu.clone(),
            buffer,
            shape,
            dtype,
        })
    }

    /// Uploads a tensor.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub async fn upload(gpu: &Gpu, tensor: &Tensor) -> Result<Self> {
        let buffer = gpu.upload(&tensor.to_gpu_bytes()?).await?;
        Self::new(gpu, buffer, tensor.shape().to_vec(), tensor.dtype())
    }

    /// Reads the elements back into main memory.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub async fn read(&self) -> Result<Tensor> {
        let data = self.gpu.read(&self.buffer, bytes(&self.shape)?).await?;
        Tensor::from_gpu_bytes(self.dtype, &self.shape, &data)
    }

    /// The first elements under another shape; no copy is made.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if there are fewer.
    pub fn prefix(&self, shape: Vec<usize>) -> Result<Self> {
        if elements(&shape)? > elements(&self.shape)? {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("{shape:?} is no part of {:?}", self.shape),
            ));
        }
        Self::new(&self.gpu, self.buffer.clone(), shape, self.dtype)
    }

    /// The same elements as another type of float; a device keeps all of them in 32 bits, so nothing is copied or rounded.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for another type than this one, unless both are floats.
    pub fn in_type(self, dtype: DType) -> Result<Self> {
        if self.dtype != dtype && !(self.dtype.is_float() && dtype.is_float()) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("a tensor of {} is not one of {dtype}", self.dtype),
            ));
        }
        Ok(Self { dtype, ..self })
    }

    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The memory, which others may share: not to be written.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }
}

/// Bytes on a device.
pub(super) fn bytes(shape: &[usize]) -> Result<u64> {
    Ok(elements(shape)? as u64 * 4)
}

/// An input of [`crate::Session::run_gpu`].
#[derive(Clone, Debug)]
pub enum Value {
    /// In main memory.
    Host(Tensor),
    /// On the device.
    Device(GpuTensor),
}

impl Value {
    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Host(tensor) => tensor.shape(),
            Self::Device(tensor) => tensor.shape(),
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Host(tensor) => tensor.dtype(),
            Self::Device(tensor) => tensor.dtype(),
        }
    }
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self::Host(tensor)
    }
}

impl From<GpuTensor> for Value {
    fn from(tensor: GpuTensor) -> Self {
        Self::Device(tensor)
    }
}
