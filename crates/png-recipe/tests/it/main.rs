//! Texts of PNG, WebP and JPEG, read and written.
#![allow(clippy::unwrap_used, clippy::panic)]

mod a1111;
mod a1111_lines;
mod comfyui;
mod comfyui_prompts;
mod comfyui_samplers;
mod comfyui_workflow;
mod containers;
mod drawthings;
mod easydiffusion;
mod exif;
mod fooocus;
mod hub;
mod invokeai;
mod mutation;
mod novelai;
mod support;
mod swarmui;
mod write;
