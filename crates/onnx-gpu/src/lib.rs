//! An ONNX runtime on [wgpu](https://wgpu.rs): one graph on Vulkan, Metal, DX12 and on WebGPU in the browser.

pub mod error;
mod eval;
pub mod gpu;
mod graph;
pub mod kernels;
mod lower;
pub mod npy;
mod ops;
mod plan;
pub mod proto;
mod session;
pub mod tensor;
pub mod weights;

pub use error::{Error, ErrorKind, Result};
pub use gpu::{AdapterChoice, AdapterSummary, Gpu};
pub use graph::OPSETS;
pub use ops::is_supported;
pub use proto::{Dim, ValueInfo};
pub use session::{Options, Session, Stats, dry_run};
pub use tensor::{DType, Tensor};
pub use weights::WeightSource;
