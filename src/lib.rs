//! cron for a cluster, in one binary.
//!
//! A program that embeds a node builds it from settings, registers functions that tasks name in
//! their actions, and runs it:
//!
//! ```no_run
//! # async fn embed() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! let config = punctual::Config::from_toml("[node]\ndata_dir = \"/var/lib/report\"\n")?;
//! let node = punctual::Node::builder(config)
//!     .function("report", Arc::new(|call| Box::pin(async move { Ok(call.attempt.task) })))
//!     .start()
//!     .await?;
//! node.run(async { drop(tokio::signal::ctrl_c().await) }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The library installs no signal handler, no subscriber of `tracing` and no panic hook, prints
//! nothing and never ends the process. The commands of the binary need the feature `cli`, which is
//! on by default.
#![forbid(unsafe_code)]

// The modules are private; the simulator in `chaos/` and the benchmarks open them with the hidden
// feature `simulation`.
#[macro_use]
#[cfg(not(feature = "simulation"))]
mod bugs;
#[macro_use]
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod bugs;
#[cfg(not(feature = "simulation"))]
mod api;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod api;
#[cfg(not(feature = "simulation"))]
mod budget;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod budget;
#[cfg(not(feature = "simulation"))]
mod clock;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod clock;
#[cfg(not(feature = "simulation"))]
mod config;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod config;
#[cfg(not(feature = "simulation"))]
mod consensus;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod consensus;
#[cfg(not(feature = "simulation"))]
mod domain;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod domain;
mod dto;
#[cfg(not(feature = "simulation"))]
mod engine;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod engine;
#[cfg(not(feature = "simulation"))]
mod exec;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod exec;
#[cfg(not(feature = "simulation"))]
mod life;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod life;
#[cfg(not(feature = "simulation"))]
mod node;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod node;
mod ops;
#[cfg(not(feature = "simulation"))]
mod storage;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod storage;
#[cfg(not(feature = "simulation"))]
mod telemetry;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod telemetry;
#[cfg(not(feature = "simulation"))]
mod transport;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod transport;

#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod client;
#[cfg(test)]
mod skip;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod tidy;

#[cfg(feature = "cli")]
pub use self::cli::main;
pub use self::config::{Config, ConfigError, ConfigErrors, Flag, Sources};
pub use self::domain::ids::{ExecutionId, Fence};
pub use self::domain::time::{Millis, Timestamp};
pub use self::exec::shim::serve as serve_shim;
pub use self::exec::{BootInstant, Func, FuncContext, FuncFuture, GrantedAttempt, ShimProgram};
pub use self::node::{Fatal, FilesReload, Node, NodeBuilder, VERSION};
