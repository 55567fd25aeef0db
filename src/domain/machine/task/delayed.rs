//! Executions that wait for a further attempt, ordered by time. A node finds the next one without a
//! scan of all tasks. All of this is derived from the records.

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
    /// The execution.
    pub execution: ExecutionId,
    /// Its task.
    pub task: TaskKey,
}

/// All executions that wait for a further attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DelayedExecutions(OrdSet<DelayedExecution>);

impl DelayedExecutions {
    /// Those that are due after this time, the next one first.
    pub fn after(&self, at: Timestamp) -> impl Iterator<Item = DelayedExecution> {
        let first = at.plus(crate::domain::time::Millis(1));
        let (execution, task) = (ExecutionId(0), TaskKey(0));
        self.0.range(DelayedExecution { due: first, execution, task }..).copied()
    }

    /// Those that are due after one time and up to another, the next one first.
    pub fn between(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = DelayedExecution> {
        self.after(from).take_while(move |one| one.due <= to)
    }

    /// Adds an execution of a task, if it waits for a further attempt.
    pub(in crate::domain::machine) fn enter(&mut self, task: TaskKey, execution: &Execution) {
        if let Some(delayed) = delayed(task, execution) {
            self.0.insert(delayed);
        }
    }

    /// Removes an execution, which must be unchanged since it was added.
    pub(in crate::domain::machine) fn leave(&mut self, task: TaskKey, execution: &Execution) {
        if let Some(delayed) = delayed(task, execution) {
            self.0.remove(&delayed);
        }
    }

    /// Adds the executions of a task.
    pub(in crate::domain::machine) fn add(&mut self, task: &Task) {
        task.live_executions().for_each(|execution| self.enter(task.key, execution));
    }

    /// Removes the executions of a task, which must be unchanged since they were added.
    pub(in crate::domain::machine) fn remove(&mut self, task: &Task) {
        task.live_executions().for_each(|execution| self.leave(task.key, execution));
    }
}

fn delayed(task: TaskKey, execution: &Execution) -> Option<DelayedExecution> {
    let due = execution.next_attempt_at()?;
    Some(DelayedExecution { due, execution: execution.id, task })
}
