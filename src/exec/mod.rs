//! Carrying out attempts: a process, an HTTP request, a function of the embedding program.
//!
//! [`Exec::run`] takes one granted attempt to its [`Outcome`]. It knows nothing of how the grant
//! came about; what it is told is in [`Attempt`] (who it is, how long, start by when) and
//! [`Control`] (is the fence still current, stop, a line to say "it started").
//!
//! Three things hold for every kind of action:
//!
//! - **A start is late or it happens, never both.** The clock and the gate are read as the last
//!   thing before the spawn call, before the first request byte on a made connection, before the
//!   function's call. What was not started by then is [`Status::NotStarted`]: nothing happened.
//! - **Known or unknown.** [`Outcome::unknown`] says that the action may have taken effect, or may
//!   still be taking effect, without a trace here. Only such outcomes fall under the delivery rule.
//! - **Bounded.** Whatever the action prints or answers, a fixed amount of it is held in memory
//!   ([`LIVE_MAX_BYTES`]), kept on disk ([`KEPT_MAX_BYTES`]) and handed on ([`TAIL_MAX_BYTES`]).
//!
//! Processes are not children of the node but of its shim (see [`shim`]), one per node, which kills
//! every process group when the node is gone.
//!
//! Architecture invariant: nothing here knows Raft, storage, transport or the engine.

mod attempt;
mod boot;
mod control;
mod func;
mod http;
mod outcome;
mod output;
mod refs;
mod shell;
pub mod shim;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

pub use attempt::Attempt;
pub use boot::BootInstant;
pub use control::{Control, Gate, Stop};
pub use func::{Func, FuncContext, FuncFuture};
pub use outcome::{Outcome, Status, TAIL_MAX_BYTES};
pub use output::{Chunk, KEPT_MAX_BYTES, LIVE_MAX_BYTES};
pub use shell::ShimProgram;

use crate::domain::ids::ExecutionId;
use crate::domain::task::Action;
use func::Functions;
use http::Http;
use output::Outputs;
use shell::Shell;

/// What a node lets its attempts do, and where their output goes.
#[derive(Clone, Debug)]
pub struct ExecOptions {
    /// How to start the shim; none: shell actions are off on this node.
    pub shell: Option<ShimProgram>,
    /// Hosts (`name`, `address`, either with `:port`) that HTTP actions may reach although the rule
    /// would refuse them.
    pub http_allow: Vec<String>,
    /// Host and port of every listener of the cluster; HTTP actions do not reach them.
    pub own: Vec<(String, u16)>,
    /// Whether the node itself listens on loopback only; then HTTP actions may reach loopback.
    pub loopback_only: bool,
    /// Where the output of attempts is kept.
    pub output_dir: PathBuf,
    /// Bytes that the kept output of all attempts may take; the oldest goes first.
    pub output_quota: u64,
    /// The working folder of a process that names none.
    pub data_dir: PathBuf,
}

/// Users that a node tells of itself.
const USERS_MAX: usize = 1_000;

/// The default of [`ExecOptions::output_quota`]: 1 GiB.
pub const OUTPUT_QUOTA_BYTES: u64 = 1 << 30;

/// Carries out the attempts of one node.
pub struct Exec {
    shell: Option<Shell>,
    http: Http,
    functions: Functions,
    outputs: Outputs,
}

impl Exec {
    /// Opens the folder of kept output; starts neither the shim nor a connection.
    ///
    /// # Errors
    /// If the folder cannot be made or the writer's thread cannot be started.
    pub fn new(options: ExecOptions) -> io::Result<Self> {
        let outputs = Outputs::open(options.output_dir, options.output_quota)?;
        Ok(Self {
            shell: options.shell.map(|shim| Shell::new(shim, options.data_dir)),
            http: Http::new(&options.http_allow, options.own, options.loopback_only),
            functions: Functions::new(BootInstant::now),
            outputs,
        })
    }

    /// Carries out functions only, by the clock of a simulated machine, and keeps no output.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn simulated(clock: std::sync::Arc<dyn crate::clock::Clock>) -> Self {
        Self {
            shell: None,
            http: Http::new(&[], Vec::new(), false),
            functions: Functions::new(move || clock.boot()),
            outputs: Outputs::nowhere(),
        }
    }

    /// Takes one attempt to its end; dropping the future kills what it started.
    pub async fn run(&self, action: &Action, attempt: &Attempt, control: Control) -> Outcome {
        let output = self.outputs.begin(attempt.execution, attempt.attempt);
        let live = output.live();
        let mut outcome = match action {
            Action::Shell(action) => match &self.shell {
                Some(shell) => shell.attempt(action, attempt, control, live).await,
                None => Outcome::failed("shell actions are off on this node"),
            },
            Action::Http(action) => self.http.attempt(action, attempt, control, live).await,
            Action::Func { id } => self.functions.attempt(id, attempt, control, live).await,
            Action::Executor(_) => Outcome::failed("executor actions are not carried out here"),
        };
        outcome.tail = output.end();
        outcome
    }

    /// Makes a function known under a name; `*` serves every name that has none.
    pub fn register(&self, name: impl Into<String>, func: Func) {
        self.functions.register(name.into(), func);
    }

    /// Whether this node starts processes.
    #[must_use]
    pub const fn starts_processes(&self) -> bool {
        self.shell.is_some()
    }

    /// As whom this node can start processes beside itself, in order; none: more users than are
    /// worth telling. A user who comes later is known at the next start.
    #[must_use]
    pub fn users() -> Option<Vec<String>> {
        let users = shell::passwd::names();
        (users.len() <= USERS_MAX).then_some(users)
    }

    /// The registered names, in order.
    #[must_use]
    pub fn functions(&self) -> Vec<String> {
        self.functions.names()
    }

    /// The newest output of a running attempt of this execution, at most [`LIVE_MAX_BYTES`]; none
    /// if no attempt of it is running here.
    #[must_use]
    pub fn live_output(&self, execution: ExecutionId) -> Option<Chunk> {
        self.outputs.newest(execution)
    }

    /// Output of an attempt from a byte on, at most `max` bytes, while it runs or after; none if
    /// this node keeps none (it printed nothing, ran elsewhere, or the quota took it).
    pub async fn read_output(
        &self,
        execution: ExecutionId,
        attempt: u32,
        from: u64,
        max: usize,
    ) -> Option<Chunk> {
        self.outputs.read((execution, attempt), from, max).await
    }

    /// The process number of the shim, once there is one; for tools and tests.
    #[must_use]
    pub fn shim_pid(&self) -> Option<u32> {
        self.shell.as_ref().and_then(Shell::shim_pid)
    }

    /// Returns when the output of all attempts that have ended is on disk.
    pub async fn flush(&self) {
        self.outputs.flush().await;
    }
}
