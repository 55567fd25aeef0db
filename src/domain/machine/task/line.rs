//! One line: the executions that run in it, and those that wait in it, in order.

use imbl::{OrdMap, OrdSet};

use super::needs::{OwnerNeeds, TaskOwners};
use super::ready::ReadyExecutions;
use super::turns::GroupLook;
use super::waiting::{Presence, Waiter, WaitingExecution};
use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::time::Timestamp;

/// The execution of a task that may start as far as the task's own line goes, before and after a
/// change.
pub(super) type FirstChange = (Option<Waiter>, Option<Waiter>);

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    running: OrdSet<(ExecutionId, TaskKey)>,
    /// Each with the time before which it does not start.
    waiting: OrdMap<WaitingExecution, Option<Timestamp>>,
    /// In the line of a group: those waiting executions that are first in the line of their task,
    /// or whose task has none, by the limit of their task.
    ready: OrdMap<u32, ReadyExecutions>,
    /// The number of tasks that name the group with each limit. Empty for the line of one task.
    limits: OrdMap<u32, u32>,
}

impl Line {
    /// The number of its running executions.
    #[must_use]
    pub fn running(&self) -> u32 {
        u32::try_from(self.running.len()).unwrap_or(u32::MAX)
    }

    /// The oldest running execution of this task, otherwise of all.
    #[must_use]
    pub fn oldest_running(&self, task: TaskKey) -> Option<(ExecutionId, TaskKey)> {
        let own = self.running.iter().find(|(_, of)| *of == task);
        own.or_else(|| self.running.get_min()).copied()
    }

    /// Its waiting executions that are not held, in order, each with the time before which it does
    /// not start.
    #[must_use]
    pub const fn waiting(&self) -> &OrdMap<WaitingExecution, Option<Timestamp>> {
        &self.waiting
    }

    /// The limits that tasks name, in increasing order. Empty for the line of one task.
    pub fn limits(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.limits.keys().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty() && self.limits.is_empty()
    }

    /// In the line of a task: the first execution, unless one runs.
    pub(super) fn first(&self) -> Option<Waiter> {
        let first = self.waiting.get_min().filter(|_| self.running.is_empty());
        first.map(|(one, due)| (*one, *due))
    }

    /// In the line of a task: the execution that may start at this time.
    pub(super) fn next_of_task(&self, now: Timestamp) -> Option<WaitingExecution> {
        self.first().filter(|(_, due)| *due <= Some(now)).map(|(one, _)| one)
    }

    /// In the line of a group: the executions that may start at this time, in order. A task that no
    /// node may own is passed over with all its executions.
    pub(super) fn next_of_group(
        &self,
        now: Timestamp,
        owners: &impl TaskOwners,
    ) -> Vec<WaitingExecution> {
        GroupLook::new(&self.ready, now, owners).next(self.running(), |one| self.came(one, now))
    }

    /// Whether an execution waits, and does not wait for a later time.
    fn came(&self, one: WaitingExecution, now: Timestamp) -> bool {
        self.waiting.get(&one).is_some_and(|due| *due <= Some(now))
    }

    pub(super) fn enter(&mut self, presence: Presence) {
        match presence {
            Presence::Waits((one, due)) => _ = self.waiting.insert(one, due),
            Presence::Runs(execution, task) => _ = self.running.insert((execution, task)),
            Presence::Absent => {}
        }
    }

    pub(super) fn leave(&mut self, presence: Presence) {
        match presence {
            Presence::Waits((one, _)) => _ = self.waiting.remove(&one),
            Presence::Runs(execution, task) => {
                let ran = self.running.remove(&(execution, task));
                assert!(ran.is_some(), "an execution that does not run in its line");
            }
            Presence::Absent => {}
        }
    }

    /// In the line of a group: the first execution changed in the line of a task with this limit and
    /// these needs. `at` is the time of the lines.
    pub(super) fn first_changed(
        &mut self,
        (limit, needs): (u32, &OwnerNeeds),
        (former, now): FirstChange,
        at: Timestamp,
    ) {
        if former == now {
            return;
        }
        let ready = self.ready.entry(limit).or_default();
        former.into_iter().for_each(|one| ready.remove(needs, one, at));
        now.into_iter().for_each(|one| ready.insert(needs, one, at));
        if ready.is_empty() {
            self.ready.remove(&limit);
        }
    }

    /// Adds a task that names the group with this limit.
    pub(super) fn add_limit(&mut self, limit: u32) {
        *self.limits.entry(limit).or_insert(0) += 1;
    }

    /// Removes a task that named the group with this limit.
    pub(super) fn remove_limit(&mut self, limit: u32) {
        match self.limits.get(&limit).copied() {
            Some(tasks) if tasks > 1 => drop(self.limits.insert(limit, tasks - 1)),
            _ => drop(self.limits.remove(&limit)),
        }
    }

    /// In the line of a group: the executions that a look finds a node for, in order.
    #[cfg(test)]
    pub(super) fn looked_at(
        &self,
        now: Timestamp,
        owners: &impl TaskOwners,
    ) -> Vec<WaitingExecution> {
        let mut looked_at = Vec::new();
        GroupLook::new(&self.ready, now, owners).next(self.running(), |one| {
            looked_at.push(one);
            self.came(one, now)
        });
        looked_at
    }

    /// In the line of a group: the executions that their own lines let start, by limit: those whose
    /// time has come, and the others.
    #[cfg(test)]
    pub(in crate::domain::machine) fn ready(&self) -> Vec<(u32, [Vec<WaitingExecution>; 2])> {
        self.ready.iter().map(|(limit, ready)| (*limit, ready.all())).collect()
    }
}
