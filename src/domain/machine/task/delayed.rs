//! Executions that wait for a further attempt, in the order of their times: so a node finds the next
//! one without a look at all tasks. All of this is derived from the records.

use imbl::OrdSet;

use super::record::Execution;
use super::whole::Task;
use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::time::Timestamp;

/// An execution that waits for a further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DelayedExecution {
    /// When the attempt may start.
    pub due: Timestamp,
    /// It.
    pub execution: ExecutionId,
    /// Its task.
    pub task: TaskKey,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DelayedExecutions(OrdSet<DelayedExecution>);

impl DelayedExecutions {
    /// Those that are due after this instant, the next one first.
    pub fn after(&self, at: Timestamp) -> impl Iterator<Item = DelayedExecution> {
        let first = at.plus(crate::domain::time::Millis(1));
        let (execution, task) = (ExecutionId(0), TaskKey(0));
        self.0.range(DelayedExecution { due: first, execution, task }..).copied()
    }

    /// Adds an execution of a task, if it is one of these.
    pub(in crate::domain::machine) fn enter(&mut self, task: TaskKey, execution: &Execution) {
        if let Some(delayed) = delayed(task, execution) {
            self.0.insert(delayed);
        }
    }

    /// Removes an execution that is as it was when it was added.
    pub(in crate::domain::machine) fn leave(&mut self, task: TaskKey, execution: &Execution) {
        if let Some(delayed) = delayed(task, execution) {
            self.0.remove(&delayed);
        }
    }

    /// Adds those of a task.
    pub(in crate::domain::machine) fn add(&mut self, task: &Task) {
        task.live_executions().for_each(|execution| self.enter(task.key, execution));
    }

    /// Removes those of a task that is still the same.
    pub(in crate::domain::machine) fn remove(&mut self, task: &Task) {
        task.live_executions().for_each(|execution| self.leave(task.key, execution));
    }
}

fn delayed(task: TaskKey, execution: &Execution) -> Option<DelayedExecution> {
    let due = execution.next_attempt_at()?;
    Some(DelayedExecution { due, execution: execution.id, task })
}
