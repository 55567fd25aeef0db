//! What is derived about executors: the attempts that each of them has, and the tasks that they declare.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::record::{Execution, Status};
use super::whole::{CarriedBy, Task};
use crate::domain::executor::ExecutorInfo;
use crate::domain::ids::{ExecutionId, Revision, TaskKey};

/// The running attempts of executors, by executor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InFlight(OrdMap<Arc<str>, OrdSet<(ExecutionId, TaskKey)>>);

impl InFlight {
    /// How many an executor has.
    pub fn count(&self, executor: &str) -> u32 {
        let many = self.0.get(executor).map_or(0, OrdSet::len);
        u32::try_from(many).unwrap_or(u32::MAX)
    }

    /// Whether an executor has a running attempt of an execution.
    pub fn has(&self, executor: &str, task: TaskKey, execution: ExecutionId) -> bool {
        self.0.get(executor).is_some_and(|has| has.contains(&(execution, task)))
    }

    /// Those of an executor, the oldest execution first.
    pub fn of(&self, executor: &str) -> impl Iterator<Item = (ExecutionId, TaskKey)> {
        self.0.get(executor).into_iter().flatten().copied()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (ExecutionId, TaskKey)> {
        self.0.values().flatten().copied()
    }

    /// Adds an execution of a task, if it runs on an executor.
    pub fn enter(&mut self, task: TaskKey, execution: &Execution) {
        if let Some(executor) = executor_of(execution) {
            self.0.entry(Arc::clone(executor)).or_default().insert((execution.id, task));
        }
    }

    /// Removes an execution that is as it was when it was added.
    pub fn leave(&mut self, task: TaskKey, execution: &Execution) {
        let Some(executor) = executor_of(execution) else { return };
        if let Some(has) = self.0.get_mut(executor) {
            has.remove(&(execution.id, task));
            if has.is_empty() {
                self.0.remove(executor);
            }
        }
    }

    /// Adds those of a task.
    pub fn add(&mut self, task: &Task) {
        task.live_executions().for_each(|execution| self.enter(task.key, execution));
    }

    /// Removes those of a task that is still the same.
    pub fn remove(&mut self, task: &Task) {
        task.live_executions().for_each(|execution| self.leave(task.key, execution));
    }
}

/// The executor that has the running attempt of an execution.
pub fn executor_of(execution: &Execution) -> Option<&Arc<str>> {
    let attempt = execution.attempt.as_ref().filter(|_| execution.status == Status::Running)?;
    attempt.executor.as_ref().map(|executor| &executor.id)
}

/// The executors that declare each task, by the name of the task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredTasks(OrdMap<Arc<str>, OrdSet<Arc<str>>>);

impl DeclaredTasks {
    /// Whether an executor declares a task.
    pub fn any(&self, task: &str) -> bool {
        self.0.contains_key(task)
    }

    /// The names of the tasks that executors declare, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    /// The ids of those that declare a task, in order.
    pub fn of(&self, task: &str) -> impl Iterator<Item = &Arc<str>> {
        self.0.get(task).into_iter().flatten()
    }

    /// Adds an executor that registered.
    pub fn add(&mut self, executor: &ExecutorInfo) {
        let id: Arc<str> = executor.id.as_str().into();
        for task in &executor.tasks {
            self.0.entry(task.as_str().into()).or_default().insert(Arc::clone(&id));
        }
    }

    /// Removes an executor that is as it was when it was added.
    pub fn remove(&mut self, executor: &ExecutorInfo) {
        for task in &executor.tasks {
            if let Some(has) = self.0.get_mut(task.as_str()) {
                has.remove(executor.id.as_str());
                if has.is_empty() {
                    self.0.remove(task.as_str());
                }
            }
        }
    }
}

impl Task {
    /// Whether an executor carries out an execution that keeps this revision of the definition.
    pub(in crate::domain::machine) fn needs_executor(
        &self,
        revision: Revision,
        declared: &DeclaredTasks,
    ) -> bool {
        match self.carried_by(revision) {
            CarriedBy::Node => false,
            CarriedBy::Executor => true,
            CarriedBy::Declared => declared.any(&self.live.name),
        }
    }
}
