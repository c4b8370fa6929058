//! The server over real HTTP, with its real S3 store, on ports and folders of each test's own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod catalog;
mod cluster;
mod conditional;
mod crash;
mod faults;
mod formats;
mod gallery;
mod gate;
mod generate;
mod guarded;
mod hand_over;
mod hostile;
mod hub;
mod jobs;
mod killed;
mod measure;
mod measure_gallery;
mod models;
mod nats;
mod openai;
mod openapi;
mod outage;
mod presigned;
mod privacy;
mod process;
mod queue;
mod redelivery;
mod renderers;
mod restart;
mod saving;
mod serving;
mod site;
mod stopping;
mod storage;
mod store;
mod stores;
mod telemetry;
mod uploads;
mod workers;
