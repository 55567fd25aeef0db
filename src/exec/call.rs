//! What a function of the embedding program is called with.

use std::fmt::Display;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::attempt::{GrantedAttempt, ParentOfAttempt};
use super::output::LiveOutput;
use crate::domain::ids::{ExecutionId, Fence};
use crate::domain::time::Timestamp;

/// The arguments of a function call: who the attempt is, what it was given, when it should end, and
/// where its output goes.
///
/// Clones share the output and the request to end.
#[derive(Clone, Debug)]
pub struct FuncContext {
    /// Who the attempt is.
    pub(crate) attempt: GrantedAttempt,
    /// Turns true when the function should end; it is dropped after the task's grace.
    pub(crate) cancel: watch::Receiver<bool>,
    pub(super) output: FuncOutput,
}

impl FuncContext {
    /// The name of the task.
    #[must_use]
    pub fn task(&self) -> &str {
        &self.attempt.task
    }

    /// The scheduled instant that fired; `None`: the task was triggered.
    #[must_use]
    pub fn tick(&self) -> Option<Timestamp> {
        self.attempt.tick
    }

    /// The execution that the attempt belongs to.
    #[must_use]
    pub fn execution(&self) -> ExecutionId {
        self.attempt.execution
    }

    /// The number of the attempt: 1 for the first.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt.attempt
    }

    /// The fencing token. A later attempt has a higher one: what the function writes to can refuse
    /// lower ones.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.attempt.fence
    }

    /// The same for all attempts of an execution.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        &self.attempt.idempotency_key
    }

    /// The name of the node that calls the function.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.attempt.node
    }

    /// The parameters of the task, with those of the trigger laid over them.
    #[must_use]
    pub fn parameters(&self) -> Map<String, Value> {
        serde_json::from_str(&self.attempt.parameters).unwrap_or_default()
    }

    /// The same as a type of the program.
    ///
    /// # Errors
    /// The parameters do not have the fields of this type.
    pub fn parameters_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.attempt.parameters)
    }

    /// The payload of the task, as its definition has it.
    #[must_use]
    pub fn payload(&self) -> &str {
        &self.attempt.payload
    }

    /// The execution whose end started this one; `None`: no chain did.
    #[must_use]
    pub fn parent(&self) -> Option<&ParentOfAttempt> {
        self.attempt.parent.as_ref()
    }

    /// The bound of the attempt; zero: there is none.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.attempt.timeout.std()
    }

    /// Where the output of the attempt goes.
    #[must_use]
    pub const fn output(&self) -> &FuncOutput {
        &self.output
    }

    /// Whether the function should end: its timeout has passed, somebody stopped the execution, or
    /// the node is cut off. Who goes on is dropped after `kill_grace` (5 s).
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    /// Waits until the function should end.
    pub async fn cancelled(&self) {
        let mut cancel = self.cancel.clone();
        if cancel.wait_for(|cancel| *cancel).await.is_err() {
            // The attempt has ended without a request, so none comes.
            std::future::pending::<()>().await;
        }
    }
}

/// Takes the output of an attempt. It is kept and shown as that of a process is, while the function
/// runs and afterwards. Clones write to the same output.
///
/// ```no_run
/// # fn show(call: punctual::FuncContext) -> std::io::Result<()> {
/// use std::io::Write;
///
/// call.output().line(format_args!("{} rows", 12));
/// writeln!(call.output(), "and {} more", 3)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FuncOutput(Weak<LiveOutput>);

impl FuncOutput {
    pub(super) fn of(live: &Arc<LiveOutput>) -> Self {
        Self(Arc::downgrade(live))
    }

    /// Adds a line. What comes after the end of the attempt is dropped.
    pub fn line(&self, line: impl Display) {
        self.push(format!("{line}\n").as_bytes());
    }

    fn push(&self, bytes: &[u8]) -> bool {
        self.0.upgrade().is_some_and(|live| live.push(bytes))
    }
}

impl io::Write for &FuncOutput {
    /// Never waits. An error: the attempt has ended.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let ended = || io::Error::new(io::ErrorKind::BrokenPipe, "the attempt has ended");
        self.push(bytes).then_some(bytes.len()).ok_or_else(ended)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
