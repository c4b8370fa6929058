//! Checkpoints in one file, with the names that Stable Diffusion's own code gives: what Civitai, AUTOMATIC1111's web UI and ComfyUI keep.
//!
//! Such a file holds every network of a pipeline and no configuration. [`Checkpoint`] finds the networks by their names, gives each its
//! tensors under the names that builders read, where they lie, and reads the configuration of known networks off shapes.

mod checkpoint;
mod config;
mod facts;
mod names;

pub use checkpoint::{Checkpoint, Component};
pub use facts::{Facts, Family, Prediction};
pub use names::Names;
