//! Text-to-image diffusion: model packages, tokenizer, scheduler, noise, guidance and the pipeline that
//! ties them together over an [`Engine`], on a server or in a browser. [`upscale`] makes pictures larger over the same engines.

mod any_manifest;
pub mod begun;
pub mod cancel;
pub mod engine;
pub mod error;
pub mod files;
pub mod lora;
pub mod manifest;
pub mod noise;
pub mod package;
pub mod picture;
pub mod picture_file;
pub mod pipeline;
pub mod png;
pub mod preview;
pub mod prompt;
pub mod scheduler;
pub mod tensor;
pub mod tokenizer;
pub mod upscale;
mod yielding;

pub use any_manifest::AnyManifest;
pub use begun::{Begun, Looked, StartFiles};
pub use cancel::Cancel;
#[cfg(feature = "cpu")]
pub use engine::cpu::{CpuEngine, Product};
#[cfg(feature = "gpu")]
pub use engine::gpu::GpuEngine;
pub use engine::{Engine, Memory, Model, Stepper, Value};
pub use error::{Error, ErrorKind, Result};
pub use files::Files;
pub use manifest::{FileEntry, Manifest};
pub use package::Package;
pub use picture::{Picture, TOLERANCE};
pub use pipeline::{
    Checkpoint, MADE_ANEW, Pipeline, RunOptions, STREAMED_WEIGHTS, Start, Step, tile_sides,
};
pub use protocol::{GenerationRequest, Progress, Recipe, Residency, ResolvedRequest, RunsOn};
pub use tensor::Tensor;
pub use upscale::{Upscaler, UpscalerManifest, UpscalerPackage};
