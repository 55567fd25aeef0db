//! Logs and metrics.
//!
//! The library has no global log or registry. It records through `tracing` and through the handles
//! of [`metrics::Metrics`]. The binary decides where the output goes.

pub mod bursts;
pub mod exposition;
#[cfg(feature = "cli")]
mod flood;
pub mod line;
#[cfg(feature = "cli")]
pub mod log;
pub mod metrics;
mod process;
pub mod seen;
