//! Tensors in main memory or on an engine's device.

use crate::error::Result;
use crate::tensor::Tensor;

/// What goes in and out of [`super::Model::run_values`]. Clones share the elements of a device.
#[derive(Clone, Debug)]
pub enum Value {
    /// In main memory.
    Host(Tensor),
    /// On a GPU.
    #[cfg(feature = "gpu")]
    Gpu(onnx_gpu::GpuTensor),
}

impl Value {
    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Host(tensor) => tensor.shape(),
            #[cfg(feature = "gpu")]
            Self::Gpu(tensor) => tensor.shape(),
        }
    }

    /// The tensor, read back from its device if it is on one.
    ///
    /// # Errors
    /// A device kind when the device is at fault.
    pub async fn into_tensor(self) -> Result<Tensor> {
        match self {
            Self::Host(tensor) => Ok(tensor),
            #[cfg(feature = "gpu")]
            Self::Gpu(tensor) => super::gpu::read(&tensor).await,
        }
    }
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self::Host(tensor)
    }
}
