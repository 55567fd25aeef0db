//! Tells the embedding program of attempts that fail on its node.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::attempt::GrantedAttempt;
use super::outcome::{AttemptOutcome, AttemptStatus};
use crate::domain::ids::{ExecutionId, Fence};
use crate::domain::time::Timestamp;

/// An attempt that this node carried out and that failed or took too long. Another attempt may
/// follow, as the task's `retry` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// The name of the task.
    pub task: String,
    /// The scheduled instant that fired; `None`: the task was triggered.
    pub tick: Option<Timestamp>,
    /// The execution that the attempt belongs to.
    pub execution: ExecutionId,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The fencing token.
    pub fence: Fence,
    /// Whether its timeout ended it.
    pub timed_out: bool,
    /// Why it failed, in a sentence.
    pub reason: String,
}

/// Is told of each such attempt.
pub type FailureHook = Arc<dyn Fn(&FailedAttempt) + Send + Sync>;

/// Tells of an outcome, if it is a failure. A hook that panics does not change the outcome.
pub(super) fn tell(hook: &FailureHook, attempt: &GrantedAttempt, outcome: &AttemptOutcome) {
    if !matches!(outcome.status, AttemptStatus::Failed | AttemptStatus::Timeout) {
        return;
    }
    let failed = FailedAttempt {
        task: attempt.task.clone(),
        tick: attempt.tick,
        execution: attempt.execution,
        attempt: attempt.attempt,
        fence: attempt.fence,
        timed_out: outcome.status == AttemptStatus::Timeout,
        reason: match (outcome.detail.as_str(), outcome.exit_code) {
            ("", Some(code)) => format!("exit code {code}"),
            (detail, _) => detail.to_owned(),
        },
    };
    if catch_unwind(AssertUnwindSafe(|| hook(&failed))).is_err() {
        tracing::warn!(task = %failed.task, "the error hook panicked");
    }
}
