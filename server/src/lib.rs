//! Demo Hub's server: pages, API, jobs and pictures.

pub mod api;
pub mod catalog;
pub mod config;
pub mod generate;
pub mod grace;
pub mod images;
pub mod jobs;
pub mod limits;
pub mod models;
pub mod network;
pub mod operator;
pub mod random;
pub mod render;
pub mod serve;
pub mod serving;
pub mod storage;
pub mod telemetry;
pub mod upscale;
pub mod web;
pub mod work;

pub use serve::{Running, start};
