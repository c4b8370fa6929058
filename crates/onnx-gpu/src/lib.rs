//! An ONNX runtime on [wgpu](https://wgpu.rs): one graph on Vulkan, Metal, DX12 and on WebGPU in the browser.
//!
//! A [`Session`] is a model on a device. It parses the file, folds what is constant, fuses what one kernel computes in one
//! dispatch, uploads the weights, plans memory and records the dispatches once for each set of input shapes; a run replays them.
//!
//! ```no_run
//! use onnx_gpu::{Options, Session, Tensor};
//!
//! # fn main() -> onnx_gpu::Result<()> {
//! let session = Session::open_blocking("model.onnx", Options::default())?;
//! let x = Tensor::f32([1, 3, 64, 64], vec![0.5; 3 * 64 * 64])?;
//! for (name, y) in session.run_blocking(&[("x", x)])? {
//!     println!("{name}: {:?}", y.shape());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - **What it computes**: every output of the file, or the values that [`Options::outputs`] names and what leads to them.
//! - **Where it runs**: [`Options::adapter`] picks an adapter; sessions that share a [`Gpu`] share its pipelines.
//! - **In a browser** the `async` methods are the interface; there is nothing that blocks.
//! - **Large models**: a [`WeightSource`] streams weights to the device in chunks, see [`weights`].
//! - **Errors** have an [`ErrorKind`] and name the node. An operator, attribute or type that is not supported is an error,
//!   never a wrong result; so are a lost device and memory that the device does not have.
//! - **Operators**: [`is_supported`] tells, for the operator sets [`OPSETS`]. The README says which numbers each type is
//!   computed with.
//! - **Numbers on a plan**: [`Session::stats`]; **time per kernel**: [`Session::profile`].

mod context;
pub mod error;
mod eval;
pub mod gpu;
mod graph;
pub mod kernels;
mod lower;
pub mod npy;
mod ops;
mod optimise;
mod plan;
mod program;
pub mod proto;
mod session;
pub mod tensor;
pub mod weights;

pub use error::{Error, ErrorKind, Result};
pub use gpu::{AdapterChoice, AdapterSummary, Gpu, GpuStats, KernelTime};
pub use graph::{OPSETS, OutputInfo, Pass, Passes};
pub use ops::is_supported;
pub use proto::{Dim, ValueInfo};
pub use session::{
    Cost, Dispatch, GpuTensor, LEAST_TABLE, Options, Report, Session, Stats, Value, dry_cost,
    dry_cost_beside, dry_cost_within, dry_dispatches, dry_run,
};
pub use tensor::{DType, Element, Tensor, Tolerance};
pub use weights::WeightSource;

/// The examples of the README, compiled as tests.
#[cfg(all(doctest, not(target_arch = "wasm32")))]
#[doc = include_str!("../README.md")]
struct Readme;
