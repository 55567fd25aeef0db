//! cron for a cluster, in one binary.
#![forbid(unsafe_code)]

pub mod api;
pub mod clock;
pub mod config;
pub mod consensus;
pub mod domain;
pub mod engine;
pub mod exec;
pub mod node;
pub mod storage;
pub mod telemetry;
pub mod transport;
