//! Executions that concern this node: those that wait for a slot, in the order in which they start,
//! and those granted to its session.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::machine::WaitingExecution;
use crate::domain::machine::record::{Execution, Status, Trigger};

use super::view::EngineView;

/// Whether an execution may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartEligibility {
    /// It may.
    Askable,
    /// Not before its task, the scheduler or the nodes change.
    Held,
    /// Not before the time of its next attempt.
    Delayed,
    /// Not before its lines change.
    InLine,
    /// It does not wait any more.
    Over,
}

/// Whether this node may ask for a waiting execution.
pub(super) fn eligibility(one: &WaitingExecution, view: &EngineView<'_>) -> StartEligibility {
    let task = view.state.task(one.task);
    let found = task.and_then(|task| Some((task, task.history.execution(one.execution)?)));
    match found {
        Some((task, found)) if waits(found) => {
            let scheduler = view.state.cluster().scheduler;
            let held = found.tick.is_some() && (task.inactive().is_some() || !scheduler);
            let owned = view.session.is_some() && view.owns(task);
            if found.next_attempt_at().is_some_and(|at| at > view.now) {
                StartEligibility::Delayed
            } else if held || !owned {
                StartEligibility::Held
            } else if view.is_next(task, one) {
                StartEligibility::Askable
            } else {
                StartEligibility::InLine
            }
        }
        Some(_) | None => StartEligibility::Over,
    }
}

/// Whether an execution waits for some node to ask for it; a caller's claim does not.
pub(super) fn waits(execution: &Execution) -> bool {
    execution.status == Status::Pending && execution.trigger != Trigger::Claim
}

/// The executions that this node has in view. Of those that stand in a line, only the ones that may
/// start now are among them.
#[derive(Debug, Default)]
pub(super) struct WaitingList {
    waiting: BTreeSet<WaitingExecution>,
    /// Those that this node may not ask for now.
    aside: BTreeMap<(TaskKey, ExecutionId), WaitingExecution>,
    /// Those whose ask came to nothing; they are asked for again after a while.
    refused: Vec<WaitingExecution>,
    granted: BTreeSet<(TaskKey, ExecutionId)>,
}

impl WaitingList {
    /// Takes in an execution that waits.
    pub fn add(&mut self, one: WaitingExecution) {
        self.aside.remove(&(one.task, one.execution));
        self.waiting.insert(one);
    }

    /// Takes out the one that starts next.
    pub fn take_next(&mut self) -> Option<WaitingExecution> {
        self.waiting.pop_first()
    }

    /// How many wait for a slot.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Sets one aside until something changes.
    pub fn set_aside(&mut self, one: WaitingExecution) {
        self.aside.insert((one.task, one.execution), one);
    }

    /// Sets one aside until [`WaitingList::retry`].
    pub fn refuse(&mut self, one: WaitingExecution) {
        self.refused.push(one);
    }

    /// Takes those up again whose ask came to nothing.
    pub fn retry(&mut self) {
        for one in std::mem::take(&mut self.refused) {
            self.add(one);
        }
    }

    /// A task changed: what of it was set aside may be asked for now.
    pub fn task_changed(&mut self, task: TaskKey) {
        let all = (task, ExecutionId(0))..=(task, ExecutionId(u64::MAX));
        let changed: Vec<WaitingExecution> = self.aside.range(all).map(|(_, one)| *one).collect();
        for one in changed {
            self.add(one);
        }
    }

    /// The nodes or the scheduler changed: all that was set aside may be asked for now.
    pub fn all_changed(&mut self) {
        self.waiting.extend(std::mem::take(&mut self.aside).into_values());
    }

    /// One was granted to this session.
    pub fn grant(&mut self, task: TaskKey, execution: ExecutionId) {
        self.granted.insert((task, execution));
    }

    /// One is not granted to this session any more. It may wait again.
    pub fn ungrant(&mut self, task: TaskKey, execution: ExecutionId) {
        self.granted.remove(&(task, execution));
    }

    /// The ones that were granted to this session.
    pub fn granted(&self) -> Vec<(TaskKey, ExecutionId)> {
        self.granted.iter().copied().collect()
    }

    /// Whether one was set aside or granted to this session.
    pub fn knows(&self, task: TaskKey, execution: ExecutionId) -> bool {
        self.aside.contains_key(&(task, execution)) || self.granted.contains(&(task, execution))
    }

    /// Whether something of a task was set aside.
    pub fn has_set_aside(&self, task: TaskKey) -> bool {
        let all = (task, ExecutionId(0))..=(task, ExecutionId(u64::MAX));
        self.aside.range(all).next().is_some()
    }

    /// One ended. If it waits for a slot, that is noticed when its turn comes.
    pub fn end(&mut self, task: TaskKey, execution: ExecutionId) {
        self.aside.remove(&(task, execution));
        self.granted.remove(&(task, execution));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn one(at: i64, execution: u64, task: u64) -> WaitingExecution {
        WaitingExecution {
            rank: 4,
            at: Timestamp(at),
            execution: ExecutionId(execution),
            task: TaskKey(task),
        }
    }

    fn rest(waiting: &mut WaitingList) -> Vec<u64> {
        std::iter::from_fn(|| waiting.take_next()).map(|one| one.execution.0).collect()
    }

    #[test]
    fn the_oldest_tick_starts_first() {
        let mut waiting = WaitingList::default();
        for (at, execution) in [(20, 4), (10, 9), (20, 3), (10, 7)] {
            waiting.add(one(at, execution, execution));
        }
        waiting.add(one(10, 9, 9));
        assert_eq!(rest(&mut waiting), [7, 9, 3, 4]);
    }

    #[test]
    fn a_higher_priority_starts_before_an_older_tick() {
        let mut waiting = WaitingList::default();
        waiting.add(one(10, 1, 1));
        waiting.add(WaitingExecution { rank: 0, ..one(30, 2, 2) });
        waiting.add(WaitingExecution { rank: 9, ..one(5, 3, 3) });
        assert_eq!(rest(&mut waiting), [2, 1, 3]);
    }

    #[test]
    fn what_is_set_aside_comes_back_when_something_changes() {
        let mut waiting = WaitingList::default();
        for execution in 1..=4 {
            waiting.set_aside(one(10, execution, execution % 2));
        }
        waiting.end(TaskKey(1), ExecutionId(3));
        waiting.task_changed(TaskKey(1));
        assert_eq!(rest(&mut waiting), [1]);
        waiting.all_changed();
        assert_eq!(rest(&mut waiting), [2, 4]);
        waiting.refuse(one(10, 5, 5));
        waiting.all_changed();
        assert_eq!(waiting.len(), 0);
        waiting.retry();
        waiting.retry();
        assert_eq!(rest(&mut waiting), [5]);
    }
}
