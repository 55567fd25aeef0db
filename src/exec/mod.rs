//! Runs attempts: a process, an HTTP request, a function of the embedding program, a request to an
//! executor.
//!
//! [`Exec::run`] takes one granted attempt to its [`AttemptOutcome`]. It does not know how the
//! grant was made. Its input is a [`GrantedAttempt`] (identity, limits, latest start) and an
//! [`AttemptControl`] (whether the fence is current, stops, a channel for "it started").
//!
//! Three rules apply to every kind of action:
//!
//! - **A start is late or it happens, never both.** The clock and the gate are read immediately
//!   before the spawn call, the first byte of the request, or the call of the function. An attempt
//!   that was not started by then is [`AttemptStatus::NotStarted`]: nothing happened.
//! - **Known or unknown.** [`AttemptOutcome::unknown`] means that the action may have taken effect,
//!   or may still do so, without evidence here. Only such outcomes fall under the delivery rule.
//! - **Bounded.** Of every output or answer, a fixed amount is kept in memory and on disk
//!   ([`OutputLimits`]) and reported ([`TAIL_MAX_BYTES`]).
//!
//! Processes are children of the node's shim (see [`shim`]), one per node, which kills every
//! process group when the node is gone.
//!
//! Architecture invariant: nothing here knows Raft, storage, transport or the engine.

mod attempt;
mod boot;
mod call;
mod control;
pub mod executor;
mod failure;
mod func;
mod http;
mod outcome;
mod output;
mod prepared;
mod refs;
mod shell;
pub mod shim;
mod shortage;

#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

pub use attempt::{GrantedAttempt, ParentOfAttempt};
pub use boot::BootInstant;
pub use call::{FuncContext, FuncOutput};
pub use control::{AttemptControl, StartGate, Stop};
pub use executor::ExecutorTarget;
pub use failure::{FailedAttempt, FailureHook};
pub use func::Func;
#[cfg(test)]
pub use func::FuncFuture;
#[cfg(feature = "cli")]
pub use outcome::TAIL_MAX_BYTES;
pub use outcome::{AttemptOutcome, AttemptStatus, left_out, tail_is_whole};
pub use output::{Chunk, READ_MAX_BYTES};
pub use shell::ShimProgram;

use crate::config::{self, OutputLimits};
use crate::domain::ids::{ExecutionId, Fence};
use crate::domain::task::Action;
use crate::domain::time::Millis;
use control::{STOPPED_EARLY, after, may_start, stop_above};
use executor::Executors;
use func::Functions;
use http::HttpRunner;
use output::{LiveOutput, Outputs};
use prepared::{PreparedAttempt, PreparedAttempts};
use refs::RefResolver;
use shell::{Folders, Shell};

/// References that are not resolved by then fail the attempt: what they name does not answer.
const RESOLVE_LIMIT: Millis = Millis::from_secs(10);

/// The settings for attempts and their output.
#[derive(Clone, Debug)]
pub struct ExecOptions {
    /// How to start the shim; none: shell actions are off on this node.
    pub shell: Option<ShimProgram>,
    /// Where HTTP actions may go although the rule would refuse it.
    pub http_allow: Vec<config::AllowedTarget>,
    /// What references in definitions may yield.
    pub refs: config::RefSettings,
    /// Host and port of every listener of the cluster; HTTP actions do not reach them. `0.0.0.0`
    /// and `::` stand for every address of this machine. Changes come by [`Exec::set_own`].
    pub own: Vec<(String, u16)>,
    /// Whether the node itself listens on loopback only; then HTTP actions may reach loopback.
    pub loopback_only: bool,
    /// How executors are called.
    pub executors: config::ExecutorSettings,
    /// Where the output of attempts is kept.
    pub output_dir: PathBuf,
    /// How much of it.
    pub output: OutputLimits,
    /// The node's data folder; references cannot read files in it.
    pub data_dir: PathBuf,
    /// The working folder of a process that names neither a folder nor a user.
    pub work_dir: PathBuf,
    /// The soft limit of open files that processes get: the one that this process had before it
    /// raised its own, since programs loop over as many. None: that of this process.
    pub open_files: Option<u64>,
}

/// Users that a node reports.
const USERS_MAX: usize = 1_000;

/// Carries out the attempts of one node.
pub struct Exec {
    shell: Option<Shell>,
    http: HttpRunner,
    executors: Executors,
    functions: Functions,
    outputs: Outputs,
    refs: RefResolver,
    held: PreparedAttempts,
    failure_hook: Option<FailureHook>,
}

