//! Every kernel family on a real device against naive references, for both adapter classes.
//!
//! Needs a Vulkan, Metal or DX12 adapter; Mesa's lavapipe will do. `ONNX_GPU_ADAPTER` chooses one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "kernels/attention.rs"]
mod attention;
#[path = "kernels/blocks.rs"]
mod blocks;
#[path = "kernels/conv.rs"]
mod conv;
#[path = "kernels/copies.rs"]
mod copies;
#[path = "kernels/device.rs"]
mod device;
#[path = "kernels/elementwise.rs"]
mod elementwise;
#[path = "kernels/harness.rs"]
mod harness;
#[path = "kernels/indexing.rs"]
mod indexing;
#[path = "kernels/matmul.rs"]
mod matmul;
#[path = "kernels/properties.rs"]
mod properties;
#[path = "kernels/rows.rs"]
mod rows;
#[path = "kernels/spatial.rs"]
mod spatial;
