//! One line: the executions that run in it, and those that wait in it, in order.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use imbl::{OrdMap, OrdSet};

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

/// The state of an execution in its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Waits(WaitingExecution),
    Runs(ExecutionId, TaskKey),
    /// It has ended, or is held.
    Absent,
}

impl Presence {
    pub(super) const fn waits(self) -> Option<WaitingExecution> {
        match self {
            Self::Waits(one) => Some(one),
            Self::Runs(..) | Self::Absent => None,
        }
    }
}

/// The execution of a task that may start as far as the task's own line goes, before and after a
/// change.
pub(super) type FirstChange = (Option<WaitingExecution>, Option<WaitingExecution>);

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    running: OrdSet<(ExecutionId, TaskKey)>,
    waiting: OrdSet<WaitingExecution>,
    /// In the line of a group: those waiting executions that are first in the line of their task,
    /// or whose task has none, by the limit of their task.
    ready: OrdMap<u32, OrdSet<WaitingExecution>>,
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

    /// Its waiting executions that are not held, in order.
    #[must_use]
    pub const fn waiting(&self) -> &OrdSet<WaitingExecution> {
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
    pub(super) fn first(&self) -> Option<WaitingExecution> {
        self.waiting.get_min().filter(|_| self.running.is_empty()).copied()
    }

    /// In the line of a group: the executions that may start, in order.
    pub(super) fn next_of_group(
        &self,
        mut able: impl FnMut(&WaitingExecution) -> bool,
    ) -> Vec<WaitingExecution> {
        let (mut next, mut taken) = (Vec::new(), self.running());
        // The first one of each limit that was not looked at yet.
        let mut firsts = BTreeMap::new();
        for (limit, ready) in self.ready.range((Excluded(taken), Unbounded)) {
            let mut rest = ready.iter();
            firsts.extend(rest.next().map(|first| (first, (*limit, rest))));
        }
        while let Some((first, (limit, mut rest))) = firsts.pop_first() {
            if taken >= limit {
                continue;
            }
            if able(first) {
                taken += 1;
                next.push(*first);
            }
            firsts.extend(rest.next().map(|second| (second, (limit, rest))));
        }
        next
    }

    pub(super) fn enter(&mut self, presence: Presence) {
        match presence {
            Presence::Waits(one) => _ = self.waiting.insert(one),
            Presence::Runs(execution, task) => _ = self.running.insert((execution, task)),
            Presence::Absent => {}
        }
    }

    pub(super) fn leave(&mut self, presence: Presence) {
        match presence {
            Presence::Waits(one) => _ = self.waiting.remove(&one),
            Presence::Runs(execution, task) => {
                let ran = self.running.remove(&(execution, task));
                assert!(ran.is_some(), "an execution that does not run in its line");
            }
            Presence::Absent => {}
        }
    }

    /// In the line of a group: the first execution changed in the line of a task with this limit.
    pub(super) fn first_changed(&mut self, limit: u32, (former, now): FirstChange) {
        if former == now {
            return;
        }
        let ready = self.ready.entry(limit).or_default();
        former.map(|one| ready.remove(&one));
        now.map(|one| ready.insert(one));
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

    /// In the line of a group: the executions that their own lines let start.
    #[cfg(test)]
    pub(in crate::domain::machine) fn ready(&self) -> Vec<(u32, WaitingExecution)> {
        let ready = self.ready.iter();
        ready.flat_map(|(limit, ready)| ready.iter().map(|one| (*limit, *one))).collect()
    }
}