impl Exec {
    /// Opens the folder of kept output; starts neither the shim nor a connection.
    ///
    /// # Errors
    /// If the folder cannot be made or the writer's thread cannot be started.
    pub fn new(options: ExecOptions) -> io::Result<Self> {
        let outputs = Outputs::open(options.output_dir, options.output)?;
        let folders = Folders { data: options.data_dir.clone(), work: options.work_dir };
        Ok(Self {
            shell: options.shell.map(|shim| Shell::new(shim, folders, options.open_files)),
            http: HttpRunner::new(options.http_allow, options.own, options.loopback_only),
            executors: Executors::new(&options.executors),
            functions: Functions::new(BootInstant::now),
            outputs,
            refs: RefResolver::new(options.refs, options.data_dir),
            held: PreparedAttempts::default(),
            failure_hook: None,
        })
    }

    /// Says where the cluster listens from now on: host and port of every listener.
    pub fn set_own(&self, own: Vec<(String, u16)>) {
        self.http.set_own(own);
    }

    /// Carries out functions only, by the clock of a simulated machine, and keeps no output.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn simulated(clock: Arc<dyn crate::clock::Clock>) -> Self {
        Self {
            shell: None,
            http: HttpRunner::new(Vec::new(), Vec::new(), false),
            executors: Executors::new(&config::ExecutorSettings::default()),
            functions: Functions::new(move || clock.boot()),
            outputs: Outputs::nowhere(),
            refs: RefResolver::new(config::RefSettings::default(), PathBuf::new()),
            held: PreparedAttempts::default(),
            failure_hook: None,
        }
    }

    /// Runs one attempt to its end; dropping the future kills its processes.
    pub async fn run(
        &self,
        action: &Action,
        attempt: &GrantedAttempt,
        control: AttemptControl,
    ) -> AttemptOutcome {
        let output = self.outputs.begin(attempt.execution, attempt.attempt);
        let live = output.live();
        #[cfg(feature = "simulation")]
        if matches!(action, Action::Executor(_))
            && let Some(executors) = self.executors.simulation()
        {
            let (calls, boot) = (&self.executors, self.functions.boot());
            let outcome = calls.simulated_attempt(&executors, attempt, control, live, boot).await;
            return AttemptOutcome { tail: output.end(), ..outcome };
        }
        let mut outcome = match action {
            Action::Shell(_) if self.shell.is_none() => {
                AttemptOutcome::failed("shell actions are off on this node (actions.shell.enabled)")
            }
            Action::Shell(_) | Action::Http(_) | Action::Executor(_) => {
                self.outside(action, attempt, control, live).await
            }
            Action::Func { id } => self.functions.attempt(id, attempt, control, live).await,
        };
        outcome.tail = output.end();
        if let Some(hook) = &self.failure_hook {
            failure::tell(hook, attempt, &outcome);
        }
        outcome
    }

    /// Who is told of attempts that fail here.
    #[must_use]
    pub fn with_failure_hook(self, hook: Option<FailureHook>) -> Self {
        Self { failure_hook: hook, ..self }
    }

    /// Carries out what leaves this process, from where the grant before left it.
    async fn outside(
        &self,
        action: &Action,
        attempt: &GrantedAttempt,
        control: AttemptControl,
        live: &Arc<LiveOutput>,
    ) -> AttemptOutcome {
        let mut stop = control.stop.clone();
        if *stop.borrow() > Stop::No {
            return AttemptOutcome::cancelled(STOPPED_EARLY);
        }
        let key = (attempt.execution, attempt.attempt);
        let mut ready = self.held.take(key);
        let shortages = ready.shortages;
        let outcome = self.advance(action, attempt, control, live, &mut ready).await;
        if outcome.status != AttemptStatus::NotStarted {
            return outcome;
        }
        if ready.shortages > shortages {
            tokio::select! {
                _asked = stop_above(&mut stop, Stop::No) => return AttemptOutcome::cancelled(STOPPED_EARLY),
                () = sleep(shortage::pause(ready.shortages)) => {}
            }
        }
        self.held.keep(key, ready);
        outcome
    }

    async fn advance(
        &self,
        action: &Action,
        attempt: &GrantedAttempt,
        mut control: AttemptControl,
        live: &Arc<LiveOutput>,
        ready: &mut PreparedAttempt,
    ) -> AttemptOutcome {
        // The last look comes later; without leave now nothing need be got ready.
        if let Err(why) = may_start(&control.gate, attempt.start_by) {
            return AttemptOutcome::not_started(why);
        }
        let action = match ready.action.take() {
            Some(action) => action,
            None => match self.resolved(action, attempt, &mut control.stop).await {
                Ok(action) => action,
                Err(outcome) => return outcome,
            },
        };
        let outcome = match (&action, &self.shell) {
            (Action::Shell(action), Some(shell)) => {
                shell.attempt(action, attempt, control, live, ready).await
            }
            (Action::Http(action), _) => {
                self.http.attempt(action, attempt, control, live, ready).await
            }
            (Action::Executor(_), _) => {
                self.executors.attempt(&self.http, attempt, control, live, ready).await
            }
            _ => AttemptOutcome::failed("this action does not leave the process"),
        };
        ready.action = Some(action);
        outcome
    }

    /// The action with its references resolved, within the attempt's time.
    async fn resolved(
        &self,
        action: &Action,
        attempt: &GrantedAttempt,
        stop: &mut watch::Receiver<Stop>,
    ) -> Result<Action, AttemptOutcome> {
        let bounded = (Millis(1)..=RESOLVE_LIMIT).contains(&attempt.timeout);
        let limit = if bounded { attempt.timeout } else { RESOLVE_LIMIT };
        tokio::select! {
            biased;
            _asked = stop_above(stop, Stop::No) => Err(AttemptOutcome::cancelled(STOPPED_EARLY)),
            resolved = self.refs.action(action) => resolved.map_err(AttemptOutcome::failed),
            () = sleep_until(after(limit)) => {
                let status = if bounded { AttemptStatus::Timeout } else { AttemptStatus::Failed };
                let detail = format!("its references were not resolved within {limit}");
                Err(AttemptOutcome::new(status, detail))
            }
        }
    }

    /// Asks an executor to stop an attempt. Whether it does is not known here.
    ///
    /// # Errors
    /// Why the request was not answered with success.
    pub async fn stop_on_executor(
        &self,
        base_url: &str,
        execution: ExecutionId,
        fence: Fence,
    ) -> Result<(), String> {
        #[cfg(feature = "simulation")]
        if let Some(executors) = self.executors.simulation() {
            return executor::simulated_stop(&executors, base_url, execution, fence).await;
        }
        self.executors.stop(&self.http, base_url, execution, fence).await
    }

    /// Asks the health check URL of an executor whether it is well.
    ///
    /// # Errors
    /// Why it is not, as a sentence.
    pub async fn probe(&self, url: &str, limit: Millis) -> Result<(), String> {
        #[cfg(feature = "simulation")]
        if let Some(executors) = self.executors.simulation() {
            return executor::simulated_probe(&executors, url, limit).await;
        }
        self.executors.probe(&self.http, url, limit).await
    }

    /// Why this node sends no requests to the host of a URL; none: it does, or the name is unknown
    /// here.
    pub async fn refuses_host(&self, url: &str) -> Option<String> {
        self.http.refused(url).await
    }

    /// Requests to executors go to these from now on.
    #[cfg(feature = "simulation")]
    pub fn simulate_executors(&self, executors: executor::SimulatedExecutors) {
        self.executors.simulate(executors);
    }

    /// Makes a function known under a name; `*` serves every name that has none.
    pub fn register(&self, name: impl Into<String>, func: Func) {
        self.functions.register(name.into(), func);
    }

    /// Changes when there are more functions.
    #[must_use]
    pub fn functions_added(&self) -> watch::Receiver<u64> {
        self.functions.added()
    }

    /// Whether this node starts processes.
    #[must_use]
    pub const fn starts_processes(&self) -> bool {
        self.shell.is_some()
    }

    /// As whom this node can start processes, in order; none: that cannot be told in a list, or in
    /// none that is worth telling. A user who comes later is known at the next start.
    #[must_use]
    pub fn users() -> Option<Vec<String>> {
        shell::user::names().filter(|users| users.len() <= USERS_MAX)
    }

    /// The registered names, in order.
    #[must_use]
    pub fn functions(&self) -> Vec<String> {
        self.functions.names()
    }

    /// The newest output of a running attempt of this execution, at most
    /// [`OutputLimits::live_bytes`]; none if no attempt of it is running here.
    #[must_use]
    #[cfg(test)]
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

    /// [`Exec::read_output`] as soon as there is something to read or the attempt has ended here, at
    /// the latest after `wait`. An attempt that has not begun here may still begin.
    pub async fn wait_output(
        &self,
        execution: ExecutionId,
        attempt: u32,
        from: u64,
        max: usize,
        wait: Duration,
    ) -> Option<Chunk> {
        self.outputs.read_grown((execution, attempt), from, max, wait).await
    }

    /// The process number of the shim, once there is one; for tools and tests.
    #[must_use]
    #[cfg(test)]
    pub fn shim_pid(&self) -> Option<u32> {
        self.shell.as_ref().and_then(Shell::shim_pid)
    }

    /// Returns when the output of all attempts that have ended is on disk.
    pub async fn flush(&self) {
        self.outputs.flush().await;
    }
}
