//! The server over real HTTP, with its real S3 store, on ports and folders of each test's own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod cluster;
mod faults;
mod gallery;
mod generate;
mod hub;
mod jobs;
mod measure;
mod nats;
mod openai;
mod openapi;
mod outage;
mod process;
mod queue;
mod renderers;
mod site;
mod store;
mod uploads;
mod workers;
