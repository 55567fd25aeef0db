//! The executions of a group that the lines of their tasks let start. The next one is found without a
//! walk over those whose time has not come, or over all those of one task.

use std::ops::Bound::{Excluded, Unbounded};

use imbl::OrdSet;

use super::waiting::{Waiter, WaitingExecution};
use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::time::Timestamp;

/// Those of the tasks that name the group with one limit. Each is kept by whether its time has come
/// at the time of the lines, which is the stamp of the last entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadyExecutions {
    /// Those whose time has come, by task.
    due: OrdSet<(TaskKey, WaitingExecution)>,
    /// The first of these of each task.
    heads: OrdSet<WaitingExecution>,
    /// The others, by their time.
    later: OrdSet<(Timestamp, WaitingExecution)>,
}

impl ReadyExecutions {
    pub fn is_empty(&self) -> bool {
        self.due.is_empty() && self.later.is_empty()
    }

    pub fn insert(&mut self, (one, due): Waiter, at: Timestamp) {
        match due.filter(|due| *due > at) {
            Some(due) => _ = self.later.insert((due, one)),
            None => self.change(one.task, |due| _ = due.insert((one.task, one))),
        }
    }

    pub fn remove(&mut self, (one, due): Waiter, at: Timestamp) {
        match due.filter(|due| *due > at) {
            Some(due) => _ = self.later.remove(&(due, one)),
            None => self.change(one.task, |due| _ = due.remove(&(one.task, one))),
        }
    }

    /// The first one of all, and those whose time came after the last entry. There are few of these:
    /// the start of one of them is an entry.
    pub fn firsts(&self, now: Timestamp) -> impl Iterator<Item = WaitingExecution> {
        let came = self.later.iter().take_while(move |(due, _)| *due <= now);
        self.heads.get_min().copied().into_iter().chain(came.map(|(_, one)| *one))
    }

    /// The first one of the task that follows, if this is the first one of its task.
    pub fn next_task(&self, one: WaitingExecution) -> Option<WaitingExecution> {
        let head = self.heads.contains(&one);
        self.heads.range((Excluded(one), Unbounded)).next().filter(|_| head).copied()
    }

    /// The one that follows this one of its task.
    pub fn next_of_task(&self, one: WaitingExecution) -> Option<WaitingExecution> {
        let mut rest = self.due.range((Excluded((one.task, one)), Unbounded));
        rest.next().filter(|(task, _)| *task == one.task).map(|(_, next)| *next)
    }

    fn first_of(&self, task: TaskKey) -> Option<WaitingExecution> {
        let (at, execution) = (Timestamp(i64::MIN), ExecutionId(0));
        self.next_of_task(WaitingExecution { rank: 0, at, execution, task })
    }

    /// Changes those of a task whose time has come.
    fn change(
        &mut self,
        task: TaskKey,
        change: impl FnOnce(&mut OrdSet<(TaskKey, WaitingExecution)>),
    ) {
        let former = self.first_of(task);
        change(&mut self.due);
        let now = self.first_of(task);
        if former != now {
            former.map(|one| self.heads.remove(&one));
            now.map(|one| self.heads.insert(one));
        }
    }

    /// Those whose time has come, and the others, in order.
    #[cfg(test)]
    pub fn all(&self) -> [Vec<WaitingExecution>; 2] {
        let due = self.due.iter().map(|(_, one)| *one);
        let later = self.later.iter().map(|(_, one)| *one);
        let mut all = [due.collect::<Vec<_>>(), later.collect()];
        all.iter_mut().for_each(|part| part.sort_unstable());
        all
    }
}
