//! cron for a cluster, in one binary.
#![forbid(unsafe_code)]

#[macro_use]
pub mod bugs;

pub mod api;
pub mod budget;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod client;
pub mod clock;
pub mod config;
pub mod consensus;
pub mod domain;
mod dto;
pub mod engine;
pub mod exec;
pub mod life;
pub mod node;
mod ops;
pub mod storage;
pub mod telemetry;
#[cfg(test)]
mod tidy;
pub mod transport;
