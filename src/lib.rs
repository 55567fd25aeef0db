//! cron for a cluster, in one binary.
//!
//! A program that embeds it starts a [`Node`], registers functions, and adds tasks that call them:
//!
//! ```no_run
//! # async fn embed() -> Result<(), punctual::Error> {
//! use punctual::{Node, TaskBuilder};
//!
//! let node = Node::builder().data_dir("/var/lib/report").start().await?;
//! node.ready().await?;
//! node.add_func(TaskBuilder::cron("report", "*/5 * * * *"), |call| async move {
//!     call.output().line(format_args!("the report of {:?}", call.tick()));
//!     Ok(())
//! })
//! .await?;
//! node.run(async { drop(tokio::signal::ctrl_c().await) }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`NodeBuilder`]: settings, functions and hooks of a node. Several nodes form a cluster, in one
//!   program or in many.
//! - [`TaskBuilder`]: the definition of a task. [`FuncContext`]: what its function is called with.
//! - [`Node`]: what is done with tasks, executions and the cluster, from any node.
//! - [`Watch`]: changes as they happen. [`view`]: the types of answers.
//! - [`Error`]: why something was not done, with a stable code.
//!
//! A task is executed by one of the nodes that have its function. A run of a function is an *attempt*
//! with a *fence*: what the function writes to can refuse the writes of an older one.
//!
//! The library installs no signal handler, no subscriber of `tracing` and no panic hook, prints
//! nothing and never ends the process. It starts no other process, unless the program turns shell
//! actions on. The commands of the binary need the feature `cli`, which is on by default.
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
mod ui;

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
pub use self::config::{Config, ConfigError, ConfigErrors, Flag, MemberSettings, Sources};
pub use self::domain::assign::custom::{AssignmentStrategy, NodeToAssign, TaskToAssign};
pub use self::domain::ids::{ExecutionId, Fence};
pub use self::domain::task::{
    AfterRun, Backoff, CatchUpPolicy, ChainCondition, Delivery, ExecutionMode, Strategy,
};
pub use self::domain::time::Timestamp;
pub use self::exec::shim::serve as serve_shim;
pub use self::exec::{FailedAttempt, FuncContext, FuncOutput, ParentOfAttempt, ShimProgram};
pub use self::node::{
    ClaimedTick, Error, FilesReload, FuncResult, Node, NodeBuilder, SelectedTasks, TaskBuilder,
    VERSION, Watch, WatchOptions,
};

/// The types of answers, which are those of the API.
pub mod view {
    pub use crate::domain::spec::bodies::{
        ActionBody, AssignmentBody, CatchUpBody, ChainsBody, ConcurrencyBody, DailyBody, DstBody,
        ExecutorBody, FuncBody, HttpBody, KeepBody, RetryBody, RuleBody, ScheduleBody, ShellBody,
        TaskBody, Word,
    };
    pub use crate::domain::time::Rfc3339;
    pub use crate::dto::{
        AttemptView, BackfillRequest, BackfillView, ChainedView, EventObjectView, EventView,
        ExecutionView, ExecutorWait, FieldError, ItemView, ItemsView, LastExecution, LiveCounts,
        NodeOverridesView, NodeView, ParentView, PauseView, QueueView, TaskHead, TaskView,
        TotalsView, WarningView,
    };
}
