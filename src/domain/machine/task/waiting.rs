//! A waiting execution, and the states of executions in lines.

use super::record::Execution;
use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::time::Timestamp;

/// A waiting execution. The order is: highest priority, then oldest tick, then lowest id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaitingExecution {
    /// The difference of its priority from the highest priority.
    pub rank: u8,
    /// Its tick, or the time of its request.
    pub at: Timestamp,
    /// The execution.
    pub execution: ExecutionId,
    /// Its task.
    pub task: TaskKey,
}

impl WaitingExecution {
    pub(super) fn of(execution: &Execution, task: TaskKey, rank: u8) -> Self {
        let at = execution.tick.unwrap_or(execution.created_at);
        Self { rank, at, execution: execution.id, task }
    }
}

/// A waiting execution with the time before which it does not start. None: there is no such time.
pub(super) type Waiter = (WaitingExecution, Option<Timestamp>);

/// The state of an execution in its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Waits(Waiter),
    Runs(ExecutionId, TaskKey),
    /// It has ended, or is held.
    Absent,
}

impl Presence {
    pub(super) const fn waits(self) -> Option<Waiter> {
        match self {
            Self::Waits(one) => Some(one),
            Self::Runs(..) | Self::Absent => None,
        }
    }
}
