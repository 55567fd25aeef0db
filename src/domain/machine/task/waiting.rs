//! A waiting execution, and the states of executions in lines.

use super::record::{Execution, Trigger};
use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::time::Timestamp;

/// A waiting execution. The order is: highest priority, then no backfill, then oldest tick, then lowest
/// id. The ticks of a backfill are older than those that come meanwhile, and must not hold these up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaitingExecution {
    /// Twice the difference of its priority from the highest priority, and one more for a backfill.
    pub rank: u8,
    /// Its tick, or the time of its request.
    pub at: Timestamp,
    /// The execution.
    pub execution: ExecutionId,
    /// Its task.
    pub task: TaskKey,
}

impl WaitingExecution {
    /// Of an execution whose priority differs by so much from the highest one.
    pub(super) fn of(execution: &Execution, task: TaskKey, below: u8) -> Self {
        let backfill = u8::from(execution.trigger == Trigger::Backfill);
        let rank = below.saturating_mul(2).saturating_add(backfill);
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
