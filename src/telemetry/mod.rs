//! Logs and metrics.
//!
//! Nothing here is global until the binary says so: the library records through `tracing` and
//! through the handles of [`metrics::Metrics`], and the binary decides where that goes.

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
