//! An ONNX runtime on [wgpu](https://wgpu.rs): one graph on Vulkan, Metal, DX12 and on WebGPU in the browser.

pub mod error;
pub mod gpu;
pub mod kernels;
pub mod proto;
pub mod tensor;

pub use error::{Error, ErrorKind, Result};
pub use tensor::{DType, Tensor};
